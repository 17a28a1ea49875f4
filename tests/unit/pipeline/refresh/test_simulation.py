"""The bound holds in every simulated history with no more newcomers than the rows kept for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sesacctl.pipeline.refresh.simulation import bound, shares, simulate

sizes = st.integers(1, 50).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size)))


@given(sizes, st.integers(0, 200), st.integers(0, 200))
def test_shares_fill_the_round_from_either_side(size_fresh: tuple[int, int], never: int, cached: int) -> None:
    size, fresh = size_fresh
    first_turns, turns = shares(never, cached, size=size, fresh=fresh)
    assert first_turns + turns == min(size, never + cached)
    assert first_turns >= min(never, fresh)
    assert turns >= min(cached, size - fresh)


@given(sizes, st.integers(0, 300), st.integers(0, 50), st.integers(1, 120))
def test_no_row_waits_longer_than_the_bound(
    size_fresh: tuple[int, int], rows: int, newcomers: int, rounds: int
) -> None:
    size, fresh = size_fresh
    played = simulate(rows=rows, newcomers=min(newcomers, fresh), rounds=rounds, size=size, fresh=fresh)
    if fresh == size:
        assert played.bound is None
        assert not played.holds
    else:
        assert played.bound is not None
        assert played.worst_wait <= played.bound
        assert played.holds


def test_ten_thousand_rows_are_cached_again_within_22_rounds() -> None:
    assert bound(10_000, size=1000, fresh=500) == 22
    played = simulate(rows=10_000, newcomers=0, rounds=1000, size=1000, fresh=500)
    assert played.worst_wait == 10
    assert played.backlog == 0


def test_without_a_share_for_old_rows_some_never_return() -> None:
    played = simulate(rows=1000, newcomers=100, rounds=500, size=100, fresh=100)
    assert played.worst_wait > 450
    assert not played.holds


def test_newcomers_beyond_their_share_are_a_reported_backlog() -> None:
    played = simulate(rows=0, newcomers=600, rounds=100, size=1000, fresh=500)
    assert played.backlog == pytest.approx(100 * 100, abs=600)
    assert not played.holds
