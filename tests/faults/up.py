"""The local stack whose brokers advertise a proxy's port each: `python -m tests.faults.up HOME PORT PORT PORT`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

from sesacctl.stack import broker_settings, ports, postgres, stack

_write = broker_settings.write_broker


def _advertising(advertised: Sequence[int]) -> object:
    def write(path: Path, number: int, pairs: Sequence[Sequence[int]], folder: str) -> None:
        _write(path, number, pairs, folder)
        own = f"advertised.listeners=PLAINTEXT://{ports.HOST}:"
        written = path.read_text()
        assert own in written
        path.write_text(written.replace(f"{own}{pairs[number - 1][0]}", f"{own}{advertised[number - 1]}"))

    return write


if __name__ == "__main__":
    more = {"track_commit_timestamp": "on"}  # the oracle asks when a row was committed
    with (
        patch.object(broker_settings, "write_broker", _advertising([int(port) for port in sys.argv[2:]])),
        patch.dict(postgres._SETTINGS, more),
    ):
        stack.up(Path(sys.argv[1]), on_step=print)
