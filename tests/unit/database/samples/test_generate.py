"""The sample rows: the same for the same seed, as the tables want them, and never escaping COPY's text form."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest

from sesacctl.database import row_values
from sesacctl.database.samples import generate as samples
from sesacctl.database.samples import seed

USERS, PRODUCTS = seed.TABLES


def text(table: seed.Table, count: int, random_seed: int = 1, first: int = 1) -> str:
    return b"".join(table.lines(first, count, random_seed)).decode()


@pytest.mark.parametrize("table", seed.TABLES)
def test_the_same_seed_makes_the_same_rows(table: seed.Table) -> None:
    assert text(table, 2_500) == text(table, 2_500)
    assert text(table, 2_500) != text(table, 2_500, random_seed=2)


@pytest.mark.parametrize("table", seed.TABLES)
@pytest.mark.parametrize("count", [0, 1, 999, 1_000, 1_001, 2_500])
def test_as_many_rows_as_asked_for_with_ids_of_their_own(table: seed.Table, count: int) -> None:
    ids = [line.split("\t")[0] for line in text(table, count, first=7).splitlines()]
    assert ids == [f"{table.prefix}{number:08d}" for number in range(7, 7 + count)]


@pytest.mark.parametrize("table", seed.TABLES)
def test_no_value_needs_escaping(table: seed.Table) -> None:
    lines = text(table, 20_000).splitlines()
    assert {line.count("\t") for line in lines} == {len(table.columns) - 1}
    assert "\\" not in "".join(lines)


def test_users_and_products_pass_the_library_s_own_checks() -> None:
    random = Random(3)
    for _ in range(2_000):
        row_values.new_user(samples.make_user(random))
        product = samples.make_product(random)
        row_values.new_product(product)
        assert product["price"] <= product["org_price"]
        assert abs(product["price"] / product["org_price"] - 1 + product["discount_rate"] / 100) < 0.01


def test_users_look_like_people() -> None:
    random = Random(4)
    users = [samples.make_user(random) for _ in range(5_000)]
    assert all(re.fullmatch(r"[가-힣]{2,5}", user["name"]) for user in users)
    assert {user["gender"] for user in users} == {"M", "F"}
    assert all(user["age_group"] == row_values.age_group(user["age"]) for user in users)
    assert len({user["region"] for user in users}) == 17
    assert Counter(user["name"][0] for user in users).most_common(1)[0][0] == "김"
    assert all(samples.FIRST_JOIN_DATE <= user["join_date"] <= samples.LAST_JOIN_DATE for user in users)


def test_new_ids_are_never_those_of_seeded_rows() -> None:
    ids = {samples.make_user(Random(1))["user_id"] for _ in range(1_000)}
    assert len(ids) == 1_000
    assert not any(re.fullmatch(r"u_\d{8}", user_id) for user_id in ids)


def test_a_given_id_makes_the_row_repeatable() -> None:
    assert samples.make_product(Random(1), product_id="p") == samples.make_product(Random(1), product_id="p")
