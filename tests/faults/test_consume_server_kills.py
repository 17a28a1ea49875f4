"""Servers that stand still or die for long under running consumers; minutes, hence not in `make test`."""

from __future__ import annotations

import os
import signal

import pytest

from sesacctl.broker import topics
from sesacctl.events import ORDERS
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import check, consuming, instances, stored
from tests.helpers.events import add_parents, many_orders, query, send
from tests.helpers.servers import PrivateServer, RunningStack
from tests.helpers.waiting import wait_until


@pytest.fixture
def own(settings: Settings, private_postgres: PrivateServer) -> Settings:
    """Topics on the shared brokers, and a PostgreSQL that may be killed."""
    found = private_postgres.over(settings)
    topics.init(found)
    add_parents(found, users=100)
    return found


@pytest.mark.usefixtures("private_postgres")
def test_a_stopped_backend_releases_its_partitions(own: Settings) -> None:
    with consuming(own, instances=1):
        send(own, ORDERS, many_orders(300))
        wait_until(lambda: stored(own) == 300, message="the first orders are stored")
        [(backend,)] = query(own, "SELECT pid FROM pg_stat_activity WHERE application_name = 'sesacctl/consume'")
        os.kill(backend, signal.SIGSTOP)
        try:
            send(own, ORDERS, many_orders(300))
            wait_until(lambda: stored(own) == 600, timeout=90, message="another connection takes over")
        finally:
            os.kill(backend, signal.SIGCONT)
    check(own, 600)


def test_a_broker_killed_and_another_stopped_in_mid_load(private_stack: RunningStack) -> None:
    with private_stack.slice() as part:
        settings = part.settings
        topics.init(settings)
        add_parents(settings, users=100)
        with consuming(settings):
            send(settings, ORDERS, many_orders(1_000))
            wait_until(lambda: stored(settings) > 0, message="the first orders are stored")
            private_stack.kill("kafka-2")
            wait_until(lambda: stored(settings) == 1_000, timeout=60, message="two brokers are enough")
            private_stack.up()
            private_stack.kill("kafka-1", signal.SIGSTOP)
            try:
                wait_until(lambda: _sent(settings), timeout=60, message="the others take over")
                wait_until(lambda: stored(settings) == 2_000, timeout=90, message="everything is stored")
            finally:
                private_stack.kill("kafka-1", signal.SIGCONT)
        check(settings, 2_000)


def _sent(settings: Settings) -> bool:
    send(settings, ORDERS, many_orders(1_000))
    return True


def test_an_instance_killed_during_a_kafka_outage_restarts(private_stack: RunningStack, sesacctl: Cli) -> None:
    with private_stack.slice() as part:
        settings = part.settings
        topics.init(settings)
        add_parents(settings, users=100)
        sesacctl.environment |= part.environment
        process = sesacctl.start("consume", "-n", 1)
        send(settings, ORDERS, many_orders(100))
        wait_until(lambda: stored(settings) == 100, message="it runs")
        for server in ("kafka-1", "kafka-2", "kafka-3"):
            private_stack.kill(server)
        os.kill(instances(process.pid)[0], signal.SIGKILL)
        private_stack.up()
        send(settings, ORDERS, many_orders(100))
        wait_until(lambda: stored(settings) == 200, timeout=90, message="it goes on")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=25)
        assert process.returncode == 0, errors
        assert "waiting for Kafka" in errors
        check(settings, 200)
