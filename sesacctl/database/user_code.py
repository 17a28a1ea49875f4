"""Errors out of functions that the database's owner wrote, such as those of triggers: sesacctl's schema has none."""

from __future__ import annotations

import re

from psycopg2 import Error as PostgresError

# The innermost comes first; every procedural language and SQL adds such a line to an error's context.
_FUNCTION = re.compile(
    r"^(?:compilation of )?(?:PL/\w+|SQL) function \"?(.+?)\"?(?:(?: near)? line \d| statement \d| during |\(.*\)|$)",
    re.MULTILINE,
)


def failing_function(error: PostgresError) -> str | None:
    """The name of the function in which a statement failed; None if it failed in none."""
    return function_in(error.diag.context or "")


def function_in(context: str) -> str | None:
    """The innermost function that an error's context names."""
    found = _FUNCTION.search(context)
    return found[1] if found else None


def failed_within_statement(error: PostgresError) -> bool:
    """Whether a function failed in a statement of its own, and not by what it computed or raised."""
    return failing_function(error) is not None and "SQL statement" in (error.diag.context or "")


def name_failing(error: PostgresError) -> str | None:
    """`function f`, and the table if PostgreSQL names one."""
    function = failing_function(error)
    if function is None:
        return None
    return f"function {function}" + (f", table {error.diag.table_name}" if error.diag.table_name else "")
