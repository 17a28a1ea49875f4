"""TLS connections that drop, as in a fail-over of RDS: loops wait, and go on when the server is back."""

from __future__ import annotations

from pathlib import Path

import pytest

from sesacctl.broker import topics
from sesacctl.database import database
from sesacctl.errors import ServerUnreachable
from sesacctl.events import ORDERS
from sesacctl.pipeline.consume.status import Timer
from sesacctl.settings import Settings
from tests.helpers.cache_loop import looping
from tests.helpers.consumers import check, has_stored, running
from tests.helpers.events import add_parents, many_orders, send
from tests.helpers.tls_proxy import tls_proxy
from tests.helpers.waiting import wait_until

CUTS = 20


def test_a_cut_handshake_is_an_unreachable_server(settings: Settings, tmp_path: Path) -> None:
    with tls_proxy(settings, tmp_path) as (proxy, through):
        proxy.cut(1)
        with pytest.raises(ServerUnreachable, match="SSL SYSCALL error"):
            database.connect(through, command="test")
        connection = database.connect(through, command="test")
        proxy.cut(0)
        with pytest.raises(ServerUnreachable, match="SSL"), database.translate_errors(through):
            connection.cursor().execute("SELECT 1")


def test_the_refresh_loop_outlasts_cut_handshakes(settings: Settings, tmp_path: Path) -> None:
    add_parents(settings, users=20, products=20)
    with tls_proxy(settings, tmp_path) as (proxy, through), looping(through, period=0.05, size=10) as loop:
        proxy.cut(CUTS)
        wait_until(lambda: not proxy.cuts_left or loop.error, message="the loop does not try again")
        loop.next_rounds()


def test_a_consumer_outlasts_cut_handshakes_and_stores_all_once(settings: Settings, tmp_path: Path) -> None:
    topics.init(settings)
    add_parents(settings, users=100)
    with tls_proxy(settings, tmp_path) as (proxy, through), running(through) as found:
        found.instance._postgres._trying = Timer(0.02)
        send(settings, ORDERS, many_orders(200))
        wait_until(lambda: found.errors or has_stored(settings, 200), message="the first orders are not stored")
        proxy.cut(CUTS)
        send(settings, ORDERS, many_orders(200))
        wait_until(lambda: not proxy.cuts_left or found.errors, message="the instance does not try again")
        wait_until(lambda: found.errors or has_stored(settings, 400), message="not everything is stored")
    check(settings, 400)
