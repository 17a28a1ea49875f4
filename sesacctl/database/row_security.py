"""Row-level security: which tables have it, and which rows it hides. PostgreSQL hides rows without an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg2 import Error as PostgresError
from psycopg2 import errorcodes

from sesacctl.errors import ServerRefused

if TYPE_CHECKING:
    from psycopg2 import extensions

TABLES = (
    "users", "products", "orders", "sink_offsets", "dead_letters", "parked_events", "log_cuts", "row_changes",
    "forgotten_users", "sesacctl_version",
)  # fmt: skip
COMMANDS = ("SELECT", "INSERT", "UPDATE", "DELETE")
# The functions of PostgreSQL 15 to 18 that raise it: messages are translated, and other missing rights have the code.
_A_ROW = "ExecWithCheckOptions"
_A_QUERY = "check_enable_rls"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecuredTable:
    """A table with row-level security, as the connection's user meets it.

    `bypassed_by` is what lets the user pass all policies (`superuser`, `BYPASSRLS`, `owner`), or None. `missing` are
    the commands that are granted to the user, and that no policy allows on every row.
    """

    table: str
    user: str
    bypassed_by: str | None
    missing: tuple[str, ...]

    @property
    def verb(self) -> str:
        """What the user may do, in front of the tables' names."""
        if self.bypassed_by:
            return f"user {self.user} bypasses it ({self.bypassed_by}) on"
        if self.missing:
            return f"no policy allows user {self.user} {', '.join(self.missing)} on every row of"
        return f"policies allow user {self.user} every row of"


def describe(found: Sequence[SecuredTable]) -> str:
    """For people: what the user may do with the rows of the tables."""
    groups: dict[str, list[str]] = {}
    for each in found:
        groups.setdefault(each.verb, []).append(each.table)
    return "; ".join(f"{verb} {', '.join(tables)}" for verb, tables in groups.items())


# A permissive policy is enough, and a restrictive one limits all of them. An ALL policy without a check uses its
# condition as the check. `granted`: a user that only reads needs no other policy.
_LOOK = """
    SELECT c.relname, current_user,
        CASE WHEN row_security_active(c.oid) THEN NULL WHEN r.rolsuper THEN 'superuser'
             WHEN r.rolbypassrls THEN 'BYPASSRLS' ELSE 'owner' END,
        ARRAY(
            SELECT name FROM (VALUES (1, 'SELECT', 'r'), (2, 'INSERT', 'a'), (3, 'UPDATE', 'w'), (4, 'DELETE', 'd'))
                AS command (place, name, letter)
            WHERE has_table_privilege(c.oid, name) AND NOT coalesce((
                SELECT bool_or(always) FILTER (WHERE polpermissive) AND coalesce(bool_and(always)
                    FILTER (WHERE NOT polpermissive), true)
                FROM (
                    SELECT polpermissive,
                        (letter = 'a' OR pg_get_expr(polqual, polrelid) = 'true')
                        AND (letter IN ('r', 'd')
                            OR coalesce(pg_get_expr(polwithcheck, polrelid), pg_get_expr(polqual, polrelid)) = 'true')
                        AS always
                    FROM pg_policy WHERE polrelid = c.oid AND polcmd IN ('*', letter::"char")
                        AND EXISTS (SELECT FROM unnest(polroles) AS role
                                    WHERE role = 0 OR pg_has_role(role, 'USAGE'))) AS policy), false)
            ORDER BY place)
    FROM pg_class c JOIN pg_roles r ON r.rolname = current_user
    WHERE c.relrowsecurity AND c.oid IN (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name)
    ORDER BY array_position(%s::text[], c.relname::text)"""


def look(cursor: extensions.cursor, tables: Sequence[str] = TABLES) -> tuple[SecuredTable, ...]:
    """The tables among these that have row-level security; one that does not exist has none."""
    cursor.execute(_LOOK, (list(tables), list(tables)))
    return tuple(
        SecuredTable(table=table, user=user, bypassed_by=by, missing=() if by else tuple(missing))
        for table, user, by, missing in cursor.fetchall()
    )


def require_visible(cursor: extensions.cursor, tables: Sequence[str] = TABLES) -> None:
    """Return only if all rows of these tables can be seen.

    Raises:
        ServerRefused: row-level security may hide some.
    """
    _refuse([each for each in look(cursor, tables) if "SELECT" in each.missing], "may hide rows")


def require_all(cursor: extensions.cursor, tables: Sequence[str] = TABLES, commands: Sequence[str] = COMMANDS) -> None:
    """Return only if the user may do on every row of these tables what is granted to it, as far as `commands` go.

    Raises:
        ServerRefused: PostgreSQL would hide rows, refuse them, or change fewer than it is asked to.
    """
    _refuse([each for each in look(cursor, tables) if set(each.missing) & set(commands)], "limits what is granted")


def _refuse(found: Sequence[SecuredTable], what: str) -> None:
    if error := refusal(found, what):
        raise error


def refusal(found: Sequence[SecuredTable], what: str = "limits what is granted") -> ServerRefused | None:
    """The error that tables with missing policies amount to; None if nothing is missing."""
    limited = [each for each in found if each.missing]
    if not limited:
        return None
    return ServerRefused(f"Row-level security {what}: {describe(limited)}", hint=hint(limited[0].user))


def hint(user: str) -> str:
    """What makes the policies."""
    return f"policies as in deploy/sql/policies.sql for user {user}; then sesacctl db check"


def is_refused_row(error: PostgresError) -> bool:
    """Whether a policy's check refused a row."""
    return bool(error.pgcode == errorcodes.INSUFFICIENT_PRIVILEGE and error.diag.source_function == _A_ROW)


def is_policy(error: PostgresError) -> bool:
    """Whether row-level security raised it: a row, or a whole query where `row_security` is off."""
    return error.pgcode == errorcodes.INSUFFICIENT_PRIVILEGE and error.diag.source_function in (_A_ROW, _A_QUERY)
