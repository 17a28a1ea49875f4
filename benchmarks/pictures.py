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
from unittest.mock import patch

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, RenderableType

from benchmarks.page_pictures import take_pages
from sesacctl.cli import app, render
from sesacctl.cli.options import Output
from sesacctl.cli.top_views import Board
from sesacctl.errors import SesacctlError
from sesacctl.pipeline.supervise.member import ConsumeReport
from sesacctl.pipeline.watch.top import Top
from sesacctl.settings import load

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pictures"
WIDTH = 80
# What would be a list, or broken in the middle, at 80 columns.
WIDER = {"topics": 120, "lag": 100}
_LOOKS = 10
_PATIENCE_SECONDS = 60.0
_ENOUGH = 3_000
# Each viewer has a monospaced font; none need be fetched.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
PRODUCE = ("produce", "--rate", "300", "--carts", "1-5")
BACKGROUND = (("cache", "refresh", "--loop", "5"), PRODUCE, ("consume", "--instances", "3"))
AT_THE_PAGE = (*BACKGROUND[:2], ("consume", "--instances", "9"))
PICTURES: dict[str, tuple[str, ...]] = {
    "health": ("health",),
    "lag": ("lag",),
    "cache-stats": ("cache", "stats"),
    "db-check": ("db", "check"),
    "topics": ("topics", "describe"),
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
            with running(*BACKGROUND):
                threading.Event().wait(15)  # so that there is something to show
                for picture, line in PICTURES.items():
                    take(picture, line)
                take_top()
            with running(*AT_THE_PAGE):
                take_pages(FOLDER, load(), Path(name) / ".sesac")
            take_live("produce", ("produce", "--rate", "500", "--carts", "1-5", "--duration", "10s"))
            command("consume", "--until-empty")
            with ExitStack() as producing:
                take_live("consume", ("consume", "--instances", "9"), until=AtWork(producing))
            command("consume", "--until-empty")
            take("audit", ("audit",))


def command(*line: str) -> None:
    """Run to the end, silently."""
    subprocess.run([sys.executable, "-m", "sesacctl", *line, "-q"], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def running(*lines: tuple[str, ...]) -> Iterator[None]:
    """These commands, in the background."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "sesacctl", *line, "-q"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for line in lines
    ]
    try:
        yield
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait(60)


def recorder(picture: str) -> Console:
    """A terminal that remembers."""
    width = WIDER.get(picture, WIDTH)
    return Console(record=True, width=width, file=io.StringIO(), force_terminal=True, highlight=False)


def take(picture: str, line: tuple[str, ...]) -> None:
    """What a command prints."""
    console = render.stdout = recorder(picture)
    plain = render.text
    render.text = lambda value, style="": plain(_at_home(value), style)
    try:
        invoke(line)
    finally:
        render.text = plain
    save(console, picture, line)


def _at_home(value: object) -> object:
    """Nobody who looks at a picture has our temporary folder."""
    return value.replace(str(Path.cwd()), "~/shop") if isinstance(value, str) else value


def take_top() -> None:
    """The screen after as many looks as its trends are long."""
    looks = Top(load())
    for _ in range(_LOOKS):
        screen = looks.run_once()
        threading.Event().wait(1)
    console = recorder("top")
    console.print(Board(screen))
    save(console, "top", ("top",))


class AtWork:
    """Starts a producer once every instance has partitions; true when they have stored what it makes for a while."""

    def __init__(self, producing: ExitStack) -> None:
        self._producing = producing
        self._started = False

    def __call__(self, report: ConsumeReport) -> bool:
        """Look at one more report."""
        if not self._started and all(line.partitions for line in report.instances):
            self._started = True
            self._producing.enter_context(running(PRODUCE))
        return report.totals.stored > _ENOUGH


def take_live(picture: str, line: tuple[str, ...], *, until: Callable[[Any], bool] = lambda _: False) -> None:
    """The last frame that a loop draws; a frame for which `until` holds ends it."""
    frames: list[RenderableType] = []
    ended = threading.Event()

    @contextmanager
    def reporting(_output: Output, to_table: Callable[[Any], RenderableType], _to_line: Any) -> Iterator[Any]:
        def on_report(report: Any) -> None:
            if ended.is_set():
                return
            frames.append(to_table(report))
            if until(report) or report.seconds > _PATIENCE_SECONDS:
                ended.set()
                signal.raise_signal(signal.SIGTERM)

        yield on_report

    render.stdout, console = recorder(picture), recorder(picture)
    with patch.object(render, "reporting", reporting), patch.object(render, "report_seconds", lambda: 0.5):
        invoke(line)
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
