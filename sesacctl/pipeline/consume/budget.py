"""How many events an instance may still store."""

from __future__ import annotations

from typing import Protocol


class Budget(Protocol):
    """What an instance asks for before it stores anything."""

    def take(self, most: int) -> int:
        """Reserve up to `most` events; 0 when none are left."""

    def in_doubt(self) -> None:
        """What was reserved is stored, or is not: nobody knows yet."""
