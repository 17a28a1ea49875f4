"""The end of `consume --until-empty`, at the moment when it is looked at once more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sesacctl import settings as settings_module
from sesacctl.errors import HeldBack
from sesacctl.pipeline.audit import until_empty
from sesacctl.pipeline.audit.partitions import PartitionProgress
from sesacctl.pipeline.audit.until_empty import UntilEmpty
from tests.helpers.observations import partition


def test_an_offset_reached_between_two_looks_is_not_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now: list[PartitionProgress] = [partition(end=10, stored=5)]
    monkeypatch.setattr(until_empty, "HELD_SECONDS", 0.0)
    monkeypatch.setattr(until_empty, "require_same_logs", lambda *_: None)
    monkeypatch.setattr(until_empty, "held_back", lambda *_: [])
    monkeypatch.setattr(until_empty, "read_partitions", lambda _: now)
    monkeypatch.setattr(until_empty, "next_offsets", lambda _: {partition().key: 5})
    empty = UntilEmpty(settings_module.load())
    now[:] = [partition(end=10, stored=10)]
    assert not empty()
    now[:] = [replace(partition(end=10, stored=5), log_stable_end=5)]
    with pytest.raises(HeldBack):
        empty()
