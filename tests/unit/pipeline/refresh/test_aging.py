"""How many rounds rows have waited, from their stamps and the rounds that were noted."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sesacctl.pipeline.refresh.aging import MOST_BINS, in_bins, waits_of


def test_rows_of_the_newest_round_have_waited_for_none() -> None:
    assert waits_of({30: 500, 20: 400, 10: 100}, [30, 20, 10]) == Counter({0: 500, 1: 400, 2: 100})


def test_a_round_that_left_no_stamp_counts_if_it_was_noted() -> None:
    assert waits_of({10: 7}, [30, 20, 10]) == Counter({2: 7})


def test_rounds_before_the_first_noted_are_counted_by_stamps() -> None:
    assert waits_of({5: 1, 3: 2}, [30, 20]) == Counter({2: 1, 3: 2})


def test_without_any_note_the_stamps_are_the_rounds() -> None:
    assert waits_of({30: 3, 10: 1}, []) == Counter({0: 3, 1: 1})


def test_rows_that_were_never_cached_have_no_wait() -> None:
    assert waits_of({}, [30]) == Counter()


def test_bins_reach_up_to_the_bound() -> None:
    assert in_bins(Counter({0: 5, 2: 1}), 4) == (1, [5, 0, 1, 0, 0])


def test_without_a_bound_bins_reach_up_to_the_longest_wait() -> None:
    assert in_bins(Counter({3: 1}), None) == (1, [0, 0, 0, 1])
    assert in_bins(Counter(), None) == (1, [0])


@given(st.dictionaries(st.integers(0, 100_000), st.integers(1, 1000), max_size=20), st.integers(0, 100_000) | st.none())
def test_no_row_is_lost_in_bins(waits: dict[int, int], limit: int | None) -> None:
    per_bin, bins = in_bins(Counter(waits), limit)
    assert sum(bins) == sum(waits.values())
    assert len(bins) <= MOST_BINS
    assert per_bin * len(bins) > max([*waits, limit or 0])
