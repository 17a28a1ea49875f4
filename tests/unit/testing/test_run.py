"""What the servers of a run of pytest may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from sesacctl.errors import UsageError
from sesacctl.testing import run as runs


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"brokers": 0}, "sesac_brokers is 0"),
        ({"brokers": 6}, "sesac_brokers is 6"),
        ({"heap_mb": 191}, "sesac_heap_mb is 191"),
        ({"heap_mb": 8193}, "sesac_heap_mb is 8193"),
    ],
)
def test_options_that_cannot_be_had(options: dict[str, int], said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        runs.Options(brokers=options.get("brokers", 3), heap_mb=options.get("heap_mb", 384))
    assert "from" in str(refused.value.hint)


def test_a_small_machine_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "available_bytes", lambda: 512 << 20)
    own = runs.Run(tmp_path, 1, runs.Options(), shared=False)
    with pytest.warns(runs.SmallMachine, match="2092 MB and 512 MB are .*sesac_brokers = 1"):
        own._look_at_memory()
