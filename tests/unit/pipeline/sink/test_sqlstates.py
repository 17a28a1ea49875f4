"""What each SQLSTATE means for the sink."""

from __future__ import annotations

import psycopg2
import pytest

from sesacctl.database.user_code import failing_function
from sesacctl.pipeline.sink.sqlstates import Failure, classify


def coded(code: str) -> psycopg2.Error:
    """As the server sends it: psycopg2 lets nobody else set a code, but for unpickling."""
    error = psycopg2.Error("told by the server")
    error.__setstate__({"pgcode": code})
    return error


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        *((code, Failure.DATA) for code in ("22003", "22001", "22P02", "23502", "23514", "42804", "54000")),
        *((code, Failure.DATA) for code in ("P0001", "P0002", "P0999", "44000", "23P01", "38000", "38004", "39001")),
        ("23503", Failure.PARK),
        ("23505", Failure.CONFLICT),
        *((code, Failure.INFRA) for code in ("08006", "57P01", "57014", "53100", "53300", "25006", "25P03")),
        *((code, Failure.INFRA) for code in ("40001", "40P01", "55P03")),
        *((code, Failure.STOP) for code in ("42P01", "42703", "42501", "28000", "28P01", "3D000", "42883", "42601")),
        ("XX000", Failure.CODE),
    ],
)
def test_the_code_decides(code: str, failure: Failure) -> None:
    assert classify(coded(code)) is failure


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (psycopg2.OperationalError("server closed the connection"), Failure.INFRA),
        (psycopg2.InterfaceError("connection already closed"), Failure.INFRA),
        (psycopg2.DatabaseError("error with no message from the libpq"), Failure.INFRA),
        (psycopg2.ProgrammingError("can't adapt type 'set'"), Failure.STOP),
        (psycopg2.NotSupportedError("this is a bug"), Failure.STOP),
    ],
)
def test_without_a_code_it_is_a_lost_connection_or_a_bug(error: psycopg2.Error, failure: Failure) -> None:
    assert classify(error) is failure


def test_a_context_without_a_function_is_not_one() -> None:
    assert failing_function(coded("42P01")) is None
