"""The proof: what Kafka has had, compared with what PostgreSQL has."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sesacctl.pipeline.audit.report import AuditResult, audit

_HOMES = {"AuditResult": "report", "audit": "report"}
__all__ = ["AuditResult", "audit"]


def __getattr__(name: str) -> object:
    """What is public, imported when it is first asked for: commands start without what they do not use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
