"""Every command's table on a terminal of 40, 80 and 120 columns; and the folders that commands leave behind."""

from __future__ import annotations

import json
from pathlib import Path

from rich.cells import cell_len

from sesacctl.events import ORDERS
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.events import message, order, send
from tests.helpers.every_command import run_lines
from tests.helpers.screens import WIDTHS, lost
from tests.integration.test_json_keys import KEYS

# They keep the signs of life of a loop, or write the file that they are for.
_KEEP = ("produce", "consume", "config init")
# It cuts with a mark what has no room: tests/unit/pipeline/watch/test_top.py.
_CUTS = "top"


def test_every_table_is_whole_at_every_width(settings: Settings, sesacctl: Cli, tmp_path: Path) -> None:
    run_lines(sesacctl, [("topics", "init")], tmp_path / "first")
    send(settings, ORDERS, [(b"u1", b"no event " + b"x" * 300)])
    (sesacctl.folder / "event.json").write_bytes(message(order(1))[1] or b"")
    printed = run_lines(sesacctl, [tuple(line.split()) for line in KEYS], tmp_path / "all", "--screens")
    for line, text in zip(KEYS, printed, strict=True):
        screens = [json.loads(each) for each in text.splitlines()]
        assert screens, line
        for screen in screens:
            wide, *narrower = (screen[str(width)] for width in WIDTHS)
            for width, shown in zip(WIDTHS[1:], narrower, strict=True):
                assert [row for row in shown.splitlines() if cell_len(row) > width] == [], line
                if not line.startswith(_CUTS):
                    assert (line, width, lost(wide, shown)) == (line, width, [])


def test_only_loops_leave_a_folder_behind(sesacctl: Cli, tmp_path: Path) -> None:
    lines = [tuple(line.split()) for line in KEYS if not line.startswith(_KEEP)]
    lines += [("down",), ("health", "--live"), ("stack", "logs"), ("stack", "env"), ("metrics", "--once")]
    run_lines(sesacctl, lines, tmp_path / "all")
    assert not (tmp_path / ".sesac").exists()
    assert [path.name for path in sesacctl.folder.iterdir()] == ["shop.dump"], "what `db dump` was asked for"
