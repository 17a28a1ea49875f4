"""Migrations with data in the tables, in parallel, interrupted, blocked; schemas without a revision taken over."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql

from sesacctl.broker.offsets import log_offsets
from sesacctl.database import database, init_db
from sesacctl.database.samples import seed
from sesacctl.database.schema import plan, revisions
from sesacctl.errors import CheckFailed, SchemaNotAtHead, UsageError
from sesacctl.events import ORDERS
from sesacctl.pipeline.audit.report import audit
from sesacctl.settings import Settings
from tests.helpers.consumers import running
from tests.helpers.events import Message, add_parents, many_orders, message, order, query, send
from tests.helpers.topics import make_topics
from tests.helpers.waiting import wait_until

REVISIONS = list(revisions.revisions())


def execute(settings: Settings, statement: str) -> list[tuple[Any, ...]]:
    connection = database.connect(settings, command="test")
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            rows = cursor.fetchall() if cursor.description else []
        connection.commit()
        return rows
    finally:
        connection.close()


def content(settings: Settings) -> list[tuple[Any, ...]]:
    """A fingerprint of each of the three tables, of the columns that all revisions have."""
    seeded = ("users", "user_id, name, gender, age, region"), ("products", "product_id, name, price, discount_rate")
    return [
        row
        for table, columns in (*seeded, ("orders", "order_id, user_id, product_id, total_amount"))
        for row in execute(
            settings,
            f"SELECT count(*), md5(string_agg(ROW({columns})::text || extract(epoch FROM created_at), ',' ORDER BY 1))"
            f" FROM {table}",
        )
    ]


@pytest.fixture
def empty(settings: Settings) -> Settings:
    """The settings' database without a schema."""
    execute(settings, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return settings


def test_every_migration_down_and_up_keeps_all_rows(settings: Settings) -> None:
    seed.seed(settings, users=5_000, products=4_000)
    execute(
        settings,
        "INSERT INTO orders (order_id, user_id, product_id, quantity, total_amount)"
        " SELECT 'o' || n, 'u_' || lpad(n::text, 8, '0'), 'p_' || lpad(n::text, 8, '0'), 1, n"
        " FROM generate_series(1, 1000) n",
    )
    before = content(settings)
    assert [count for count, _ in before] == [5_000, 4_000, 1_000]
    for revision in reversed(REVISIONS[:-1]):
        revisions.downgrade(settings, revision)
        assert (revisions.current(settings), content(settings)) == (revision, before)
        revisions.upgrade(settings)
        assert content(settings) == before
    revisions.downgrade(settings, REVISIONS[0])
    for revision in REVISIONS[1:]:
        revisions.upgrade(settings, revision)
        assert (revisions.current(settings), content(settings)) == (revision, before)


BAD: Message = (b"u1", b"{}")
ORPHAN = message(order(1, user_id="u900"))
AT_0004 = (
    "SELECT topic, topic_id, partition, first_offset, next_offset, stored, duplicates, dead, parked, expired, control"
    " FROM sink_offsets ORDER BY 1, 3",
    'SELECT topic_id, partition, "offset", key, value, headers, record_time, reason, detail, created_at, discarded_at'
    " FROM dead_letters",
    'SELECT topic_id, partition, "offset", key, value, headers, record_time, detail, parked_at, tried_at, attempts'
    " FROM parked_events",
)


def sink_at_0004(settings: Settings) -> list[list[tuple[Any, ...]]]:
    """What the sink's tables hold, in the columns that revision 0004 has."""
    return [
        [tuple(bytes(value) if isinstance(value, memoryview) else value for value in row) for row in found]
        for found in (query(settings, statement) for statement in AT_0004)
    ]


@pytest.fixture
def filled_at_0004(settings: Settings) -> Settings:
    """What the version before has stored of partition 0 of `orders`: three rows, a dead letter and a parked event."""
    make_topics(settings)
    add_parents(settings, users=100)
    send(settings, ORDERS, [*many_orders(3), BAD, ORPHAN], partition=0)
    revisions.downgrade(settings, "0004")
    topic = settings.topic(ORDERS)
    [topic_id] = {log.topic_id for log in log_offsets(settings) if log.topic == topic}
    query(
        settings,
        "INSERT INTO orders (order_id, user_id, product_id, quantity, total_amount)"
        " SELECT 'stored-' || n, 'u1', 'p1', 1, 1000 FROM generate_series(1, 3) n",
    )
    query(
        settings,
        "INSERT INTO sink_offsets (consumer_group, topic, topic_id, partition, first_offset, next_offset, stored, dead,"
        " parked) VALUES (%s, %s, %s, 0, 0, 5, 3, 1, 1)",
        *(settings.kafka_group, topic, topic_id),
    )
    kept = 'consumer_group, topic, topic_id, partition, "offset", key, value, headers, record_time, detail'
    place = (settings.kafka_group, topic, topic_id)
    query(
        settings,
        f"INSERT INTO dead_letters ({kept}, reason)"
        " VALUES (%s, %s, %s, 0, 3, %s, %s, '[]', now(), 'no order', 'invalid_field')",
        *(*place, *BAD),
    )
    query(
        settings,
        f"INSERT INTO parked_events ({kept}, parked_at, tried_at, attempts) VALUES (%s, %s, %s, 0, 4, %s, %s,"
        " '[[\"aA==\", null]]', NULL, 'no user', now() - interval '1 hour', now(), 7)",
        *(*place, *ORPHAN),
    )
    return settings


def test_the_previous_versions_sink_survives_up_and_downgrade(filled_at_0004: Settings) -> None:
    settings = filled_at_0004
    before = sink_at_0004(settings)
    assert [len(rows) for rows in before] == [1, 1, 1]
    revisions.upgrade(settings)
    assert sink_at_0004(settings) == before
    marks = "epoch_offset, leader_epoch, last_offset, last_timestamp, last_crc"
    assert query(settings, f"SELECT {marks} FROM sink_offsets") == [(5, None, None, None, None)]
    for table in ("dead_letters", "parked_events"):
        kept = query(settings, f"SELECT octet_length(fingerprint), counted FROM {table}")
        assert kept == [(32, True)]
    revisions.downgrade(settings, "0004")
    assert sink_at_0004(settings) == before


def test_rows_kept_before_a_reset_are_uncounted_after_upgrade(filled_at_0004: Settings) -> None:
    """Else its replay would make them negative."""
    settings = filled_at_0004
    query(settings, "UPDATE sink_offsets SET first_offset = 4, stored = 0, dead = 0")
    revisions.upgrade(settings)
    assert query(settings, "SELECT counted FROM dead_letters") == [(False,)]
    assert query(settings, "SELECT counted FROM parked_events") == [(True,)]


def test_a_consumer_resumes_where_the_old_version_stopped(filled_at_0004: Settings) -> None:
    settings = filled_at_0004
    revisions.upgrade(settings)
    query(settings, "INSERT INTO users (user_id, name) VALUES ('u900', '홍길동')")
    last = "SELECT next_offset, last_offset, stored, dead, parked FROM sink_offsets WHERE topic = %s AND partition = 0"

    def is_now(*values: int) -> bool:
        return query(settings, last, settings.topic(ORDERS)) == [values]

    with running(settings):
        wait_until(lambda: is_now(5, 4, 4, 1, 0), message="it does not learn the last record, or what was parked stays")
        send(settings, ORDERS, many_orders(4), partition=0)
        wait_until(lambda: is_now(9, 8, 8, 1, 0), message="it does not go on")
    assert query(settings, "SELECT count(*) FROM orders") == [(8,)]
    assert audit(settings).ok
    offsets, letters, _ = before = sink_at_0004(settings)
    revisions.downgrade(settings, "0004")
    assert sink_at_0004(settings) == before
    assert (len(letters), sum(row[4] for row in offsets)) == (1, 9)


def test_times_keep_their_instant_through_the_change_of_type(settings: Settings) -> None:
    revisions.downgrade(settings, "0001")
    execute(settings, "INSERT INTO users (user_id, name, last_cached_at) VALUES ('u', 'n', now())")
    revisions.upgrade(settings)
    [(age, created)] = execute(settings, "SELECT now() - last_cached_at, created_at IS NOT NULL FROM users")
    assert age.total_seconds() < 60
    assert created


def test_a_forbidden_null_stops_the_migration_without_loss(settings: Settings) -> None:
    revisions.downgrade(settings, "0001")
    execute(settings, "INSERT INTO users (user_id) VALUES ('nameless')")
    with pytest.raises(CheckFailed, match="name"):
        revisions.upgrade(settings)
    assert revisions.current(settings) == "0001"
    assert execute(settings, "SELECT user_id FROM users") == [("nameless",)]


def test_revision_file_names_agree_with_alembic() -> None:
    assert [script.revision for script in revisions.scripts().walk_revisions()][::-1] == REVISIONS
    assert revisions.scripts().get_current_head() == revisions.head()


def test_head_is_required(settings: Settings) -> None:
    revisions.require_head(settings)
    revisions.downgrade(settings, "-1")
    with pytest.raises(SchemaNotAtHead, match="behind"):
        revisions.require_head(settings)
    revisions.downgrade(settings, "base")
    with pytest.raises(SchemaNotAtHead, match="no sesacctl schema") as caught:
        revisions.require_head(settings)
    assert caught.value.hint == "sesacctl db init"


def test_a_schema_ahead_of_the_code_is_called_so(settings: Settings) -> None:
    execute(settings, "UPDATE sesacctl_version SET version_num = '9999'")
    for act in (revisions.require_head, plan.plan, init_db.initialize):
        with pytest.raises(SchemaNotAtHead, match="9999, newer than this sesacctl") as caught:
            act(settings)
        assert caught.value.exit_code == 6


def _upgrade_each_round(settings: Settings, barrier: Barrier, rounds: int, failures: Any) -> None:
    for _ in range(rounds):
        barrier.wait(60)
        try:
            revisions.upgrade(settings)
        except Exception as error:
            failures.put(repr(error))
        barrier.wait(60)


@pytest.fixture
def four_upgraders(settings: Settings) -> Iterator[tuple[Barrier, Any]]:
    """Four processes that upgrade at once, each time the barrier lets them."""
    context = multiprocessing.get_context("spawn")
    barrier, failures = context.Barrier(5), context.SimpleQueue()
    workers = [context.Process(target=_upgrade_each_round, args=(settings, barrier, 20, failures)) for _ in range(4)]
    for worker in workers:
        worker.start()
    yield barrier, failures
    for worker in workers:
        worker.join(30)
        assert worker.exitcode == 0


def test_four_concurrent_upgrades_succeed_from_any_revision(
    settings: Settings, four_upgraders: tuple[Barrier, Any]
) -> None:
    barrier, failures = four_upgraders
    for number in range(20):
        revisions.downgrade(settings, "base" if number % 2 else "-1")
        barrier.wait(60)
        barrier.wait(60)
        assert failures.empty(), failures.get()
        revisions.require_head(settings)
        assert execute(settings, "SELECT count(*) FROM users") == [(0,)]


def waits_for_lock(settings: Settings, application: str) -> bool:
    rows = execute(
        settings,
        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        f" AND application_name = '{application}'",
    )
    return bool(rows)


@pytest.fixture
def holder(settings: Settings) -> Iterator[psycopg2.extensions.connection]:
    """A session that has locked `users`."""
    connection = database.connect(settings, command="holder")
    connection.cursor().execute("LOCK TABLE users")
    yield connection
    connection.close()


def test_a_killed_upgrade_leaves_nothing_half_done(settings: Settings) -> None:
    revisions.downgrade(settings, "0001")
    before = content(settings)
    holder = database.connect(settings, command="holder")
    holder.cursor().execute("LOCK TABLE orders")  # revision 0002 has altered users and products by then
    code = "import sys; from sesacctl.database.schema import revisions; from sesacctl.settings import Settings;"
    code += "revisions.upgrade(Settings.model_validate_json(sys.argv[1]), lock_seconds=60)"
    process = subprocess.Popen([sys.executable, "-c", code, settings.model_dump_json()])
    try:
        wait_until(lambda: waits_for_lock(settings, "sesacctl/db-migrate"), message="it waits for the lock")
    finally:
        process.kill()
        process.wait()
    holder.close()
    assert (revisions.current(settings), content(settings)) == ("0001", before)
    revisions.upgrade(settings)
    revisions.require_head(settings)


def test_a_migration_blocked_by_a_lock_names_the_holder(
    settings: Settings, holder: psycopg2.extensions.connection
) -> None:
    with pytest.raises(CheckFailed, match=f"sesacctl/holder.*{holder.info.backend_pid}"):
        revisions.downgrade(settings, "0002", lock_seconds=0.3)
    holder.close()
    revisions.require_head(settings)
    revisions.downgrade(settings, "0002", lock_seconds=0.3)


def legacy(settings: Settings) -> None:
    """Tables as the first version's `create_all` made them, with a row each."""
    revisions.downgrade(settings, "0001")
    execute(settings, "DROP TABLE sesacctl_version")
    execute(settings, "INSERT INTO users (user_id, name) VALUES ('u1', '홍길동')")
    execute(settings, "INSERT INTO products (product_id, name, price) VALUES ('p1', '노트북', 5)")
    execute(
        settings,
        "INSERT INTO orders (order_id, user_id, product_id, quantity, total_amount) VALUES ('o1', 'u1', 'p1', 1, 5)",
    )


def test_first_version_tables_are_adopted_with_their_rows(settings: Settings) -> None:
    legacy(settings)
    execute(settings, "CREATE INDEX my_own ON users (name); CREATE TABLE my_own_table (a integer)")
    with pytest.raises(SchemaNotAtHead, match="tables already, but no revision") as caught:
        plan.plan(settings)
    assert caught.value.hint == "sesacctl db init"
    assert init_db.initialize(settings).adopted == "0001"
    revisions.require_head(settings)
    assert execute(settings, "SELECT order_id, name FROM orders JOIN users USING (user_id)") == [("o1", "홍길동")]
    assert execute(settings, "SELECT to_regclass('my_own')::text, to_regclass('my_own_table')::text") == [
        ("my_own", "my_own_table")
    ]
    assert init_db.initialize(settings).adopted is None


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_revision_is_recognised(settings: Settings, revision: str) -> None:
    revisions.downgrade(settings, revision)
    execute(settings, "DROP TABLE sesacctl_version")
    assert init_db.initialize(settings).adopted == revision
    revisions.require_head(settings)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("ALTER TABLE users ALTER age TYPE bigint", "unexpected: users column age bigint"),
        ("ALTER TABLE users DROP COLUMN region", "missing: users column region character varying(50)"),
        ("ALTER TABLE users ADD email text", "unexpected: users column email text"),
        ("ALTER TABLE users ALTER name TYPE varchar(101)", "unexpected: users column name character varying(101)"),
        ("ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey", "missing: orders FOREIGN KEY (user_id)"),
        ("DROP TABLE products CASCADE", "missing: products column price integer"),
    ],
)
def test_tables_matching_no_revision_are_refused_with_a_diff(settings: Settings, change: str, difference: str) -> None:
    legacy(settings)
    execute(settings, change)
    with pytest.raises(SchemaNotAtHead) as caught:
        init_db.initialize(settings)
    assert difference in str(caught.value)
    assert caught.value.exit_code == 6
    assert execute(settings, "SELECT user_id FROM users") == [("u1",)]
    assert execute(settings, "SELECT to_regclass('sesacctl_version'), to_regnamespace('sesacctl_adoption')") == [
        (None, None)
    ]


