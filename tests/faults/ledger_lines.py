"""The producer's ledger, read by its lines and by no code of ours."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.site import ORDERS, PRODUCTS, USERS

KINDS = (ORDERS, USERS, PRODUCTS)


@dataclass(slots=True)
class Ledger:
    """Ids by kind: of what was about to be sent, and of what Kafka has acknowledged."""

    sent: dict[str, set[str]] = field(default_factory=lambda: {kind: set() for kind in KINDS})
    acknowledged: dict[str, set[str]] = field(default_factory=lambda: {kind: set() for kind in KINDS})
    problems: list[str] = field(default_factory=list)


def read_ledger(path: Path) -> Ledger:
    """All of it; a last line without its end was cut short by a crash and says nothing."""
    found = Ledger()
    if not path.exists():
        return found
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                continue
            try:
                entry = json.loads(line)
                [(what, kind)] = [(name, value) for name, value in entry.items() if name != "id"]
                {"sent": found.sent, "acked": found.acknowledged}[what][kind].add(entry["id"])
            except (ValueError, KeyError) as error:
                found.problems.append(f"line {number} of the ledger: {error!r}")
    for kind in KINDS:
        if never := found.acknowledged[kind] - found.sent[kind]:
            found.problems.append(f"{len(never)} {kind} acknowledged and never sent")
    return found
