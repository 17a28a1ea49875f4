"""What `sesacctl drill` prints: lines of the timeline as they come, and what came of it in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sesacctl.cli import render
from sesacctl.formatting import plural

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from sesacctl.drill.kinds import Explanation
    from sesacctl.drill.run import DrillResult
    from sesacctl.drill.stages import Moment, StageRecovery


def kinds(explanations: list[Explanation]) -> Table:
    """Each kind with its two sentences."""
    rows = [(render.text(each.kind, "bold"), render.text(f"{each.sees} {each.why}")) for each in explanations]
    return render.table("Drills", ("kind", "what you will see, and why nothing is lost"), rows)


def line(moment: Moment) -> RenderableType:
    """One line of the timeline; a long text is folded in its own column."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=7, justify="right")
    grid.add_column(width=9)
    grid.add_column(overflow="fold")
    style = "bold" if moment.stage == "fault" else ""
    grid.add_row(
        render.text(f"{moment.seconds:.1f} s", "dim"),
        render.text(moment.stage, style or "cyan"),
        render.text(moment.text, style),
    )
    return grid


def result(found: DrillResult) -> RenderableType:
    """The stages, what became of events, and the verdict."""
    from rich.console import Group

    stages = render.table("Stages", ("stage", "stopped", "for", "back after"), [_row(each) for each in found.stages])
    return Group("", stages, *(render.text(text) for text in _lines(found)), render.text(_verdict(found), "bold"))


def _row(stage: StageRecovery) -> tuple[object, ...]:
    if not stage.outages:
        return stage.stage, "never", "", ""
    times = "once" if stage.outages == 1 else f"{stage.outages} times"
    return stage.stage, times, f"{stage.seconds:.1f} s", "not yet" if not stage.works else f"{stage.back_after:.1f} s"


def _lines(found: DrillResult) -> list[str]:
    counts, audited = found.counts, found.audit
    lines = [
        f"since the fault: stored {counts.stored:,}, duplicates {counts.duplicates:,}, dead letters {counts.dead:,},"
        f" parked {counts.parked:,}; at most {plural(found.waiting, 'event')} waited in Kafka"
    ]
    if told := audited.ledger:
        lines.append(
            f"ledger: {told.acknowledged:,} acknowledged = {told.stored:,} stored + {told.dead:,} dead"
            f" + {told.parked:,} parked, {told.missing:,} missing, {told.doubled:,} stored twice"
        )
    lines.append(
        f"audit: {audited.taken:,} offsets processed, {audited.missing:,} missing, {audited.duplicated:,} duplicated,"
        f" {audited.lag:,} not stored yet"
    )
    return lines


def _verdict(found: DrillResult) -> str:
    recovered = found.recovered_seconds
    time = "not recovered" if recovered is None else f"recovered {recovered:.1f} s after the fault"
    return f"{'clean' if found.ok else 'NOT CLEAN'}: {found.kind}, seed {found.seed}, {time}"
