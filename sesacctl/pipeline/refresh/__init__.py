"""PostgreSQL → Redis: the least recently cached rows, every 50 seconds."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sesacctl.pipeline.refresh.worker import Refresher

_HOMES = {"Refresher": "worker"}
__all__ = ["Refresher"]


def __getattr__(name: str) -> object:
    """What is public, imported when it is first asked for: commands start without what they do not use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
