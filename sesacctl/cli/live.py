"""`sesacctl health --live`: the heartbeats of the loops on this machine, without any server and without waiting."""

from __future__ import annotations

import sys

from sesacctl import log
from sesacctl.errors import CheckFailed, SesacctlError
from sesacctl.formatting import duration_text
from sesacctl.heartbeat import read_pulses
from sesacctl.home import home


def live() -> None:
    """Print a line per loop.

    Raises:
        CheckFailed: one of them is overdue, or none runs here.
        ConfigurationError: `.env` cannot be read.
    """
    folder = home()
    pulses = read_pulses(folder)
    for pulse in pulses:
        due = (
            f"next heartbeat within {duration_text(pulse.seconds_left)}"
            if pulse.alive
            else f"overdue by {duration_text(-pulse.seconds_left)}"
        )
        sys.stdout.write(f"{pulse.name} (process {pulse.pid}): {due}\n")
    if not pulses:
        raise CheckFailed(f"no loop runs here: {folder} has no heartbeat", hint="sesacctl cache refresh --loop 50")
    if dead := [pulse for pulse in pulses if not pulse.alive]:
        names = ", ".join(pulse.name for pulse in dead)
        raise CheckFailed(f"no heartbeat from {names}", hint=dead[0].command)


def main() -> None:
    """`live`, with its error in plain text: the usual ones take as long to import as all the rest."""
    try:
        live()
    except SesacctlError as error:
        if log.is_only_json():
            log.write("error", "error", str(error), exit_code=error.exit_code, next=error.hint)
            sys.exit(error.exit_code)
        from sesacctl.cli.program import as_typed

        sys.stderr.write(f"error: {error}\nnext:  {as_typed(error.hint or '')}\n")
        sys.exit(error.exit_code)
