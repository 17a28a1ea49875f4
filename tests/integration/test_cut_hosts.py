"""A host that is cut off from PostgreSQL: the server notices, and does not keep its rows locked for hours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sesacctl.database import connections
from sesacctl.database.cursors import fetch_row
from sesacctl.settings import Settings
from tests.helpers.namespaces import Host, other_host
from tests.helpers.postgres_cluster import Cluster, cluster
from tests.helpers.servers import clean_environment
from tests.helpers.waiting import wait_until

CLIENT = """
import sys, threading
from sesacctl.database.connections import connect
from sesacctl.settings import load

class Stuck:
    sent = False
    def read(self, size):
        if self.sent:
            print("ready", flush=True)
            threading.Event().wait()
        self.sent = True
        return "1\\n" * 100_000

connection = connect(load(), command="test", bound=600)
cursor = connection.cursor()
cursor.execute(f"LOCK TABLE {sys.argv[1]}")
if sys.argv[1] == "in_copy":
    cursor.copy_expert("COPY in_copy FROM STDIN", Stuck())
if sys.argv[1] == "in_commit":
    cursor.execute("INSERT INTO in_commit VALUES (1)")
    print("ready", flush=True)
    connection.commit()
print("ready", flush=True)
threading.Event().wait()
"""
TABLES = ("between_statements", "in_copy", "in_commit")
# COMMIT waits for a lock that the test has: what a slow disk or a standby does to it otherwise.
SLOW_COMMIT = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON in_commit DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION wait()
"""


@pytest.fixture
def host() -> Iterator[Host]:
    with other_host() as found:
        yield found


@pytest.fixture
def server(host: Host) -> Iterator[Cluster]:
    with cluster() as made:
        made.addresses = f"127.0.0.1,{host.server}"
        with (made.data / "pg_hba.conf").open("a") as file:
            file.write("host all all all scram-sha-256\n")
        made.start()
        for table in TABLES:
            made.execute(f"CREATE TABLE {table} (number integer)")
        made.execute(SLOW_COMMIT)
        yield made


def started(host: Host, settings: Settings, table: str, folder: Path) -> subprocess.Popen[str]:
    values = {
        "POSTGRES_HOST": host.server,
        "POSTGRES_PORT": str(settings.postgres_port),
        "POSTGRES_DB": settings.postgres_db,
        "POSTGRES_PASSWORD": settings.postgres_password.get_secret_value(),
    }
    return subprocess.Popen(
        host.command(sys.executable, "-c", CLIENT, table),
        cwd=folder,
        env=clean_environment(**values),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def locked(settings: Settings) -> set[str]:
    with connections.transaction(settings, command="looking") as cursor:
        cursor.execute("SELECT relation::regclass::text FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted")
        return {row[0] for row in cursor.fetchall()} & set(TABLES)


def commits(settings: Settings) -> bool:
    """Whether a COMMIT waits for the test."""
    with connections.transaction(settings, command="looking") as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return bool(fetch_row(cursor)[0])


def test_a_host_that_is_cut_off_loses_its_locks(host: Host, server: Cluster, tmp_path: Path) -> None:
    settings = server.settings()
    holder = connections.connect(settings, command="holding", bound=600)
    with holder.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(1)")
    clients = [started(host, settings, table, tmp_path) for table in TABLES]
    try:
        for client in clients:
            assert client.stdout is not None
            assert client.stdout.readline() == "ready\n"
        wait_until(lambda: commits(settings), message="nothing is committed")
        assert locked(settings) == set(TABLES)
        host.cut()
        holder.close()
        wait_until(lambda: "in_commit" not in locked(settings), message="the COMMIT does not end")
        with connections.transaction(settings, command="looking") as cursor:
            cursor.execute("SELECT count(*) FROM in_commit")
            assert fetch_row(cursor) == (1,)
        wait_until(
            lambda: not locked(settings), timeout=90, message="the server keeps the locks of a host that is gone"
        )
    finally:
        for client in clients:
            client.kill()
            client.communicate()
