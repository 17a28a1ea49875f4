"""The token bucket."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sesacctl.pipeline.produce.newcomers import Newcomers
from sesacctl.pipeline.produce.token_bucket import Bucket


@given(
    rate=st.floats(0.1, 100_000),
    steps=st.lists(st.floats(0.0001, 0.99), min_size=1, max_size=200),
)
def test_any_steps_shorter_than_a_second_give_the_rate_exactly(rate: float, steps: list[float]) -> None:
    bucket, elapsed, spent = Bucket(rate), 0.0, 0
    for step in steps:
        elapsed += step
        due = max(0, bucket.due(elapsed))
        bucket.spend(due)
        spent += due
    assert abs(spent - rate * elapsed) <= 1


def test_a_standstill_is_not_made_up_for() -> None:
    bucket = Bucket(200)
    bucket.spend(bucket.due(1.0))
    assert bucket.due(60.0) == 200
    bucket.spend(200)
    assert bucket.due(60.1) == 20


def test_a_slow_pace_keeps_one_token_at_the_least() -> None:
    bucket = Bucket(0.1)
    assert bucket.due(9.9) == 0
    assert bucket.due(100.0) == 1


def test_a_cart_may_go_into_debt() -> None:
    bucket = Bucket(10)
    assert bucket.due(0.1) == 1
    bucket.spend(5)
    assert bucket.due(0.5) == 0
    assert bucket.due(0.6) == 1
    assert Bucket(10).due(0.0) == 0


def test_the_wait_ends_when_the_next_token_comes() -> None:
    bucket = Bucket(4)
    assert bucket.seconds_to_next(0.0) == 0.25
    bucket.spend(3)
    assert bucket.seconds_to_next(0.5) == 0.5
    assert bucket.seconds_to_next(2.0) == 0.0
    assert bucket.due(bucket.seconds_to_next(0.0)) == 1


def test_newcomers_keep_their_pace_and_are_the_same_for_a_seed() -> None:
    def names(seed: int) -> tuple[list[object], list[object]]:
        newcomers = Newcomers(users_per_second=2, products_per_second=1, random_seed=seed)
        users: list[object] = [event.user.name for tenth in range(1, 101) for event in newcomers.users(tenth / 10, 100)]
        products: list[object] = [
            event.product.name for tenth in range(1, 101) for event in newcomers.products(tenth / 10, 100)
        ]
        return users, products

    users, products = names(1)
    assert (len(users), len(products)) == (20, 10)
    assert names(1) == (users, products)
    assert names(2) != (users, products)


def test_no_newcomers_at_a_rate_of_zero() -> None:
    newcomers = Newcomers(users_per_second=0, products_per_second=0, random_seed=None)
    assert newcomers.users(1e6, 100) == []
    assert newcomers.products(1e6, 100) == []


def test_new_rows_are_made_in_portions() -> None:
    newcomers = Newcomers(users_per_second=1_000_000, products_per_second=250, random_seed=None)
    assert len(newcomers.users(1.0, 100)) == 100
    assert [len(newcomers.products(1.0, 100)) for _ in range(4)] == [100, 100, 50, 0]
