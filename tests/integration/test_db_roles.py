"""deploy/sql/roles.sql: a worker can run the loop and cannot change the schema; a reader changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from sesacctl.database import crud, database
from sesacctl.database.samples import seed
from sesacctl.database.schema import check, revisions
from sesacctl.errors import ServerRefused
from sesacctl.pipeline.audit.row_counts import count_rows
from sesacctl.settings import Settings
from tests.helpers.postgres_cluster import Cluster, cluster
from tests.integration.test_db_schema import execute

ROLES = Path(__file__).parents[2] / "deploy" / "sql" / "roles.sql"
# What the loop does, a statement a right.
LOOP = (
    "UPDATE users SET last_cached_at = now()",
    "UPDATE products SET last_cached_at = now()",
    "SELECT pg_try_advisory_xact_lock(1)",
    "INSERT INTO sink_offsets (consumer_group, topic, topic_id, partition, first_offset, next_offset, epoch_offset)"
    " VALUES ('g', 't', gen_random_uuid(), 0, 0, 0, 0)",
    "UPDATE sink_offsets SET next_offset = 1, epoch_offset = 1, stored = stored + 1",
    "INSERT INTO row_changes (table_name, change, reason) VALUES ('users', 1, 'test')",
    "INSERT INTO log_cuts (consumer_group, topic, topic_id, partition, next_offset, detail)"
    " VALUES ('g', 't', gen_random_uuid(), 0, 0, '')",
    "CREATE TEMP TABLE staged (LIKE orders INCLUDING DEFAULTS) ON COMMIT DROP",
    'INSERT INTO dead_letters (consumer_group, topic, topic_id, partition, "offset", reason, detail)'
    " VALUES ('g', 't', gen_random_uuid(), 0, 0, 'r', 'd')",
    "UPDATE dead_letters SET discarded_at = now()",
    'INSERT INTO parked_events (consumer_group, topic, topic_id, partition, "offset", detail)'
    " VALUES ('g', 't', gen_random_uuid(), 0, 0, 'd')",
    "SELECT id FROM parked_events FOR UPDATE SKIP LOCKED",
    "DELETE FROM parked_events",
    "SELECT count(*) FROM orders",
)
DDL = (
    "CREATE TABLE mine (a integer)",
    "DROP TABLE orders",
    "ALTER TABLE users ADD email text",
    "CREATE INDEX mine ON orders (status)",
    "TRUNCATE orders",
    "UPDATE sesacctl_version SET version_num = '0001'",
    "CREATE SCHEMA mine",
)


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with cluster() as started:  # roles are the whole cluster's
        started.start()
        yield started


@pytest.fixture(params=["before", "after"])
def roles(request: pytest.FixtureRequest, server: Cluster) -> Iterator[Settings]:
    """A database with the roles, made before or after its tables."""
    settings = server.settings(postgres_host=str(server.folder), postgres_db="shop")
    server.execute("CREATE DATABASE shop")
    if request.param == "after":
        revisions.upgrade(settings)
        execute(settings, ROLES.read_text())
    else:
        execute(settings, ROLES.read_text())
        revisions.upgrade(role(settings, "migrate"))
        execute(settings, ROLES.read_text())
    yield settings
    server.execute("DROP DATABASE shop WITH (FORCE)")


def role(settings: Settings, name: str) -> Settings:
    return settings.model_copy(update={"postgres_user": f"sesac_{name}"})


def refused(settings: Settings, statement: str) -> None:
    with pytest.raises(ServerRefused, match=r"permission denied|must be owner"), database.translate_errors(settings):
        execute(settings, statement)


def test_the_worker_runs_the_loop_and_no_ddl(roles: Settings) -> None:
    worker = role(roles, "worker")
    seed.seed(worker, users=10, products=10)
    for statement in LOOP:
        execute(worker, statement)
    engine = database.engine_for(worker, command="test")
    with Session(engine) as session:
        order = crud.create_order(session, {"user_id": "u_00000001", "product_id": "p_00000001", "quantity": 1})
        crud.delete_order(session, order.order_id)
    engine.dispose()
    for statement in DDL:
        refused(worker, statement)


def test_the_reader_checks_and_changes_nothing(roles: Settings) -> None:
    reader = role(roles, "readonly")
    assert check.verdict(check.check(reader)) is None
    assert {kind: found.rows for kind, found in count_rows(reader)[0].items()} == {
        "orders": 0,
        "users": 0,
        "products": 0,
    }
    for statement in (*DDL, "UPDATE users SET name = 'x'", "INSERT INTO users (user_id, name) VALUES ('a', 'b')"):
        refused(reader, statement)


def test_the_migrator_owns_the_schema(roles: Settings) -> None:
    migrator = role(roles, "migrate")
    revisions.downgrade(migrator, "0001")
    revisions.upgrade(migrator)
    revisions.require_head(migrator)


def test_the_roles_fit_a_schema_of_its_own(server: Cluster) -> None:
    settings = server.settings(postgres_host=str(server.folder), postgres_db="own", postgres_schema="shop")
    server.execute("CREATE DATABASE own")
    try:
        execute(settings, f"CREATE SCHEMA shop; {ROLES.read_text()}")
        revisions.upgrade(role(settings, "migrate"))
        execute(settings, ROLES.read_text())
        worker = role(settings, "worker")
        seed.seed(worker, users=10, products=10)
        refused(worker, "UPDATE sesacctl_version SET version_num = '0001'")
        assert check.verdict(check.check(role(settings, "readonly"))) is None
        assert execute(settings, "SELECT count(*) FROM shop.users") == [(10,)]
    finally:
        server.execute("DROP DATABASE own WITH (FORCE)")


def test_the_worker_cannot_migrate(roles: Settings) -> None:
    with pytest.raises(ServerRefused):
        revisions.downgrade(role(roles, "worker"), "-1")
    revisions.require_head(roles)
