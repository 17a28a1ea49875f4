"""Which faults come when: drawn from the seed alone, so that a storm can be had again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from tests.faults.fault import Kind

_TWO_AT_ONCE = 0.25
_GAPS = (0.0, 0.5, 2.0)  # seconds between two faults


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault to come: `begins` and `ends` are seconds from the begin of its round, `seed` is that of its own dice."""

    kind: Kind
    seed: str
    begins: float
    ends: float


def rounds(seed: int, kinds: Sequence[Kind], longest_hold: float = float("inf")) -> Iterator[list[Planned]]:
    """Rounds of one or two faults without end; every kind has had its turn before one comes again."""
    dice, bag, number = Random(seed), list[Kind](), 0
    while True:
        number += 1
        chosen = [_draw(dice, bag, kinds)]
        if dice.random() < _TWO_AT_ONCE and not chosen[0].alone:
            second = _draw(dice, bag, kinds)
            if second.alone or second.room == chosen[0].room:
                bag.append(second)
            else:
                chosen.append(second)
        begins, planned = 0.0, []
        for place, kind in enumerate(chosen):
            fitting = [hold for hold in kind.holds if hold <= longest_hold] or [min(kind.holds)]
            planned.append(Planned(kind, f"{seed}-{number}-{place}", begins, begins + dice.choice(fitting)))
            begins += dice.choice(_GAPS)
        yield planned


def _draw(dice: Random, bag: list[Kind], kinds: Sequence[Kind]) -> Kind:
    if not bag:
        bag.extend(kinds)
        dice.shuffle(bag)
    return bag.pop()
