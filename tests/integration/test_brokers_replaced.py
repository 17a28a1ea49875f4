"""All brokers at new addresses behind the same bootstrap server: loops that run find them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sesacctl.broker import Sender, topics
from sesacctl.settings import Settings
from tests.helpers.consumers import running, stored
from tests.helpers.events import user
from tests.helpers.moving_broker import MovingBroker, moving_broker
from tests.helpers.waiting import wait_until


@pytest.fixture
def broker(short_path: Path) -> Iterator[MovingBroker]:
    with moving_broker(short_path / "broker") as started:
        yield started


def test_a_producer_and_a_consumer_find_brokers_that_have_moved(broker: MovingBroker, settings: Settings) -> None:
    # The second address is only there to have several: those that answer at the start are not all there are.
    address = f"{broker.address},127.0.0.1:{broker.port}"
    own = settings.model_copy(update={"kafka_bootstrap_servers": address})
    topics.init(own)
    with running(own), Sender(own) as sender:
        sender.publish(user(1))
        wait_until(lambda: stored(own) == 1)
        broker.move()
        sender.publish(user(2))
        assert sender.flush(60)
        assert (sender.acknowledged, sender.failed) == (2, 0)
        wait_until(lambda: stored(own) == 2)
        broker.move()  # and back
        sender.publish(user(3))
        assert sender.flush(60)
        wait_until(lambda: stored(own) == 3)
    assert (sender.acknowledged, sender.failed) == (3, 0)
