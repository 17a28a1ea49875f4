"""What `sesacctl consume` is to reach against the others, as ratios of medians of one run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from benchmarks.contenders import BEFORE, PREDECESSOR, READ

_BEST_OF = ("mq-bridge", "faucet", "connect")
# Ours, against whom, and the least ratio.
_PAIRS = (
    *((f"sesacctl {number}", f"confluent {number}", 2.5) for number in (1, 2, 9)),
    *((f"sesacctl {number}", f"confluent COPY {number}", 1.0) for number in (1, 2, 9)),
    ("sesacctl 2", "kcat | psql", 1.5),
    ("sesacctl 9", PREDECESSOR, 200.0),
    ("sesacctl 1", "server COPY 1", 0.7),
    ("sesacctl 2", "server COPY 2", 0.7),
    ("sesacctl 9", "server COPY 2", 0.7),
    ("sesacctl 9", "sesacctl 2", 1.1),
)


@dataclass(frozen=True)
class Goal:
    """A ratio, and the least that it should be."""

    text: str
    ratio: float
    least: float

    @property
    def verdict(self) -> str:
        """Whether it was reached."""
        return "met" if self.ratio >= self.least else "MISSED"


def goals(medians: Mapping[str, float]) -> list[Goal]:
    """Those whose two sides were measured."""
    found = []
    for ours, theirs, least in (*_PAIRS, *_against_the_best(medians)):
        if ours in medians and theirs in medians:
            found.append(Goal(f"{ours} / {theirs}", medians[ours] / medians[theirs], least))
    return found


def against(name: str, medians: Mapping[str, float]) -> str:
    """Ours with as many processes, or with two, as a multiple of this contender."""
    if name.startswith("sesacctl"):
        return ""
    number = name.rpartition(" ")[2] if name.startswith((BEFORE, "confluent", "psycopg", "server")) else "2"
    ours = f"sesacctl {9 if name == PREDECESSOR else number}"  # nine is what `consume` starts
    return f"{medians[ours] / medians[name]:.2f}x with {ours.partition(' ')[2]}" if ours in medians else ""


def shares(medians: Mapping[str, float]) -> Iterator[tuple[str, str, str]]:
    """Ours, the limit beside it, and the share that is reached."""
    for number, backends in ((1, 1), (2, 2), (9, 2)):
        for limit in (f"server COPY {backends}", READ):
            ours = f"sesacctl {number}"
            if ours in medians and limit in medians:
                yield ours, limit, f"{medians[ours] / medians[limit]:.2f}"


def _against_the_best(medians: Mapping[str, float]) -> Iterable[tuple[str, str, float]]:
    there = [name for name in medians if name.startswith(_BEST_OF)]
    return [("sesacctl 2", max(there, key=lambda name: medians[name]), 1.5)] if there else []
