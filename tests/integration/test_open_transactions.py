"""What waits behind another producer's open transaction is lag, with its reason, and never the end of the log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import uuid4

import pytest
from kafka import KafkaProducer

from sesacctl.errors import HeldBack
from sesacctl.events import ORDERS, USERS
from sesacctl.pipeline.audit import until_empty
from sesacctl.pipeline.audit.partitions import read_partitions
from sesacctl.pipeline.audit.report import audit
from sesacctl.pipeline.audit.until_empty import UntilEmpty
from sesacctl.pipeline.watch.health import health
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import running, sending, store_all, stored
from tests.helpers.events import add_parents, many_orders, message, order, query, send
from tests.helpers.topics import make_topics
from tests.helpers.waiting import wait_until


@pytest.fixture
def shop(settings: Settings) -> Settings:
    """Topics, users u1 … u100 and product p1."""
    make_topics(settings)
    add_parents(settings, users=100)
    return settings


class Hanging:
    """A producer with an open transaction."""

    def __init__(self, settings: Settings) -> None:
        self.name = f"billing-{uuid4()}"
        self.producer = KafkaProducer(bootstrap_servers=settings.brokers, transactional_id=self.name)
        self.producer.init_transactions()
        self.producer.begin_transaction()

    def send(self, settings: Settings, kind: str, count: int) -> None:
        """Write orders to partition 0, and leave the transaction open."""
        for key, value in many_orders(count):
            self.producer.send(settings.topic(kind), key=key, value=value, partition=0)
        self.producer.flush()


@pytest.fixture
def hanging(shop: Settings) -> Iterator[Hanging]:
    found = Hanging(shop)
    yield found
    found.producer.close()


def test_what_is_being_produced_waits_for_no_transaction(shop: Settings) -> None:
    """What arrives between two questions is newer than the answer to the first, and is not held back."""
    thread = sending(shop, many_orders(5_000), parts=50)
    held = 0
    while thread.is_alive():
        held += sum(part.held for part in read_partitions(shop))
    thread.join()
    assert held == 0


def test_until_empty_waits_for_a_transaction_and_then_says_so(
    shop: Settings, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(until_empty, "HELD_SECONDS", 2.0)
    send(shop, ORDERS, many_orders(5), partition=0)
    hanging.send(shop, ORDERS, 1)
    send(shop, ORDERS, many_orders(9), partition=0)
    empty = UntilEmpty(shop)
    with running(shop):
        wait_until(lambda: stored(shop) == 5, message="what is before it is not stored")
        with pytest.raises(
            HeldBack, match=rf"10 offsets behind an open transaction .* \({hanging.name}\) on .*orders-0"
        ):
            wait_until(empty)
        hanging.producer.commit_transaction()
        wait_until(empty, message="the end of the transaction frees it")
    assert stored(shop) == 15


def test_lag_audit_and_health_count_it_and_say_why(shop: Settings, hanging: Hanging, sesacctl: Cli) -> None:
    send(shop, ORDERS, many_orders(5), partition=0)
    store_all(shop)
    hanging.send(shop, ORDERS, 1)
    send(shop, ORDERS, many_orders(9), partition=0)
    report = json.loads(sesacctl("lag", "--window", "0.1", "-o", "json").stdout)
    assert report["lag"] == 10
    [held] = report["held_back"]
    assert (held["held"], held["offset"], held["transactional_id"]) == (10, 5, hanging.name)
    assert "10 offsets behind an open transaction of producer id" in sesacctl("lag", "--window", "0.1").stdout
    assert audit(shop).lag == 10
    [evidence] = [check.evidence for check in health(shop).checks if check.name == "consumers"]
    assert "lag 10; 10 offsets behind an open transaction" in evidence
    hanging.producer.abort_transaction()
    store_all(shop)
    assert (stored(shop), audit(shop).lag, audit(shop).missing) == (14, 0, 0)


def test_no_parked_order_dies_while_its_user_waits_behind_one(shop: Settings, hanging: Hanging) -> None:
    hanging.send(shop, USERS, 1)
    send(shop, ORDERS, [message(order(1, user_id="u900"))], partition=0)
    with running(shop, park_seconds=0.1):
        wait_until(lambda: query(shop, "SELECT 1 FROM parked_events WHERE attempts > 2"), message="it is not tried")
        assert query(shop, "SELECT count(*) FROM dead_letters") == [(0,)]
        hanging.producer.abort_transaction()
        wait_until(
            lambda: query(shop, "SELECT 1 FROM dead_letters WHERE reason = 'orphan'"), message="nothing holds it"
        )
