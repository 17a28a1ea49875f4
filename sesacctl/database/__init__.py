"""PostgreSQL: models, schema, sessions and CRUD.

`engine`, `SessionLocal` and `session_scope` are those of `sesacctl.database.database`, made on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sesacctl.database.database import SessionLocal, engine, session_scope

__all__ = ["SessionLocal", "engine", "session_scope"]


def __getattr__(name: str) -> object:
    """Imported when it is first asked for: importing the package needs neither settings nor a server."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sesacctl.database import database

    return getattr(database, name)