def test_a_missing_database_is_made_even_by_four_at_once(settings: Settings, environment: dict[str, str]) -> None:
    name = f'{settings.postgres_db} "new" 새'
    fresh = settings.model_copy(update={"postgres_db": name})
    command = [sys.executable, "-m", "sesacctl.database.init_db"]
    processes = [subprocess.Popen(command, env={**environment, "POSTGRES_DB": name}) for _ in range(4)]
    try:
        assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
        revisions.require_head(fresh)
    finally:
        connection = database.connect(settings, command="test")
        connection.autocommit = True
        connection.cursor().execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.close()


@pytest.mark.parametrize(
    ("revision", "downgrade", "steps"),
    [
        ("head", False, []),
        ("-1", True, REVISIONS[-1:]),
        ("base", True, REVISIONS[::-1]),
        ("0002", True, REVISIONS[:1:-1]),
    ],
)
def test_a_plan_says_what_would_run(settings: Settings, revision: str, downgrade: bool, steps: list[str]) -> None:
    planned = plan.plan(settings, revision, downgrade=downgrade)
    assert [step.revision for step in planned.steps] == steps
    assert planned.on_this_machine


@pytest.mark.parametrize(("revision", "downgrade"), [("nope", False), ("+9", False), ("0002", False), ("-99", True)])
def test_a_plan_to_an_unknown_revision_is_a_usage_error(settings: Settings, revision: str, downgrade: bool) -> None:
    with pytest.raises(UsageError, match=revision.replace("+", r"\+")):
        plan.plan(settings, revision, downgrade=downgrade)


def test_the_sql_does_what_the_migration_does(empty: Settings) -> None:
    execute(empty, plan.sql(plan.plan(empty)))
    revisions.require_head(empty)
    execute(empty, plan.sql(plan.plan(empty, "base", downgrade=True)))
    assert revisions.current(empty) is None


def test_plain_alembic_works_and_finds_no_drift(empty: Settings, environment: dict[str, str]) -> None:
    for command in ("upgrade head", "check"):
        words = [sys.executable, "-m", "alembic", *command.split()]
        folder = revisions.migrations().parent
        done = subprocess.run(
            words, check=False, cwd=folder, env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
    assert "No new upgrade operations" in done.stdout
    revisions.require_head(empty)


def test_init_db_runs_as_a_module(empty: Settings, environment: dict[str, str]) -> None:
    module = [sys.executable, "-m", "sesacctl.database.init_db"]
    subprocess.run(module, env=environment, check=True, timeout=60)
    revisions.require_head(empty)
    gone = {**environment, "POSTGRES_HOST": "/nowhere"}
    done = subprocess.run(module, check=False, env=gone, capture_output=True, text=True, timeout=60)
    assert done.returncode == 4
    assert "PostgreSQL at /nowhere cannot be reached" in done.stderr
