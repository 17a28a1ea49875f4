"""The verdict on a lag."""

from __future__ import annotations

import pytest

from sesacctl.pipeline.watch.lag import LagVerdict, lag_verdict


@pytest.mark.parametrize(
    ("lag", "produced", "stored", "verdict", "seconds"),
    [
        (0, 0, 0, LagVerdict.OK, 0.0),
        (0, 500, 500, LagVerdict.OK, 0.0),
        (1_000, 0, 0, LagVerdict.STALLED, None),
        (1_000, 300, 0, LagVerdict.STALLED, None),
        (1_000, 300, 200, LagVerdict.GROWING, None),
        (1_000, 300, 300, LagVerdict.GROWING, None),
        (1_000, 300, 400, LagVerdict.OK, 10.0),
        (1_000, 0, 500, LagVerdict.OK, 2.0),
    ],
)
def test_the_verdict_follows_from_the_rates(
    lag: int, produced: float, stored: float, verdict: LagVerdict, seconds: float | None
) -> None:
    assert lag_verdict(lag, produced, stored) == (verdict, seconds)
