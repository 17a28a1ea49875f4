"""What uses columns and tables that a migration alters or drops, and the SQL that moves it aside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sesacctl import formatting
from sesacctl.database.schema import dependants_sql
from sesacctl.errors import CheckFailed

if TYPE_CHECKING:
    from psycopg2 import extensions


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependant:
    """One object that is in the way, and the SQL that drops it and creates it again; in the order of dropping."""

    kind: str
    name: str
    drop: str
    create: str


Columns = Mapping[str, Sequence[str]]


def dependants(cursor: extensions.cursor, modules: Iterable[Any], *, downgrade: bool) -> tuple[Dependant, ...]:
    """What is in the way of the migrations, given as their modules; leaves the transaction open, nothing is locked.

    Those that use a column whose type changes; and, of a downgrade, those that use a column or a table that is dropped.
    """
    retyped: list[tuple[str, str]] = []
    dropped: list[tuple[str, str]] = []
    for module in modules:
        retyped += _pairs(getattr(module, "RETYPED", {}))
        if downgrade:
            dropped += _pairs(getattr(module, "DROPPED_BY_DOWNGRADE", {}))
    gone = tuple({table for table, column in dropped if not column})
    cursor.execute(dependants_sql.FIND, {"retyped": _lists(retyped), "dropped": _lists(dropped), "gone": list(gone)})
    found: dict[str, dict[int, int]] = {}
    for catalogue, oid, depth in cursor.fetchall():
        found.setdefault(catalogue, {})[oid] = depth
    cursor.execute("SET LOCAL search_path = pg_catalog")  # so that the definitions name every schema
    described = [
        (depths[oid], Dependant(kind=kind, name=name, drop=drop, create=create))
        for catalogue, depths in found.items()
        for oid, kind, name, drop, create in _describe(cursor, catalogue, list(depths))
    ]
    return tuple(dependant for _, dependant in sorted(described, key=lambda item: (-item[0], item[1].name)))


def _pairs(columns: Columns) -> list[tuple[str, str]]:
    """`(table, column)`; an empty column for a whole table."""
    return [(table, column) for table, names in columns.items() for column in (names or ("",))]


def _lists(pairs: Sequence[tuple[str, str]]) -> list[list[str]]:
    return [list(pair) for pair in dict.fromkeys(pairs)]


def _describe(cursor: extensions.cursor, catalogue: str, oids: list[int]) -> list[tuple[Any, ...]]:
    cursor.execute(dependants_sql.DESCRIBE[catalogue], {"oids": oids})
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def script(found: Sequence[Dependant]) -> str:
    """SQL that drops all of them, and creates them again in the opposite order."""
    before, after = (each.drop for each in found), (each.create for each in reversed(found))
    after_line = "-- after; times have a zone then, and what compares them with TIMESTAMP may have to be changed"
    return "\n".join(["-- before", *before, after_line, *after])


def require_none(found: Sequence[Dependant], *, command: str) -> None:
    """Return only if nothing is in the way.

    Raises:
        CheckFailed: names what is.
    """
    if found:
        names = ", ".join(f"{each.kind} {each.name}" for each in found)
        raise CheckFailed(
            f"{formatting.plural(len(found), 'object')} that sesacctl did not make would stop the migration,"
            f" nothing was changed: {names}",
            hint=f"{command} --dry-run prints SQL: what is under `-- before`, {command}, then what is under `-- after`",
        )
