"""`db dump|restore`: a backup of sesacctl's tables, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl import formatting
from sesacctl.cli import options, render
from sesacctl.cli.options import Output, OutputOption, YesOption

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sesacctl.pipeline.repair.dump import Dumped
    from sesacctl.pipeline.repair.restore import Restored


def dump(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Written whole or not at all.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Back up sesacctl's tables, rows and offsets of one moment, with a pg_dump that fits the server.

    Consumers may run. The file is in pg_dump's custom format, and only its owner can read it: it has personal data.

    Example: sesacctl db dump shop.dump
    """
    settings = options.begin()
    from sesacctl.pipeline.repair import dump as service

    with render.steps("dumping") as step:
        done = service.dump(settings, file, on_bytes=lambda size: step(f"{formatting.bytes_text(size)} written"))
    render.show(done, output, _dumped)
    render.next_command(f"sesacctl db restore {file}, when you need it")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `db dump` has written.")],
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Replace all rows by those of a dump, or change nothing; the schema has to be of the dump's revision.

    Consumers may run: they wait, and read from Kafka what came after the dump. Users who were forgotten since then are
    forgotten again. Into a new database: first sesacctl db init.

    Example: sesacctl db restore shop.dump
    """
    settings = options.begin(yes=yes)
    from sesacctl.database.location import locate
    from sesacctl.pipeline.repair import restore as service

    found, location = service.look(settings, file), locate(settings)
    where = f"database {location.database} on {location.address}"
    made = "" if found.made_at is None else f", made at {formatting.time_text(found.made_at)}"
    render.confirm(f"Replace all rows of {where} by those of {file}{made}?", yes=yes)
    with render.steps("restoring") as step:
        done = service.restore(settings, file, on_rows=lambda table, rows: step(f"{table}: {rows:,} rows"))
    render.show(done, output, _restored)
    render.next_command("sesacctl cache refresh, then sesacctl consume --until-empty and sesacctl audit")


def _dumped(done: Dumped) -> RenderableType:
    return render.details(
        "Dump",
        {
            "file": done.file,
            "size": formatting.bytes_text(done.bytes),
            "database": f"{done.database} on {done.server}, PostgreSQL {done.server_version}",
            "revision": done.revision,
            "made by": done.program,
        },
    )


def _restored(done: Restored) -> RenderableType:
    values: dict[str, object] = {"file": done.file, "made at": done.made_at, "revision": done.revision, **done.rows}
    if done.forgotten_again:
        values["forgotten again"] = formatting.plural(done.forgotten_again, "user")
    if done.removed_again:
        values["removed again"] = formatting.plural(done.removed_again, "user")
    return render.details("Restored", values)
