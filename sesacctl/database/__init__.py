"""PostgreSQL: models, schema, sessions and CRUD.

`engine`, `SessionLocal` and `session_scope` are those of `sesacctl.database.database`, made on first use; `crud` and
`models` are the modules of these names.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sesacctl.database import crud, models
    from sesacctl.database.database import SessionLocal, engine, session_scope

_MODULES = ("crud", "models")
__all__ = ["SessionLocal", "crud", "engine", "models", "session_scope"]


def __getattr__(name: str) -> object:
    """Imported when it is first asked for: importing the package needs neither settings nor a server."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    return getattr(import_module(f"{__name__}.database"), name)
