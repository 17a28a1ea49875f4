"""Errors out of functions that the database's owner wrote, such as those of triggers: sesacctl's schema has none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from psycopg2 import Error as PostgresError

from sesacctl.errors import ServerRefused

if TYPE_CHECKING:
    from psycopg2 import extensions

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


def require_no_rules(cursor: extensions.cursor, tables: Sequence[str]) -> None:
    """Return only if no rule of the user's own rewrites what is inserted: COPY passes it, and ON CONFLICT is refused.

    Raises:
        ServerRefused: names the rules.
    """
    cursor.execute(
        "SELECT rulename, ev_class::regclass::text FROM pg_rewrite WHERE ev_type IN ('2', '3')"
        " AND ev_class IN (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name) ORDER BY 1, 2",
        (list(tables),),
    )
    rules = [f"{rule} on {table}" for rule, table in cursor.fetchall()]
    if rules:
        raise ServerRefused(
            f"PostgreSQL's rules cannot stand beside sesacctl's statements: {', '.join(rules)}",
            hint=f"DROP RULE {rules[0]}, and make it a trigger; then the same command again",
        )
