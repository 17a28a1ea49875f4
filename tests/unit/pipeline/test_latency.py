"""The latency histogram."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sesacctl.pipeline.latency import Latency


def test_no_observations_mean_no_percentile() -> None:
    assert Latency().percentile(50) is None


def test_small_values_are_exact() -> None:
    latency = Latency()
    latency.observe(100.0, range(40, 101))
    assert [latency.percentile(percent) for percent in (0, 50, 100)] == [0, 30, 60]


def test_a_clock_that_is_ahead_counts_as_zero() -> None:
    latency = Latency()
    latency.observe(100.0, [5_000])
    assert latency.percentile(99) == 0


@given(st.lists(st.integers(0, 10**7), min_size=1), st.integers(1, 100))
def test_percentiles_are_within_a_64th(values: list[int], percent: int) -> None:
    latency, other = Latency(), Latency()
    latency.observe(0.0, [-value for value in values[::2]])
    other.observe(0.0, [-value for value in values[1::2]])
    latency.add(other)
    exact = sorted(values)[-(-len(values) * percent // 100) - 1]
    found = latency.percentile(percent)
    assert found is not None
    assert exact * (1 - 1 / 32) <= found <= exact
