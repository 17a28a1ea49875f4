"""`python -m benchmarks.dashboards [FOLDER]`: every panel of both dashboards, drawn from a loop that turns.

It is not Grafana: it sends the queries of `deploy/grafana` to a real Prometheus and PostgreSQL, writes a page for each
dashboard into FOLDER, and takes docs/pictures/dashboard-*.png of them where Chromium is installed. The stack is its
own, in a temporary folder, and thrown away. Needs Debian's packages `prometheus`, `chromium`, `pngquant` and
`fonts-nanum`; without Chromium, there are only pages.
"""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, cast

from benchmarks.panels import Answer, Series, page
from benchmarks.pictures import FOLDER
from sesacctl.cache.rows import ProductRow, UserRow
from sesacctl.database.connections import connect
from sesacctl.events import OrderEvent
from sesacctl.pipeline.produce.orders import OrderMaker
from sesacctl.settings import Settings
from sesacctl.stack import ports
from sesacctl.testing.loop import Part
from tests.helpers import monitoring, servers
from tests.helpers.events import Message, message, order, query, send
from tests.helpers.waiting import wait_until

WINDOW_SECONDS, STEP_SECONDS = 120, 3
# The port of its figures follows.
LOOP = (
    ("metrics", "--port"),
    ("cache", "refresh", "--loop", "1", "--metrics-port"),
    ("produce", "--rate", "5", "--carts", "1-3", "--metrics-port"),
    ("consume", "-n", "2", "--metrics-port"),
)
USERS, PRODUCTS, PAST_ORDERS = 1_000, 300, 12_000
ABOUT = {
    "loop": "Two minutes of a loop that turns, in UTC.",
    "shop": "The last day, in UTC: sample orders, dated back but for those of the last minutes.",
}
_PATIENCE_SECONDS = 120.0
_CHROMIUM = (
    *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)
# Lines and letters need few colours; with all of them, a picture is three times as large.
_PNGQUANT = ("pngquant", "--force", "--nofs", "--speed=1", "64")


def main(folder: Path | None = None) -> None:
    """Turn a loop, ask, draw."""
    folder = folder or Path(tempfile.mkdtemp(prefix="sesacctl-dashboards-"))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sesacctl-drawn-") as name, own_stack(Path(name)) as part:
        home, settings = Path(name), part.settings
        with turning(part, home) as targets:
            scraping = home / "prometheus"
            scraping.mkdir()
            with monitoring.prometheus(scraping, targets) as address:
                wait_until(lambda: all_scraped(address, targets), _PATIENCE_SECONDS, "a command is never scraped")
                threading.Event().wait(WINDOW_SECONDS / 3)
                # What cannot be stored: a record that is not an event, and an order whose user is missing.
                send(settings, "orders", [(b"k", b"{"), message(order(1))])
                threading.Event().wait(WINDOW_SECONDS / 3)
                # The first of a reason starts a counter; only from the next one on it has a rate.
                send(settings, "orders", [(b"k", b"{")])
                threading.Event().wait(WINDOW_SECONDS / 3)
                draw("loop", folder, lambda panel: ask_prometheus(address, panel))
                draw("shop", folder, lambda panel: ask_postgresql(settings, panel))
    print(f"Pages: {folder}")


@contextmanager
def own_stack(folder: Path) -> Iterator[Part]:
    """All of one, with the names that a shop would have; it is gone at the end."""
    home = folder / ".sesac"
    try:
        stack = servers.up(home)
        yield Part(stack.environment)
        stack.close()
    finally:
        servers.down(home)


@contextmanager
def turning(part: Part, folder: Path) -> Iterator[list[str]]:
    """The loop as four commands, once they have stored the orders of the last day; where their figures are."""
    settings = part.settings
    environment = servers.clean_environment(**part.environment, SESAC_HOME=str(folder / "loop"), SESAC_WAIT="2m")
    for line in (("db", "init"), ("db", "seed", "--users", USERS, "--products", PRODUCTS), ("topics", "init")):
        done = servers.run_sesacctl(*line, "-q", env=environment, cwd=folder)
        assert done.returncode == 0, done.stderr
    send(settings, "orders", past_orders(settings))
    chosen = ports.choose(len(LOOP))
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "sesacctl", *line, str(port), "-q"],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for line, port in zip(LOOP, chosen, strict=True)
    ]
    try:
        stored = f"SELECT 1 WHERE (SELECT count(*) FROM orders) > {PAST_ORDERS}"
        wait_until(lambda: query(settings, stored), _PATIENCE_SECONDS, "the last day's orders are not stored")
        yield [f"127.0.0.1:{port}" for port in chosen]
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(60)


