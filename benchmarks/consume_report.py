"""The tables of `python -m benchmarks.consume`, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isinf
from statistics import median

from benchmarks.consume_service import Figure
from benchmarks.goals import against, goals, shares
from benchmarks.measuring import Run
from benchmarks.processor import GROUPS
from benchmarks.results import table


@dataclass(frozen=True)
class Report:
    """All runs by contender, and the figures of nine consumers as a service."""

    runs: Mapping[str, Sequence[Run]]
    figures: Sequence[Figure]

    @property
    def missed(self) -> bool:
        """Whether a goal or a target was."""
        missed = [goal for goal in goals(self._medians) if goal.verdict != "met"]
        return bool(missed) or any(figure.missed for figure in self.figures)

    def lines(self) -> list[str]:
        """Rates, goals, shares of the limits, processor time and the service."""
        rounds = max((len(runs) for runs in self.runs.values()), default=0)
        found = [f"Medians of up to {rounds} interleaved rounds; the number after a name is that of its processes."]
        for heading, lines in (
            ("Rows a second", self._rates()),
            ("Goals", self._goals()),
            ("Shares of the limits", table(("ours", "limit", "share"), shares(self._medians))),
            ("Microseconds of processor time for each row", self._processor()),
            ("Nine consumers as a service", self._service() if self.figures else []),
        ):
            found += ["", f"### {heading}", "", *lines] if lines else []
        return found

    @property
    def _medians(self) -> dict[str, float]:
        return {name: median(run.rate for run in runs) for name, runs in self.runs.items()}

    def _rates(self) -> list[str]:
        rows = []
        for name, runs in self.runs.items():
            rates = [run.rate for run in runs]
            shown = (f"{value:,.0f}" for value in (median(rates), min(rates), max(rates)))
            rows.append((name, str(len(rates)), *shown, against(name, self._medians)))
        return table(("contender", "rounds", "median", "min", "max", "sesacctl is"), _escaped(rows))

    def _goals(self) -> list[str]:
        rows = [(goal.text, f"{goal.ratio:.2f}", f"≥ {goal.least:g}", goal.verdict) for goal in goals(self._medians)]
        return table(("ratio of medians", "measured", "goal", ""), _escaped(rows))

    def _processor(self) -> list[str]:
        rows = []
        for name, runs in self.runs.items():
            used = [median(run.processor[group] for run in runs) for group in GROUPS]
            rows.append((name, *(f"{value:.1f}" for value in (*used, sum(used)))))
        return table(("contender", *GROUPS, "all"), _escaped(rows))

    def _service(self) -> list[str]:
        rows = [
            (each.name, f"{each.value:.1f} {each.unit}", f"≤ {each.most:g}", "MISSED" if each.missed else "met")
            for each in self.figures
            if isfinite(each.most)
        ]
        rows += [(each.name, f"{each.value:.1f} {each.unit}", "", "") for each in self.figures if isinf(each.most)]
        return table(("", "measured", "target", ""), rows)


def _escaped(rows: Iterable[Sequence[str]]) -> list[list[str]]:
    return [[cell.replace("|", "\\|") for cell in row] for row in rows]
