"""`python -m benchmarks.pictures`: the screens of the README, taken from a loop that turns, as Rich SVGs.

Starts a local stack of its own in a temporary folder, and throws it away at the end.
"""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, RenderableType

from sesacctl.cli import app, render
from sesacctl.cli.options import Output
from sesacctl.cli.top import Board
from sesacctl.errors import SesacctlError
from sesacctl.pipeline.top import Top
from sesacctl.settings import load

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pictures"
WIDTH = 80
_LOOKS = 10
# Whoever looks at a picture has a monospaced font; it need not be fetched from somewhere.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
BACKGROUND = (
    ("cache", "refresh", "--loop", "5"),
    ("produce", "--rate", "300", "--carts", "1-5"),
    ("consume", "--instances", "3"),
)
PICTURES: dict[str, tuple[str, ...]] = {
    "health": ("health",),
    "lag": ("lag",),
    "audit": ("audit",),
    "cache-stats": ("cache", "stats"),
    "db-check": ("db", "check"),
    "topics": ("topics", "describe"),
}
LIVE: dict[str, tuple[str, ...]] = {
    "produce": ("produce", "--rate", "500", "--carts", "1-5", "--duration", "10s"),
    "consume": ("consume", "--instances", "9", "--until-empty"),
}


def main() -> None:
    """Take all pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sesacctl-pictures-") as name:
        os.chdir(name)
        os.environ["SESAC_HOME"] = str(Path(name) / ".sesac")
        os.environ.pop("NO_COLOR", None)
        with ExitStack() as stack:
            stack.callback(command, "down", "--purge", "--yes")
            command("up")
            for words in ("db init --with-seed", "cache refresh", "topics init"):
                command(*words.split())
            with running():
                threading.Event().wait(15)  # so that there is something to show
                for picture, line in PICTURES.items():
                    take(picture, line)
                take_top()
            for picture, line in LIVE.items():
                take_live(picture, line)


def command(*line: str) -> None:
    """Run to the end, silently."""
    subprocess.run([sys.executable, "-m", "sesacctl", *line, "-q"], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def running() -> Iterator[None]:
    """The loop, in the background."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "sesacctl", *line, "-q"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for line in BACKGROUND
    ]
    try:
        yield
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait(60)


def recorder() -> Console:
    """A terminal that remembers."""
    return Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)


def take(picture: str, line: tuple[str, ...]) -> None:
    """What a command prints."""
    console = render.stdout = recorder()
    invoke(line)
    save(console, picture, line)


def take_top() -> None:
    """The screen after as many looks as its trends are long."""
    looks = Top(load())
    for _ in range(_LOOKS):
        screen = looks.run_once()
        threading.Event().wait(1)
    console = recorder()
    console.print(Board(screen))
    save(console, "top", ("top",))


def take_live(picture: str, line: tuple[str, ...]) -> None:
    """The last frame that a loop draws."""
    frames: list[RenderableType] = []

    @contextmanager
    def reporting(output: Output, to_table: Callable[[Any], RenderableType], to_line: Any) -> Iterator[Any]:
        yield lambda report: frames.append(to_table(report))

    render.stdout, console = recorder(), recorder()
    before = render.reporting, render.report_seconds
    render.reporting, render.report_seconds = reporting, lambda: 0.5
    try:
        invoke(line)
    finally:
        render.reporting, render.report_seconds = before
    console.print(frames[-1])
    save(console, picture, line)


def invoke(line: tuple[str, ...]) -> None:
    """Run in this process."""
    try:
        app.build()([*line, "-q"], standalone_mode=False)
    except SesacctlError as error:
        sys.stderr.write(f"{' '.join(line)}: {error}\n")


def save(console: Console, picture: str, line: tuple[str, ...]) -> None:
    """As an SVG whose text can be searched."""
    title = " ".join(("sesacctl", *line))
    svg = console.export_svg(title=title, code_format=FORMAT, unique_id=f"sesacctl-{picture}")
    (FOLDER / f"{picture}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
