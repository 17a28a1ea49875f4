"""Redis → Kafka: orders of cached users and products, at a rate, with a ledger."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sesacctl.pipeline.produce.producer import ProducePlan, Producer

_HOMES = {"ProducePlan": "producer", "Producer": "producer"}
__all__ = ["ProducePlan", "Producer"]


def __getattr__(name: str) -> object:
    """What is public, imported when it is first asked for: commands start without what they do not use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
