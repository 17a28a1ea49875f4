"""What a reader makes of the values in the hashes."""

from __future__ import annotations

import logging

import pytest

from sesacctl.cache.client import _decode
from sesacctl.cache.rows import COLUMNS
from sesacctl.database.models import Product, User

USER = b"""{"user_id": "u1", "name": "\\ud64d\\"\\\\\\u2028", "gender": null, "age": 30, "age_group": "30\xeb\x8c\x80",
"region": null, "join_date": "2024-01-01", "created_at": "2026-11-22T20:00:00+00:00", "column_of_later": 1}"""


def test_a_row_is_a_typed_dictionary_of_the_columns() -> None:
    [row] = _decode("users", [USER])
    assert row["name"] == '홍"\\\u2028'
    assert row["age_group"] == "30대"
    assert tuple(row) == COLUMNS["users"]


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"[]", b"null", b'{"user_id": "u2"}', b'{"user_id": 3}'])
def test_an_invalid_row_is_skipped_with_a_warning(value: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        rows = _decode("users", [value, USER])
    assert [row["user_id"] for row in rows] == ["u1"]
    assert caplog.records[0].__dict__["rows"] == 1


def test_the_cached_columns_are_those_of_the_tables() -> None:
    for cached, model in ((COLUMNS["users"], User), (COLUMNS["products"], Product)):
        assert cached == tuple(c.name for c in model.__table__.columns if c.name != "last_cached_at")
