"""Dashboards and rules, held against what exporters really give and tables really have: nothing in them is invented."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pytest

from sesacctl.settings import Settings
from sesacctl.stack import ports
from tests.conftest import Cli
from tests.helpers import monitoring, servers
from tests.helpers.cache_data import fill
from tests.helpers.events import message, order, query, send
from tests.helpers.servers import RunningStack
from tests.helpers.topics import make_topics
from tests.helpers.waiting import wait_until

# Labels that Prometheus itself gives.
TARGET = {"instance", "job"}
# What has no figure while all is well.
NOT_YET = {"sesacctl_consume_retries_total"}
COMMANDS = (
    ("metrics", "--port"),
    ("cache", "refresh", "--loop", "1", "--metrics-port"),
    ("produce", "--rate", "20", "--metrics-port"),
    ("consume", "-n", "2", "--metrics-port"),
)


@pytest.fixture(scope="module")
def shop(stack: RunningStack) -> Iterator[tuple[Settings, dict[str, str]]]:
    """Sample rows, a record that is not an event, and an order whose user is missing."""
    with stack.slice() as part:
        fill(part.settings, users=20, products=20)
        make_topics(part.settings)
        send(part.settings, "orders", [(b"k", b"{"), message(order(1))])
        yield part.settings, part.environment


@pytest.fixture(scope="module")
def targets(shop: tuple[Settings, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The loop as four commands, which serve their figures there; an order is stored."""
    settings, environment = shop
    folder = tmp_path_factory.mktemp("loop")
    cli = Cli(folder, servers.clean_environment(**environment, SESAC_HOME=str(folder / ".sesac")))
    chosen = ports.choose(len(COMMANDS))
    try:
        for command, port in zip(COMMANDS, chosen, strict=True):
            cli.start(*command, port, SESAC_WAIT="2m")
        each = "SELECT 1 FROM orders, dead_letters, parked_events LIMIT 1"
        wait_until(lambda: query(settings, each), message="an order, a dead letter or a parked one is missing")
        yield [f"127.0.0.1:{port}" for port in chosen]
    finally:
        cli.close()


def settled(wrong: Callable[[], list[Any]]) -> list[Any]:
    """What is still wrong after a while: figures come as the loop turns."""
    left: list[Any] = []

    def nothing() -> bool:
        left[:] = wrong()
        return not left

    with suppress(AssertionError):
        wait_until(nothing)
    return left


def test_every_metric_and_label_that_is_asked_for_exists(targets: list[str]) -> None:
    """With Prometheus or without."""
    asked = monitoring.asked_labels()
    names = set[str]().union(monitoring.variable_metrics(), *(metrics for _, metrics, _ in asked))
    assert len(names) > 50

    def invented() -> list[tuple[str, set[str]]]:
        labels: dict[str, set[str]] = {"up": set()}
        for target in targets:
            for name, found in monitoring.scraped(target).items():
                labels.setdefault(name, set()).update(found)
        unknown = [("metrics", names - labels.keys())]
        for where, metrics, wanted in asked:
            if not metrics & NOT_YET:
                unknown.append(
                    (where, wanted - TARGET - set[str]().union(*(labels.get(name, set()) for name in metrics)))
                )
        return [each for each in unknown if each[1]]

    assert settled(invented) == []


@pytest.mark.skipif(not shutil.which("prometheus"), reason="Debian package prometheus is not installed")
def test_every_panel_of_the_loop_draws_something(targets: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """But for those whose metric has no figure before something went wrong."""
    with monitoring.prometheus(tmp_path_factory.mktemp("prometheus"), targets) as address:
        expressions = monitoring.expressions()

        def blank() -> list[tuple[str, str]]:
            return [
                (title, text)
                for title, text in expressions
                if not monitoring.metric_names(text) & NOT_YET and not monitoring.series(address, text)
            ]

        assert settled(blank) == []
        assert not monitoring.series(address, "sum(sesacctl_invented)")
        found = monitoring.ask(address, "rules")["groups"]
        health = {rule["name"]: rule["health"] for group in found for rule in group["rules"]}
        assert health == dict.fromkeys(health, "ok")
        assert health.keys() == {name for name, _ in monitoring.rule_expressions()}


@pytest.mark.usefixtures("targets")
def test_every_panel_of_the_shop_finds_rows(shop: tuple[Settings, dict[str, str]]) -> None:
    settings, _ = shop
    for title, statement in monitoring.statements():
        rows = query(settings, statement)
        assert rows, title
        assert None not in {value for row in rows for value in row}, title
        if 'AS "time"' in statement:
            assert isinstance(rows[0][0], datetime)
            assert rows[0][0] <= datetime.now(UTC)
    with pytest.raises(psycopg2.errors.UndefinedColumn):
        query(settings, "SELECT invented FROM orders")
