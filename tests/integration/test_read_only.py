"""A database that takes no writes: a full disk, a standby, a fail-over. Readiness fails, and the loops wait for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from sesacctl.database import crud, database
from sesacctl.database.connections import require_writable, to_sesacctl_error
from sesacctl.database.schema import revisions
from sesacctl.errors import ServerUnreachable
from sesacctl.events import ORDERS
from sesacctl.pipeline.watch.probes import read_database
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.cache_loop import looping
from tests.helpers.consumers import check, has_stored, running
from tests.helpers.events import add_parents, many_orders, query, send
from tests.helpers.postgres_cluster import cluster
from tests.helpers.topics import make_topics
from tests.helpers.waiting import wait_until


def set_read_only(settings: Settings, state: str) -> None:
    """As Supabase does it when the disk is full: for new transactions of new sessions; the old ones end."""
    name = settings.postgres_db
    query(settings, f"SET TRANSACTION READ WRITE; ALTER DATABASE {name} SET default_transaction_read_only = {state}")
    query(
        settings,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
        name,
    )


@contextmanager
def read_only(settings: Settings) -> Iterator[None]:
    set_read_only(settings, "on")
    yield
    set_read_only(settings, "off")


def test_an_error_names_the_disk_and_the_primary(settings: Settings) -> None:
    with read_only(settings), pytest.raises(psycopg2.errors.ReadOnlySqlTransaction) as caught:
        add_parents(settings)
    ours = to_sesacctl_error(caught.value, settings)
    assert type(ours) is ServerUnreachable
    assert "takes no writes" in str(ours)
    for word in ("disk", "default_transaction_read_only", "primary"):
        assert word in str(ours.hint)


def test_readiness_fails_and_says_why(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    assert sesacctl("health", "--ready").returncode == 0
    with read_only(settings):
        done = sesacctl("health", "--ready", "-o", "json")
    assert done.returncode == 5
    [found] = [each for each in json.loads(done.stdout)["checks"] if each["name"] == "PostgreSQL"]
    assert found["verdict"] == "unhealthy"
    assert "default_transaction_read_only is on" in found["evidence"]
    assert "disk" in found["next"]


def test_the_refresh_loop_waits_and_continues(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    add_parents(settings, users=20, products=20)
    with looping(settings, period=0.05, size=10) as loop:
        with read_only(settings):
            wait_until(lambda: loop.error or "takes no writes" in caplog.text, message="the loop does not wait")
        loop.next_rounds()


def test_a_consumer_waits_out_read_only_and_stores_all_once(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sesacctl")
    make_topics(settings)
    add_parents(settings, users=100)
    with running(settings) as found:
        send(settings, ORDERS, many_orders(100))
        wait_until(lambda: found.errors or has_stored(settings, 100), message="the first orders are not stored")
        with read_only(settings):
            found.seen.clear()
            send(settings, ORDERS, many_orders(100))
            waiting = ("waiting", "PostgreSQL")
            wait_until(lambda: found.errors or found.seen.count(waiting) >= 4, message="nothing is waited for")
            after = found.seen[found.seen.index(waiting) :]
            assert set(after) == {waiting}
            assert "PostgreSQL is back" not in caplog.text, "it answers, and takes no writes"
        wait_until(lambda: found.errors or has_stored(settings, 200), message="it does not go on")
    check(settings, 200)


def test_a_pooled_session_that_was_read_only_is_not_used_again(settings: Settings) -> None:
    add_parents(settings)
    values = {"user_id": "u1", "product_id": "p1", "quantity": 1}
    engine = database.engine_for(settings, command="test")
    with engine.connect() as connection:  # as after a fail-over: the session lives, on a server that is a standby now
        backend = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
        connection.commit()
    with Session(engine) as session, pytest.raises(DBAPIError) as caught:
        assert session.execute(text("SELECT pg_backend_pid()")).scalar_one() == backend
        session.rollback()
        crud.create_order(session, values)
    assert caught.value.orig.pgcode == "25006"  # type: ignore[union-attr]
    with Session(engine) as session:
        assert session.execute(text("SELECT pg_backend_pid()")).scalar_one() != backend
        assert crud.create_order(session, values).order_id
    engine.dispose()


def test_a_standby_is_named_and_waited_for_until_it_is_promoted(settings: Settings) -> None:
    make_topics(settings)
    with cluster() as server:
        server.start()
        own = {"postgres_host": str(server.folder), "postgres_port": server.port, "postgres_user": "postgres"}
        standby = settings.model_copy(update={**own, "postgres_db": "postgres"})
        revisions.upgrade(standby)
        add_parents(standby, users=100)
        server.stop()
        signal = server.data / "standby.signal"
        signal.touch()
        server.own(signal)
        server.start()
        view = read_database(standby)
        assert (view.standby, view.read_only) == (True, True)
        connection = database.connect(standby, command="test")
        with pytest.raises(ServerUnreachable, match="it is a standby"):
            require_writable(connection, standby)
        connection.close()
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction) as caught:
            add_parents(standby)
        assert "primary" in str(to_sesacctl_error(caught.value, standby).hint)  # type: ignore[union-attr]
        with running(standby) as found:
            send(standby, ORDERS, many_orders(50))
            wait_until(lambda: found.errors or ("waiting", "PostgreSQL") in found.seen, message="nobody waits")
            query(standby, "SELECT pg_promote()")
            wait_until(lambda: found.errors or has_stored(standby, 50), message="it does not go on")
