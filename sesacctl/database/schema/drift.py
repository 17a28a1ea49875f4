"""How the tables differ from the models, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from sesacctl.database.models import Base
from sesacctl.database.schema.version_table import VERSION_TABLE


def drift(connection: Connection) -> tuple[str, ...]:
    """One sentence a difference, sorted; tables and indexes that only the user has are not differences."""
    context = MigrationContext.configure(
        connection, opts={"compare_server_default": True, "version_table": VERSION_TABLE}
    )
    words = (_words(difference) for difference in _flat(compare_metadata(context, Base.metadata)))
    return tuple(sorted(word for word in words if word))


def _flat(differences: list[Any]) -> Iterator[tuple[Any, ...]]:
    """Alembic puts a column's changes into lists of their own."""
    for difference in differences:
        if isinstance(difference, list):
            yield from difference
        else:
            yield difference


def _words(difference: tuple[Any, ...]) -> str | None:
    kind, subject = difference[0], difference[1]
    if kind in ("remove_table", "remove_index"):
        return None
    if kind.startswith("modify_"):
        _, _, table, column, _, found, wanted = difference
        return f"{table}.{column}: {_change(kind, found, wanted)}"
    state = "is missing" if kind.startswith("add_") else "is unexpected"
    if kind.endswith("_column"):
        return f"{difference[2]}.{difference[3].name} {state}"
    if kind.endswith("_table"):
        return f"table {subject.name} {state}"
    columns = ", ".join(column.name for column in subject.columns)
    return f"{subject.table.name}: {type(subject).__name__} on {columns} {state}"


def _change(kind: str, found: object, wanted: object) -> str:
    if kind == "modify_type":
        return f"its type is {found}, should be {wanted}"
    if kind == "modify_nullable":
        return "should allow NULL" if wanted else "should be NOT NULL"
    return "it has a different default"
