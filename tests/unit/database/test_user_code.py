"""Which function an error's context names: the texts of PostgreSQL's languages."""

from __future__ import annotations

import pytest

from sesacctl.database.user_code import function_in


@pytest.mark.parametrize(
    ("context", "name"),
    [
        ("PL/pgSQL function log_order() line 3 at RAISE", "log_order"),
        (
            'SQL statement "INSERT INTO log VALUES (1)"\nPL/pgSQL function log_order() line 3 at SQL statement',
            "log_order",
        ),
        ("PL/pgSQL function inner(integer,text) line 1 at RAISE\nPL/pgSQL function outer() line 2 at PERFORM", "inner"),
        ('PL/pgSQL function "로그 남기기"() line 1 at RAISE', "로그 남기기"),
        ("PL/pgSQL function log_order() while storing call arguments into local variables", "log_order"),
        ('compilation of PL/pgSQL function "log_order" near line 2', "log_order"),
        ('SQL function "price" statement 1', "price"),
        ('SQL function "price" during startup', "price"),
        ('Traceback (most recent call last):\nPL/Python function "score"', "score"),
        ('PL/Perl function "score"', "score"),
        ("COPY orders, line 2", None),
        ('COPY orders, line 1, column note: "PL/pgSQL function f() line 1"', None),
        ('SQL statement "SELECT 1 FROM ONLY users x WHERE user_id = $1 FOR KEY SHARE OF x"', None),
        ("", None),
    ],
)
def test_the_innermost_function_is_named(context: str, name: str | None) -> None:
    assert function_in(context) == name
