"""The dashboard beside servers that die and come back, on a stack of its own."""

from __future__ import annotations

from typing import Any

from sesacctl.broker import topics
from sesacctl.dashboard.server import serving
from tests.helpers.browsing import stream
from tests.helpers.servers import RunningStack
from tests.helpers.waiting import within


def whole(look: dict[str, Any]) -> bool:
    """Whether all brokers are in service with all their copies in sync."""
    return len(look["brokers"]) == 3 and all(
        each["up"] and each["in_sync"] == each["replicas"] == 15 for each in look["brokers"]
    )


def test_a_killed_broker_is_seen_to_leave_and_come_back(private_stack: RunningStack) -> None:
    with private_stack.slice() as part:
        topics.init(part.settings)
        with serving(part.settings, port=0) as address, stream(address.port) as browser:
            browser.until(whole)
            private_stack.kill("kafka-2")
            with within(20, "the event"):  # the controller waits for the broker's session to end
                assert browser.event("broker_down")["subject"] == "kafka-2"
            look = browser.until(lambda look: sum(each["leads"] for each in look["brokers"]) == 15)
            assert [each["up"] for each in look["brokers"]] == [True, False, True]
            assert look["brokers"][1]["leads"] == 0
            assert look["top"]["partitions"] is not None
            assert look["stages"]["source"] == "ok"
            assert look["stages"]["broker"] != "away"
            private_stack.up()
            assert browser.event("broker_up")["subject"] == "kafka-2"
            browser.until(whole)


def test_a_killed_redis_is_away_and_everything_else_is_not(private_stack: RunningStack) -> None:
    with private_stack.slice() as part:
        topics.init(part.settings)
        with serving(part.settings, port=0) as address, stream(address.port) as browser:
            browser.until(whole)
            private_stack.kill("valkey")
            assert browser.event("away")["subject"] == "Redis"
            look = browser.next()
            assert look["stages"]["cache"] == "away"
            assert look["stages"]["broker"] == "ok"
            private_stack.up()
            assert browser.event("back")["subject"] == "Redis"


def test_a_killed_postgres_is_away_until_it_is_back(private_stack: RunningStack) -> None:
    with private_stack.slice() as part:
        topics.init(part.settings)
        with serving(part.settings, port=0) as address, stream(address.port) as browser:
            browser.until(whole)
            private_stack.kill("postgres")
            assert browser.event("away")["subject"] == "PostgreSQL"
            look = browser.next()
            assert (look["stages"]["source"], look["waiting"]) == ("away", None)
            assert whole(look)
            private_stack.up()
            assert browser.event("back")["subject"] == "PostgreSQL"