def past_orders(settings: Settings) -> Iterator[Message]:
    """Of the last day, so that the shop's hours have something to show: made as `produce` makes them."""
    users = query(settings, "SELECT user_id, age_group, gender, region FROM users")
    products = query(settings, "SELECT product_id, category, price FROM products")
    random, at = Random(1), datetime.now(UTC)
    maker = OrderMaker(random=random, lines=(1, 1), now=lambda: at)
    maker.use(
        [cast(UserRow, dict(zip(("user_id", "age_group", "gender", "region"), row, strict=True))) for row in users],
        [cast(ProductRow, dict(zip(("product_id", "category", "price"), row, strict=True))) for row in products],
    )
    now = at
    for number in range(PAST_ORDERS):
        at = now - timedelta(days=1) * (1 - number / PAST_ORDERS)
        yield from (message(OrderEvent(timestamp=at, order=each)) for each in maker.cart())


def all_scraped(address: str, targets: Sequence[str]) -> bool:
    """Whether each command has given its figures."""
    return len(monitoring.series(address, "up == 1")) == len(targets)


def draw(name: str, folder: Path, ask: Callable[[dict[str, Any]], Answer]) -> None:
    """Ask for each panel, write the page, take its picture; a panel without data is named on standard error."""
    board = monitoring.boards()[name]
    answers = [(panel, ask(panel)) for panel in monitoring.panels(board)]
    for panel, answer in answers:
        for why in answer.lacking:
            print(f"{name}: {panel['title']}: {why}", file=sys.stderr)
    text, width, height = page(board, answers, f"{ABOUT[name]} Drawn by benchmarks/dashboards.py, not by Grafana.")
    written = folder / f"{name}.html"
    written.write_text(text, "utf-8")
    if shutil.which(_CHROMIUM[0]):
        photograph(written, FOLDER / f"dashboard-{name}.png", width, height)
    else:
        print("Chromium is not installed: no pictures were taken", file=sys.stderr)


def ask_prometheus(address: str, panel: dict[str, Any]) -> Answer:
    """The lines of the last two minutes; the figures of now, where the panel asks for those."""
    lines: list[Series] = []
    rows: list[list[str]] = []
    columns: list[str] = []
    lacking: list[str] = []
    now = time.time()
    for target in panel["targets"]:
        expression, legend = monitoring.as_sent(target["expr"]), target.get("legendFormat", "")
        found: list[Any]
        if target.get("instant"):
            found = monitoring.series(address, expression)
            columns = [*sorted({name for each in found for name in each["metric"]}), "Value"]
            rows += [[*(each["metric"].get(name, "") for name in columns[:-1]), each["value"][1]] for each in found]
        else:
            found = ranges(address, expression, now)
            lines += [Series(called(legend, each["metric"]), each["points"]) for each in found]
        if not found:
            metrics = ", ".join(sorted(monitoring.metric_names(expression)))
            known = monitoring.series(address, f'count({{__name__=~"{metrics.replace(", ", "|")}"}})')
            reason = "no value in this time" if known else "nothing was counted yet"
            lacking.append(f"no line for “{legend or panel['title']}”: {reason} ({metrics})")
    rows.sort()
    return Answer(lines, columns, rows, lacking)


def ranges(address: str, expression: str, now: float) -> list[dict[str, Any]]:
    """Each series that has a number in it, NaN left out."""
    span = {"start": f"{now - WINDOW_SECONDS}", "end": f"{now}", "step": f"{STEP_SECONDS}"}
    found = monitoring.ask(address, "query_range", query=expression, **span)["result"]
    for each in found:
        points = [(float(at), float(value)) for at, value in each["values"]]
        each["points"] = [(at, value) for at, value in points if math.isfinite(value)]
    return [each for each in found if each["points"]]


def called(legend: str, labels: dict[str, str]) -> str:
    """A series, by its legend."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), legend) or str(labels)


def ask_postgresql(settings: Settings, panel: dict[str, Any]) -> Answer:
    """Rows below their columns; where these are `time`, `metric` and a number, as lines."""
    [target] = panel["targets"]
    connection = connect(settings, command="dashboards")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(monitoring.for_last_day(target["rawSql"]))
            columns = [column.name for column in cursor.description or ()]
            rows = cursor.fetchall()
    finally:
        connection.close()
    lacking = [] if rows else ["no row in the last day"]
    if target["format"] == "table":
        return Answer(columns=columns, rows=rows, lacking=lacking)
    lines: dict[str, list[tuple[float, float]]] = {}
    for at, name, value in rows:
        lines.setdefault(name, []).append((at.timestamp(), float(value)))
    return Answer([Series(name, points) for name, points in lines.items()], lacking=lacking)


def photograph(written: Path, picture: Path, width: int, height: int) -> None:
    """A PNG of the whole page."""
    with tempfile.TemporaryDirectory(prefix="sesacctl-chromium-") as profile:
        options = [f"--user-data-dir={profile}", f"--window-size={width},{height}", f"--screenshot={picture}"]
        subprocess.run([*_CHROMIUM, *options, written.resolve().as_uri()], check=True, capture_output=True, timeout=120)
    if shutil.which(_PNGQUANT[0]):
        subprocess.run([*_PNGQUANT, f"--output={picture}", picture], check=True)
    print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
