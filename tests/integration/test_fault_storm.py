"""A short storm on the shared servers: as `make faults` does for ten minutes, with faults that hurt nobody else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sesacctl.testing.loop import Part
from tests.faults.kinds import chosen
from tests.faults.run import storm
from tests.faults.site import Load, Site, on_shared_stack

FAULTS = 5
LONGEST_HOLD = 3.0
LOAD = Load(instances=3, rate=100.0, hostile=0.02, users=300, products=200)


@pytest.fixture
def site(part: Part, tmp_path: Path) -> Iterator[Site]:
    """The loop on a part of the stack, behind proxies of its own."""
    found = on_shared_stack(tmp_path, part.environment, LOAD)
    try:
        found.prepare()
        yield found
    finally:
        found.close()


@pytest.mark.parametrize("seed", [20261122, int(time.strftime("%Y%m%d"))], ids=["a known seed", "the seed of the day"])
def test_nothing_is_lost_whatever_happens(site: Site, seed: int) -> None:
    outcome = storm(
        site,
        seed,
        chosen(own_stack=False),
        stop=lambda weather: len(weather.struck) >= FAULTS,
        pause=0.5,
        longest_hold=LONGEST_HOLD,
        said=print,
    )
    assert outcome.problems == []
    assert len(outcome.weather.struck) >= FAULTS
    assert outcome.verdict.acknowledged > 0
    assert outcome.samples > 0
