"""Which stage holds the others up: what is unreachable comes first, then what is stalled, then what is slow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sesacctl import formatting

if TYPE_CHECKING:
    from sesacctl.pipeline.watch.screen import Stage

LOOKS = 3
"""A stage is named after so many looks: rates are between two, and two in a row have to agree. Facts are at once."""
_KEEPS_UP = 0.95
_DRAIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Suspect:
    """A stage that may hold the others up, and why; `certain`: one look is enough to know."""

    key: str
    reason: str
    certain: bool = False


class Verdict:
    """Remembers the suspects of the last looks: a stage that is slow for a moment does not count."""

    def __init__(self) -> None:
        self._suspects: deque[str | None] = deque(maxlen=LOOKS - 1)
        self._looks = 0

    def after(self, stages: Mapping[str, Stage], empty: Sequence[str]) -> tuple[str | None, str]:
        """The bottleneck's key and why it is that, with one more look; None while there is none, or it is not sure.

        `empty`: tables of which the cache has no row.
        """
        found = next(_suspects(stages, empty), None)
        self._suspects.append(found.key if found else None)
        self._looks += 1
        if found is None:
            if self._looks < LOOKS:
                return None, f"as far as {formatting.plural(self._looks, 'look')} can tell"
            return None, "every stage keeps up"
        if found.certain or (self._looks >= LOOKS and set(self._suspects) == {found.key}):
            return found.key, found.reason
        return None, f"not sure yet; {stages[found.key].title}: {found.reason}"


def _suspects(stages: Mapping[str, Stage], empty: Sequence[str]) -> Iterator[Suspect]:
    for key, stage in stages.items():
        if stage.problem:
            yield Suspect(key, stage.problem, certain=True)
    refresh, broker, consume = (stages[key] for key in ("refresh", "broker", "consume"))
    if empty:
        yield Suspect("cache", f"no {' and '.join(empty)} in it: sesacctl cache refresh", certain=True)
    if refresh.backlog:
        late = f"{formatting.plural(refresh.backlog, 'round')} late: sesacctl cache refresh --loop 50"
        yield Suspect("refresh", late)
    if broker.backlog:
        yield Suspect("broker", f"{formatting.plural(broker.backlog, 'partition')} under-replicated: sesacctl health")
    if consume.backlog and consume.rate is not None and broker.rate is not None:
        waiting = f"{formatting.plural(consume.backlog, 'event')} waiting"
        if not consume.rate:
            yield Suspect("consume", f"{waiting}, none is stored: sesacctl consume")
        elif consume.rate < _KEEPS_UP * broker.rate and consume.backlog > broker.rate:
            more = f"{broker.rate - consume.rate:,.0f} a second come in that are not stored"
            yield Suspect("consume", f"{waiting}, {more}")
        elif consume.backlog > _DRAIN_SECONDS * consume.rate:
            yield Suspect(
                "consume", f"{waiting}, {formatting.duration_text(consume.backlog / consume.rate)} at this rate"
            )
