"""Times have one form for people and one for programs, both from `sesacctl.formatting`."""

from __future__ import annotations

import re

from tests.helpers.documents import ROOT

_WRITES = re.compile(r"""\.strftime\(|\.isoformat\(|\.ctime\(|formatTime\(|\{[^{}"]*:[^{}"]*%[a-zA-Z][^{}]*\}""")
# What writes a time in its own way, and nobody reads it as one.
ELSEWHERE = {
    "sesacctl/formatting.py": "the one place",
    "sesacctl/cache/snapshot.py": "kept in Redis",
    "sesacctl/database/samples/generate.py": "dates of sample rows",
    "sesacctl/drill/poison.py": "in the events that a drill sends",
    "sesacctl/cli/drill.py": "today as a number, the default of --seed",
}


def test_times_are_written_in_one_place() -> None:
    texts = {path.relative_to(ROOT): path.read_text("utf-8") for path in (ROOT / "sesacctl").rglob("*.py")}
    found = {str(path) for path, text in texts.items() if any(map(_WRITES.search, text.splitlines()))}
    assert found == ELSEWHERE.keys()
