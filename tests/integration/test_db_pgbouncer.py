"""Behind PgBouncer: in transaction mode, as Supabase's port 6543 is, everything of the loop but the migrations."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from sesacctl.database import crud, database, init_db
from sesacctl.database.samples import seed
from sesacctl.database.schema import check, plan, revisions
from sesacctl.errors import ConfigurationError
from sesacctl.settings import Settings
from sesacctl.stack.layout import server_account
from tests.conftest import Cli
from tests.helpers.events import query
from tests.helpers.waiting import wait_until

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="Debian's package pgbouncer is missing")
INI = """
[databases]
* = host={host} port={port} user=postgres
[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
listen_port = {port_here}
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
server_round_robin = {round_robin}
"""


@pytest.fixture
def pooled(settings: Settings, short_path: Path) -> Iterator[Settings]:
    """The test's database through a pooler on a socket with Supabase's port number."""
    with pooler(settings, short_path, port=6543) as found:
        yield found


@contextmanager
def pooler(
    settings: Settings, short_path: Path, *, port: int, mode: str = "transaction", size: int = 2, round_robin: int = 0
) -> Iterator[Settings]:
    """The same database through a pooler."""
    account = server_account()
    if account:
        short_path.chmod(0o777)
    ini = short_path / "pgbouncer.ini"
    values = {"host": settings.postgres_host, "port": settings.postgres_port, "folder": short_path}
    ini.write_text(INI.format(**values, port_here=port, mode=mode, size=size, round_robin=round_robin))
    assert PGBOUNCER is not None
    # The group as well: with root's own, the folders' bits for others would not count.
    identity: dict[str, Any] = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    process = subprocess.Popen([PGBOUNCER, "-q", ini], stderr=subprocess.DEVNULL, **identity)
    try:
        wait_until((short_path / f".s.PGSQL.{port}").exists)
        yield settings.model_copy(update={"postgres_host": str(short_path), "postgres_port": port})
    finally:
        process.terminate()
        process.wait(10)


def test_the_loop_s_statements_work(pooled: Settings) -> None:
    seed.seed(pooled, users=2_000, products=2_000)
    report = check.check(pooled)
    assert report.pooler
    assert check.verdict(report) is None
    engine = database.engine_for(pooled, command="test")
    for number in range(20):  # more sessions than the pooler has connections
        with Session(engine) as session:
            values = {"user_id": f"u_{number + 1:08d}", "product_id": "p_00000001", "quantity": 1}
            crud.create_order(session, values)
    with Session(engine) as session:
        assert len(crud.list_orders(session)) == 20
    engine.dispose()


def test_no_session_state_is_left_to_the_next_client(pooled: Settings) -> None:
    """What one client sets, or prepares, would be met by another: the pooler hands out the same connections."""
    seed.seed(pooled, users=10, products=10)
    connection = database.connect(pooled, command="test")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT current_setting('lock_timeout'), current_setting('search_path')")
        assert cursor.fetchone() == ("0", '"$user", public')
    connection.close()


def test_the_cache_is_refreshed(pooled: Settings, sesacctl: Cli) -> None:
    seed.seed(pooled, users=2_000, products=2_000)
    done = sesacctl("cache", "refresh", POSTGRES_HOST=pooled.postgres_host, POSTGRES_PORT="6543")
    assert done.returncode == 0, done.stderr
    never = {count.table: count.never_cached for count in check.check(pooled).tables}
    assert (never["users"], never["products"]) == (1_000, 1_000)


def test_migrations_are_refused(pooled: Settings) -> None:
    for act in (revisions.upgrade, plan.plan):
        with pytest.raises(ConfigurationError, match="transaction pooler"):
            act(pooled)


@pytest.mark.parametrize(("size", "round_robin"), [(1, 0), (2, 0), (2, 1), (5, 1)])
def test_transaction_mode_is_recognised_on_any_port(
    settings: Settings, short_path: Path, size: int, round_robin: int
) -> None:
    with pooler(settings, short_path, port=6432, size=size, round_robin=round_robin) as found:
        warm(found, size)
        for act in (revisions.upgrade, plan.plan, init_db.initialize, init_db.look):
            with pytest.raises(ConfigurationError, match=r"Port 6432 of .* is a transaction pooler") as caught:
                act(found)
            assert "POSTGRES_PORT" in str(caught.value.hint)
        report = check.check(found)
        assert report.pooler
        assert check.verdict(report) is None
    revisions.require_head(settings)


def warm(settings: Settings, count: int) -> None:
    """As many backends as the pool may have."""
    connections = [database.connect(settings, command="test") for _ in range(count)]
    for connection in connections:
        connection.cursor().execute("SELECT 1")
    for connection in connections:
        connection.close()


def test_session_mode_is_accepted(settings: Settings, short_path: Path) -> None:
    with pooler(settings, short_path, port=6432, mode="session", size=5) as found:
        warm(found, 3)
        assert not check.check(found).pooler
        revisions.downgrade(found, "-1")
        revisions.upgrade(found)


def test_postgresql_itself_is_not_taken_for_a_pooler(settings: Settings) -> None:
    assert not check.check(settings).pooler


def test_nothing_is_made_through_a_transaction_pooler(settings: Settings, short_path: Path) -> None:
    query(settings, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    with pooler(settings, short_path, port=6432) as found, pytest.raises(ConfigurationError):
        init_db.initialize(found)
    assert query(settings, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == [(0,)]
