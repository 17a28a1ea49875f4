"""docs/events.md: its Python examples are run as a reader would copy them, and what it lists is complete."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from sesacctl.events import CODECS, Reason
from sesacctl.pipeline.audit.report import audit
from sesacctl.pipeline.contract.check import check
from sesacctl.settings import Settings
from tests.helpers import documents
from tests.helpers.consumers import store_all
from tests.helpers.documents import ROOT
from tests.helpers.events import query
from tests.helpers.topics import make_topics

GUIDE = (ROOT / "docs" / "events.md").read_text("utf-8")


def test_the_examples_send_events_that_are_stored(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    make_topics(settings)
    runnable = [block for block in documents.blocks(GUIDE) if block.runnable]
    assert len(runnable) == 2
    for block in runnable:
        done = subprocess.run(
            [sys.executable, "-c", block.content],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    store_all(settings)
    assert query(settings, "SELECT user_id, total_amount FROM orders ORDER BY 1") == [("U_900", 178_000),
                                                                                    ("U_901", 45_000)]  # fmt: skip
    assert audit(settings, values=True).ok


def test_the_values_in_the_guide_are_accepted() -> None:
    shown = [block.content for block in documents.blocks(GUIDE) if block.language == "json"]
    for text in shown:
        json.loads(text)
        assert check(text.encode()).refused == 0
    assert shown


def test_every_reason_and_every_field_is_listed() -> None:
    rows = [line for line in GUIDE.splitlines() if line.startswith("| `")]
    named = {name.strip("` ") for row in rows for name in row.split("|")[1].split(",")}
    assert set(Reason) <= named
    assert {column for codec in CODECS.values() for column in codec.columns} <= named
