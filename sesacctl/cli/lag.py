"""sesacctl lag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import options, render
from sesacctl.cli.options import Output, OutputOption

if TYPE_CHECKING:
    from rich.table import Table

    from sesacctl.pipeline.progress import Progress

app = typer.Typer()


@app.command()
def lag(
    group: Annotated[str | None, typer.Option(help="Consumer group.", show_default="KAFKA_GROUP")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Events not stored yet, per partition, against PostgreSQL's offsets and Kafka's.

    Example: sesacctl lag -o json
    """
    settings = options.begin(kafka_group=group)
    from sesacctl.pipeline.progress import lag_report

    render.show(lag_report(settings), output, lambda report: _table(report.partitions, report.lag))


def _table(partitions: list[Progress], total: int) -> Table:
    rows = [(f"{p.topic}-{p.partition}", p.log_start, p.log_end, p.next, p.kafka_offset, p.lag) for p in partitions]
    columns = ("partition", "log start", "log end", "in PostgreSQL", "in Kafka", "lag")
    return render.table(f"Lag: {total:,} events", columns, rows)
