"""A server whose statement_timeout is too short for a step: it becomes as small as it has to."""

from __future__ import annotations

import pytest

from sesacctl.errors import ServerRefused
from sesacctl.events import ORDERS
from sesacctl.settings import Settings
from tests.helpers.cache_data import postgres
from tests.helpers.consumers import check, running, store_all, stored
from tests.helpers.events import add_parents, many_orders, message, order, send
from tests.helpers.topics import make_topics
from tests.helpers.waiting import wait_until

ORDERS_SENT = 60


@pytest.fixture
def slow(settings: Settings) -> Settings:
    """Each order takes 10 ms to store, and `o0` takes a second; a statement may take 200 ms."""
    make_topics(settings)
    add_parents(settings, users=100)
    with postgres(settings) as cursor:
        cursor.execute(
            """CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                PERFORM pg_sleep(CASE NEW.order_id WHEN 'o0' THEN 1 ELSE 0.01 END);
                RETURN NEW;
            END $$;
            CREATE TRIGGER dawdle BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION dawdle()"""
        )
        cursor.execute(f'ALTER DATABASE "{settings.postgres_db}" SET statement_timeout = 200')
    return settings


def test_a_step_is_halved_until_it_fits(slow: Settings, caplog: pytest.LogCaptureFixture) -> None:
    send(slow, ORDERS, many_orders(ORDERS_SENT))
    store_all(slow)
    check(slow, ORDERS_SENT)
    assert "statement_timeout (200ms) ended a step of" in caplog.text
    assert "waiting for PostgreSQL" not in caplog.text


def test_an_event_that_never_fits_stops_and_names_the_setting(slow: Settings) -> None:
    send(slow, ORDERS, [message(order(0))])
    with pytest.raises(AssertionError), running(slow, ORDERS) as found:
        wait_until(lambda: found.errors)
    [error] = found.errors
    assert isinstance(error, ServerRefused)
    assert "statement_timeout of 200ms is too short to store even one event" in str(error)
    assert "SET statement_timeout" in str(error.hint)
    assert stored(slow) == 0
