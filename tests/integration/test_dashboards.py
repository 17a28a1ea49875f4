"""Dashboards and rules, held against what exporters really give and tables really have: nothing in them is invented."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg2
import pytest

from sesacctl.broker import topics
from sesacctl.settings import Settings
from sesacctl.stack import ports
from tests.conftest import Cli
from tests.helpers import monitoring, servers
from tests.helpers.cache_data import fill
from tests.helpers.events import message, order, query, send
from tests.helpers.servers import RunningStack
from tests.helpers.waiting import wait_until

# Prometheus's own.
GIVEN = {"up"}
# What has no figure while all is well.
NOT_YET: frozenset[str] = frozenset()
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
        topics.init(part.settings)
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
        wait_until(lambda: query(settings, "SELECT 1 FROM orders LIMIT 1"), message="no order is stored")
        yield [f"127.0.0.1:{port}" for port in chosen]
    finally:
        cli.close()


def test_every_metric_that_is_asked_for_is_exported(targets: list[str]) -> None:
    named = set[str]().union(*(monitoring.scraped(target)[0] for target in targets))
    queries = monitoring.expressions() + monitoring.rule_expressions()
    asked = set[str]().union(monitoring.variable_metrics(), *(monitoring.metric_names(text) for _, text in queries))
    assert len(asked) > 50
    assert asked - GIVEN - named == set()


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

        left = blank()

        def all_drawn() -> bool:
            left[:] = blank()
            return not left

        try:
            wait_until(all_drawn, timeout=45)
        except AssertionError:
            assert left == []
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
