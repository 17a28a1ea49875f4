"""Reaching PostgreSQL, or saying within bounds why not."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Iterator
from uuid import uuid4

import psycopg2
import pytest
from psycopg2 import sql
from sqlalchemy import text

from sesacctl.database import database
from sesacctl.database.connections import read_row, transaction
from sesacctl.errors import DatabaseMissing, SchemaNotAtHead, ServerRefused, ServerUnreachable
from sesacctl.settings import Settings
from tests.helpers.postgres_cluster import Cluster, cluster
from tests.helpers.waiting import within

PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with cluster() as started:
        started.start()
        yield started


@pytest.mark.parametrize("password", [PRINTABLE, "비밀번호 한글", "p@ss:w/o#rd?%41&[x]"])
def test_any_password_logs_in(server: Cluster, password: str) -> None:
    role = f"user {len(password)}"
    server.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD %s").format(sql.Identifier(role)), password)
    settings = server.settings(postgres_user=role, postgres_password=password)
    connection = database.connect(settings, command="test")
    assert connection.info.user == role
    connection.close()
    with database.engine_for(settings, command="test").connect() as session:
        assert session.execute(text("SELECT current_user")).scalar() == role


def test_a_wrong_password_is_called_authentication(server: Cluster) -> None:
    with pytest.raises(ServerRefused, match="authentication") as caught:
        database.connect(server.settings(postgres_password="falsch"), command="test")
    assert caught.value.exit_code == 4
    assert "falsch" not in str(caught.value)
    assert caught.value.hint == "set POSTGRES_USER and POSTGRES_PASSWORD"


def test_no_password_is_called_authentication(server: Cluster) -> None:
    with pytest.raises(ServerRefused, match="authentication"):
        database.connect(server.settings(postgres_password=""), command="test")


def test_a_missing_database_names_db_init(server: Cluster) -> None:
    with pytest.raises(DatabaseMissing, match="Database nowhere does not exist") as caught:
        database.connect(server.settings(postgres_db="nowhere"), command="test")
    assert caught.value.hint == "sesacctl db init"


@pytest.mark.parametrize("host", ["127.0.0.1", "/nowhere"])
def test_a_server_that_is_down_is_named_with_what_to_do(settings: Settings, host: str) -> None:
    gone = settings.model_copy(update={"postgres_host": host, "postgres_port": 1})
    with pytest.raises(ServerUnreachable, match=host) as caught:
        database.connect(gone, command="test")
    assert caught.value.hint == "start that server, or set POSTGRES_HOST and POSTGRES_PORT"


def test_a_stopped_server_is_given_up_in_time(server: Cluster) -> None:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        with within(8), pytest.raises(ServerUnreachable, match="timeout"):
            database.connect(server.settings(), command="test")
    finally:
        os.kill(server.pid, signal.SIGCONT)


def test_connections_name_their_command(settings: Settings) -> None:
    with database.engine_for(settings, command="test").connect() as connection:
        assert connection.execute(text("SHOW application_name")).scalar() == "sesacctl/test"


def endless() -> io.StringIO:
    return io.StringIO(("x" * 1000 + "\n") * 20_000)


@pytest.mark.parametrize(
    "wait",
    [
        lambda connection: connection.cursor().execute("SELECT 1"),
        lambda connection: connection.cursor().copy_expert("COPY notes FROM STDIN", endless()),
        lambda connection: connection.commit(),
        lambda connection: connection.rollback(),
    ],
    ids=["statement", "copy", "commit", "rollback"],
)
def test_a_stopped_backend_is_given_up(settings: Settings, wait: object) -> None:
    assert callable(wait)
    connection = database.connect(settings, command="test", bound=0.5)
    connection.cursor().execute("CREATE TEMP TABLE notes (note text)")
    backend = connection.info.backend_pid
    os.kill(backend, signal.SIGSTOP)
    refusal = pytest.raises(ServerUnreachable, match=r"gave no answer within 0\.5 s")
    try:
        with within(3), refusal, database.translate_errors(settings):
            wait(connection)
    finally:
        os.kill(backend, signal.SIGCONT)
    assert connection.closed


def test_an_engine_s_stopped_backend_is_given_up_and_replaced(settings: Settings) -> None:
    engine = database.engine_for(settings, command="test", bound=0.5)
    with engine.connect() as connection:
        backend = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        os.kill(backend, signal.SIGSTOP)
        try:
            with pytest.raises(ServerUnreachable), database.translate_errors(settings):
                connection.execute(text("SELECT 1"))
        finally:
            os.kill(backend, signal.SIGCONT)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()


def test_a_deadline_around_several_statements(settings: Settings) -> None:
    connection = database.connect(settings, command="test")
    with pytest.raises(database.NoAnswer), database.deadline(connection, 0.3):
        for _ in range(10):
            connection.cursor().execute("SELECT pg_sleep(0.1)")
    assert connection.closed


def test_deadlines_that_hold_harm_nothing(settings: Settings) -> None:
    connection = database.connect(settings, command="test")
    for seconds in (0.2, 30, 0.1, 5):
        with database.deadline(connection, seconds), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.4)")
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    connection.close()


@pytest.mark.parametrize("commit", [True, False])
def test_a_transaction_commits_only_on_request_and_disconnects(settings: Settings, commit: bool) -> None:
    with transaction(settings, command="test", commit=commit) as cursor:
        cursor.execute("CREATE TABLE notes ()")
    assert cursor.connection.closed
    assert read_row(settings, "SELECT to_regclass('notes') IS NOT NULL", (), command="test") == (commit,)


def test_an_error_rolls_back_and_is_translated(settings: Settings) -> None:
    with (
        pytest.raises(SchemaNotAtHead, match="nowhere"),
        transaction(settings, command="test", commit=True) as cursor,
    ):
        cursor.execute("CREATE TABLE notes ()")
        cursor.execute("SELECT FROM nowhere")
    assert cursor.connection.closed
    assert read_row(settings, "SELECT to_regclass('notes')", (), command="test") == (None,)


def test_a_transaction_takes_and_returns_topic_ids(settings: Settings) -> None:
    topic_id = uuid4()
    assert read_row(settings, "SELECT %s, ARRAY[%s]", (topic_id, topic_id), command="test") == (topic_id, [topic_id])


def test_an_error_within_a_deadline_stays_what_it_is(settings: Settings) -> None:
    connection = database.connect(settings, command="test")
    with pytest.raises(psycopg2.errors.DivisionByZero), database.deadline(connection, 5):
        connection.cursor().execute("SELECT 1/0")
    assert not connection.closed
    connection.close()


def test_a_killed_backend_is_a_server_that_cannot_be_reached(settings: Settings) -> None:
    connection = database.connect(settings, command="test")
    killer = database.connect(settings, command="test")
    killer.cursor().execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
    with pytest.raises(ServerUnreachable), database.translate_errors(settings):
        connection.cursor().execute("SELECT 1")
    killer.close()


def test_a_pool_notices_that_its_connection_died(settings: Settings) -> None:
    engine = database.engine_for(settings, command="test")
    with engine.connect() as connection:
        backend = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    killer = database.connect(settings, command="test")
    killer.cursor().execute("SELECT pg_terminate_backend(%s)", (backend,))
    killer.close()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() != backend
    engine.dispose()


def test_waiting_ends_with_the_last_error(settings: Settings) -> None:
    gone = settings.model_copy(update={"postgres_host": "/nowhere"})
    started = time.monotonic()
    with within(3), pytest.raises(ServerUnreachable):
        database.wait_until_ready(lambda: database.connect(gone, command="test"), seconds=0.5)
    assert time.monotonic() - started > 0.1


def test_waiting_outlasts_a_server_s_start() -> None:
    with cluster() as late:
        late.start()
        settings = late.settings()
        late.stop()
        tries: list[float] = []

        def look() -> int:
            tries.append(time.monotonic())
            if len(tries) == 2:
                late.start()
            connection = database.connect(settings, command="test")
            connection.close()
            return 1

        assert database.wait_until_ready(look, seconds=20) == 1
        assert len(tries) >= 2
