"""The text that COPY reads."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from sesacctl.events import Order, User
from sesacctl.pipeline.sink.copy_rows import copy_text

AT = datetime(2026, 11, 22, 20, 0, 0, 123456, UTC)


def order(order_id: str = "o1", **values: Any) -> Order:
    row: dict[str, Any] = {
        "user_id": "u1",
        "product_id": "p1",
        "quantity": 1,
        "total_amount": 1000,
        "created_at": AT,
    } | values
    return Order(order_id=order_id, **row)


FULL: dict[str, Any] = {
    "payment_method": "신용카드",
    "status": "결제완료",
    "category": "가전",
    "user_region": "서울",
    "user_gender": "F",
    "user_age_group": "30대",
}


def test_a_full_row() -> None:
    assert copy_text([order(**FULL)]) == (
        "o1\tu1\tp1\t1\t1000\t0\t0\t신용카드\t결제완료\t가전\t서울\tF\t30대\t2026-11-22T20:00:00.123456Z\n"
    )


def test_none_is_null_and_empty_text_is_not() -> None:
    line = copy_text([order(**FULL | {"status": None, "category": ""})])
    assert line.split("\t")[8:10] == ["\\N", ""]


def test_rows_keep_their_order_whether_or_not_they_have_nulls() -> None:
    lines = copy_text([order("a"), order("b", **FULL), order("c")]).splitlines()
    assert [line.split("\t")[0] for line in lines] == ["a", "b", "c"]


def test_a_naive_time_is_written_without_a_zone() -> None:
    assert copy_text(
        [User(user_id="u", name="김", join_date=date(2024, 2, 29), created_at=AT.replace(tzinfo=None))]
    ) == ("u\t김\t\\N\t\\N\t\\N\t\\N\t2024-02-29\t2026-11-22T20:00:00.123456\n")


@example(["back\\slash"])
@example(["carriage\rreturn"])
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20), min_size=1))
def test_any_text_comes_back(texts: list[str]) -> None:
    rows = [order(**FULL | {"status": text}) for text in texts]
    lines = copy_text(rows).split("\n")
    assert lines.pop() == ""
    assert [_unescape(line.split("\t")[8]) for line in lines] == texts


def test_a_field_with_tabs_cannot_forge_a_row() -> None:
    """As many line ends as rows, and as many tabs as in so many lines: only one row is missing."""
    forged = "\t" * 4 + "now\nEVIL\tu1\tp1\t1\t1\t0\t0" + "\t" * 3
    lines = copy_text([order("a"), order("b", **FULL | {"category": forged})]).split("\n")
    assert [line.split("\t")[0] for line in lines] == ["a", "b", ""]


def _unescape(text: str) -> str:
    """As PostgreSQL reads it (documentation of COPY, text format)."""
    found, rest = "", iter(text)
    for character in rest:
        found += {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}[next(rest)] if character == "\\" else character
    return found
