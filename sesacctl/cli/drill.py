"""sesacctl drill."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import options, render
from sesacctl.cli.options import Output, OutputOption
from sesacctl.drill.kinds import DrillKind, Language
from sesacctl.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from sesacctl.drill.run import DrillResult
    from sesacctl.drill.stages import Moment
    from sesacctl.settings import Settings

app = typer.Typer()
_INTERRUPTED = 130


@app.command()
def drill(
    kind: Annotated[
        DrillKind | None, typer.Argument(metavar="KIND", help="What to hit: `--list` names all.", show_default=False)
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="Explain every kind in two sentences, and exit.")] = False,
    language: Annotated[Language, typer.Option("--lang", help="Language of the explanations.")] = Language.ENGLISH,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=options.LONG,
            help="Chooses whom to hit and what to send.",
            show_default="today's date",
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Have one fault on the local stack, watch how each stage comes through, and end with the audit. Exits 5 on a loss.

    Parts of the loop that do not turn yet are started, and ended with it; others are used as they are. It takes about a
    minute. Ctrl-C heals the fault.

    Example: sesacctl drill broker
    """
    settings = options.begin(sesac_log_level="error")
    from sesacctl.cli import drill_views
    from sesacctl.drill.kinds import explain, explanations

    if show_list:
        render.show(explanations(language), output, drill_views.kinds)
        return
    if kind is None:
        raise UsageError("which kind of drill?", hint="sesacctl drill --list")
    explanation = explain(kind, language)
    render.say(f"{explanation.sees} {explanation.why}")
    result = _run(settings, kind, int(time.strftime("%Y%m%d")) if seed is None else seed, output)
    render.show(result, output, drill_views.result)
    _check(result, settings)
    render.next_command("sesacctl dlq list" if result.counts.dead else "sesacctl drill --list")


def _run(settings: Settings, kind: DrillKind, seed: int, output: Output) -> DrillResult:
    from sesacctl.cli import drill_views
    from sesacctl.cli.signals import stop_event
    from sesacctl.drill import local
    from sesacctl.drill.run import drill as drill_service
    from sesacctl.drill.watch import Interrupted
    from sesacctl.home import home

    local.require(settings, home(), again=f"sesacctl drill {kind}")
    show: Callable[[Moment], None] = {
        Output.TABLE: lambda moment: render.stdout.print(drill_views.line(moment)),
        Output.JSONL: lambda moment: render.show(moment, Output.JSONL, drill_views.line),
        Output.JSON: lambda moment: render.say(f"{moment.seconds:.1f} s {moment.stage}: {moment.text}"),
    }[output]
    stop = stop_event(only_once=True)
    try:
        return drill_service(settings, home(), kind, seed=seed, stop=stop, on_step=render.say, on_moment=show)
    except Interrupted:
        render.say("interrupted: the fault is healed, and what the drill started has ended")
        raise typer.Exit(_INTERRUPTED) from None


def _check(result: DrillResult, settings: Settings) -> None:
    from sesacctl.cli.audit import require_clean

    require_clean(result.audit, settings)
    if not result.ok:
        raise CheckFailed(
            "the audit is clean, but the loop has not recovered in time, or not everything is stored yet",
            hint="sesacctl health",
        )
