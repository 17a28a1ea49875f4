"""`db dump` and `db restore`: a backup of one moment, whole or not there, and back beside running consumers."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sesacctl.database import client_programs
from sesacctl.database.connections import connect
from sesacctl.database.location import locate
from sesacctl.database.schema import revisions
from sesacctl.errors import CheckFailed
from sesacctl.events import ORDERS, PRODUCTS, USERS
from sesacctl.pipeline.audit.report import audit
from sesacctl.pipeline.repair import dump as service
from sesacctl.pipeline.repair.dump import dump
from sesacctl.pipeline.repair.forget import forget
from sesacctl.pipeline.repair.restore import TABLES, restore
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.cache_data import postgres
from tests.helpers.consumers import consuming, store_all
from tests.helpers.events import many_orders, message, order, product, query, send, user
from tests.helpers.postgres_cluster import PASSWORD, Cluster, cluster
from tests.helpers.topics import make_topics
from tests.helpers.traces import found_in_tables
from tests.helpers.waiting import wait_until


@pytest.fixture
def shop(settings: Settings) -> Settings:
    """Orders of two users, a dead letter and a parked order, all from Kafka."""
    make_topics(settings)
    send(settings, USERS, [message(user(1, name="독고영웅")), message(user(2))])
    send(settings, PRODUCTS, [message(product(1))])
    send(settings, ORDERS, [*many_orders(50, users=2), (b"u1", b"{"), message(order(9, user_id="u900"))])
    store_all(settings)
    return settings


def rows(settings: Settings) -> dict[str, list[Any]]:
    return {table: query(settings, f"SELECT t::text FROM {table} t ORDER BY 1") for table in TABLES}


def test_a_restore_brings_every_row_of_the_dump_back(shop: Settings, sesacctl: Cli, tmp_path: Path) -> None:
    before, path = rows(shop), tmp_path / "shop.dump"
    done = sesacctl("db", "dump", path, "-o", "json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["file"], told["bytes"], told["revision"]) == (str(path), path.stat().st_size, revisions.head())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    query(shop, "TRUNCATE orders, parked_events; DELETE FROM users WHERE user_id = 'u2'; UPDATE users SET name = 'x'")
    refused = sesacctl("db", "restore", path)
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    back = sesacctl("db", "restore", path, "--yes", "-o", "json")
    assert back.returncode == 0, back.stderr
    restored = json.loads(back.stdout)
    assert (restored["rows"][ORDERS], restored["made_at"][-1]) == (50, "Z")
    made_at = datetime.fromisoformat(restored["made_at"])
    assert timedelta() <= datetime.now(UTC) - made_at < timedelta(hours=1)
    assert rows(shop) == before
    assert audit(shop, values=True).ok
    letter = "INSERT INTO row_changes (table_name, change, reason) VALUES ('users', 0, 'x') RETURNING id"
    assert query(shop, letter), "ids continue"


def test_a_restore_beside_consumers_is_filled_from_kafka(shop: Settings, tmp_path: Path) -> None:
    path = tmp_path / "shop.dump"
    dump(shop, path)
    with consuming(shop, instances=2), postgres(shop) as cursor:

        def orders() -> int:
            cursor.execute("SELECT count(*) FROM orders")
            return int(cursor.fetchone()[0])

        send(shop, ORDERS, many_orders(200, users=2))
        wait_until(lambda: orders() == 250, 120.0)
        restore(shop, path)
        send(shop, ORDERS, many_orders(30, users=2))
        wait_until(lambda: orders() == 280, 120.0)
    result = audit(shop, values=True)
    assert (result.ok, result.lag, result.counts.duplicates) == (True, 0, 0)


def test_a_person_forgotten_after_the_dump_stays_forgotten(shop: Settings, tmp_path: Path) -> None:
    path = tmp_path / "shop.dump"
    dump(shop, path)
    forget(shop, "u1")
    send(shop, ORDERS, many_orders(10, users=2))
    assert restore(shop, path).forgotten_again == 1
    assert found_in_tables(shop, ["독고영웅"]) == set()
    store_all(shop)
    assert found_in_tables(shop, ["독고영웅"]) == set()
    assert audit(shop, values=True).ok


def test_a_failed_restore_changes_nothing(shop: Settings, tmp_path: Path) -> None:
    path = tmp_path / "shop.dump"
    dump(shop, path)
    query(shop, "CREATE TABLE cards (user_id varchar(50) REFERENCES users)")
    before = rows(shop)
    with pytest.raises(CheckFailed, match="cannot be emptied"):
        restore(shop, path)
    assert rows(shop) == before
    query(shop, "DROP TABLE cards")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckFailed, match="cannot be read"):
        restore(shop, path)
    assert rows(shop) == before


def test_a_dump_of_another_revision_is_refused(shop: Settings, sesacctl: Cli, tmp_path: Path) -> None:
    path = tmp_path / "old.dump"
    program = client_programs.find("pg_dump", at_least=18, location=locate(shop))
    query(shop, "UPDATE sesacctl_version SET version_num = '0006'")
    arguments = [str(program), "-Fc", f"--file={path}", f"--dbname={service._dsn(locate(shop))}"]
    subprocess.run(arguments, check=True)
    query(shop, "UPDATE sesacctl_version SET version_num = %s", revisions.head())
    before = rows(shop)
    done = sesacctl("db", "restore", path, "--yes")
    assert done.returncode == 6
    assert f"{path} is of schema revision 0006, and the database at {revisions.head()}" in done.stderr
    assert "restore it with the version that made it" in done.stderr
    assert rows(shop) == before


@pytest.mark.usefixtures("settings")
def test_what_is_not_a_dump_is_refused(sesacctl: Cli, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("notes")
    done = sesacctl("db", "restore", path, "--yes")
    assert (done.returncode, "is not a dump in pg_dump's custom format" in done.stderr) == (2, True)
    done = sesacctl("db", "restore", tmp_path / "nowhere", "--yes")
    assert (done.returncode, "cannot be read: No such file" in done.stderr) == (2, True)


def test_a_failed_dump_leaves_the_file_that_was_there(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, program = tmp_path / "shop.dump", tmp_path / "pg_dump"
    path.write_text("the old one")
    program.write_text("#!/bin/sh\nprintf PGDMP-half; echo 'out of paper' >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(client_programs, "find", lambda *_, **__: program)
    with pytest.raises(CheckFailed, match="pg_dump failed: out of paper"):
        dump(settings, path)
    assert path.read_text() == "the old one"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["pg_dump", "shop.dump"]


def test_a_file_that_cannot_be_written_is_an_error(settings: Settings, sesacctl: Cli) -> None:
    done = sesacctl("db", "dump", "/proc/shop.dump")
    assert (done.returncode, "/proc/shop.dump cannot be written" in done.stderr) == (3, True)
    del settings


@pytest.fixture(scope="module")
def server() -> Any:
    with cluster() as started:
        started.start()
        yield started


def test_a_password_is_on_no_command_line(server: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's PostgreSQL over TCP, with a password and its own client."""
    from sesacctl.database.schema import revisions

    server.execute("CREATE DATABASE dumped")
    settings = server.settings(postgres_db="dumped")
    revisions.upgrade(settings)
    version = int(query(settings, "SELECT current_setting('server_version_num')::integer / 10000")[0][0])
    real = client_programs.find("pg_dump", at_least=version, location=locate(settings))
    spy = tmp_path / "pg_dump"
    spy.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/arguments\nexec {real} "$@"\n')
    spy.chmod(0o755)
    monkeypatch.setattr(client_programs, "find", lambda name, **_: spy if name == "pg_dump" else real)
    done = dump(settings, tmp_path / "far.dump")
    arguments = (tmp_path / "arguments").read_text()
    assert PASSWORD not in arguments
    assert f"host={settings.postgres_host}" in arguments
    assert (done.bytes > 0, PASSWORD in os.environ.values()) == (True, False)
    connect(settings, command="test").close()
