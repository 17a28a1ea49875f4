"""`config init|show|check`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import render
from sesacctl.cli.options import Output, OutputOption, YesOption

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sesacctl.config.check import Configuration
    from sesacctl.config.env_file import Written
    from sesacctl.settings import Variable

app = typer.Typer(
    no_args_is_help=True,
    help="Write, show and check the settings.\n\nExample: sesacctl config show --origin",
)


@app.command()
def init(yes: YesOption = False, output: OutputOption = Output.TABLE) -> None:
    """Write a .env with random passwords, readable by you alone; asks before it replaces one.

    Example: sesacctl config init
    """
    from sesacctl.config import env_file
    from sesacctl.settings import ENV_FILE

    if ENV_FILE.exists():
        render.confirm(
            f"Replace {ENV_FILE.absolute()}? Servers that were set up with its passwords will refuse the new ones.",
            yes=yes,
        )
    render.show(env_file.write(ENV_FILE), output, _written)
    render.next_command("sesacctl config show")


@app.command()
def show(
    origin: Annotated[bool, typer.Option("--origin", help="Also where each value came from.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Every setting with its value; passwords are masked. Wrong ones are shown as well.

    Example: sesacctl config show --origin
    """
    from sesacctl.settings import explain

    render.show(explain(), output, lambda variables: _table(variables, origin=origin))


@app.command()
def check(output: OutputOption = Output.TABLE) -> None:
    """Say what is wrong with the settings, without asking any server; exit 3 if something is.

    Example: sesacctl config check
    """
    from sesacctl.config import check as configuration
    from sesacctl.errors import ConfigurationError

    result = configuration.check()
    render.show(result, output, _findings)
    if not result.ok:
        wrong = ", ".join(finding.variable for finding in result.findings if finding.wrong)
        raise ConfigurationError(f"wrong: {wrong}", hint="sesacctl config show --origin")
    render.next_command("sesacctl health")


def _written(result: Written) -> RenderableType:
    return render.details("Settings", {"file": result.path, "random passwords for": ", ".join(result.passwords)})


def _table(variables: list[Variable], *, origin: bool) -> RenderableType:
    rows = []
    for variable in variables:
        value = render.text(variable.value or "", "bold red" if variable.problem else "")
        row = [
            variable.variable,
            value,
            *([variable.origin] if origin else []),
            variable.problem or variable.description,
        ]
        rows.append(row)
    return render.table("Settings", ("variable", "value", *(["from"] if origin else []), ""), rows)


def _findings(result: Configuration) -> RenderableType:
    if not result.findings:
        return render.text("The settings are right, as far as can be said without asking the servers.", "green")
    rows = [
        (
            finding.variable,
            render.text("wrong", "bold red") if finding.wrong else render.text("note", "yellow"),
            finding.problem,
            finding.next,
        )
        for finding in result.findings
    ]
    return render.table("Settings", ("variable", "verdict", "problem", "next command"), rows)
