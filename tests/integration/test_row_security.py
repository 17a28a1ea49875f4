"""Row-level security: a worker with policies does all its work; without them nothing is said over hidden rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from sesacctl.database.connections import to_sesacctl_error
from sesacctl.database.samples import seed
from sesacctl.database.schema import check, revisions
from sesacctl.errors import CheckFailed, SchemaNotAtHead, ServerRefused, SesacctlError
from sesacctl.events import ORDERS, Kind
from sesacctl.pipeline.audit.partitions import next_offsets
from sesacctl.pipeline.audit.row_counts import count_rows
from sesacctl.pipeline.refresh.stats import read_stats
from sesacctl.pipeline.repair import dead_letters
from sesacctl.pipeline.repair.dead_letters import Filter
from sesacctl.pipeline.sink.counts import Counts
from sesacctl.pipeline.supervise import prerequisites
from sesacctl.pipeline.watch.probes import read_database
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.events import add_parents, many_orders, message, order, query, send, user
from tests.helpers.postgres_cluster import Cluster, cluster
from tests.helpers.rig import Rig
from tests.helpers.topics import make_topics
from tests.integration.test_db_roles import role
from tests.integration.test_db_schema import execute

SQL = Path(__file__).parents[2] / "deploy" / "sql"
EVERY = ("users", "products", "orders", "sink_offsets", "dead_letters", "parked_events", "log_cuts", "row_changes")
SECURE = "ALTER TABLE {} ENABLE ROW LEVEL SECURITY"


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with cluster() as started:  # roles are the whole cluster's
        started.start()
        yield started


@pytest.fixture
def shop(server: Cluster, settings: Settings) -> Iterator[Settings]:
    """The administrator of a database with the three roles, and no policy yet; Redis and Kafka are the stack's."""
    own = settings.model_copy(update={"postgres_host": str(server.folder), "postgres_port": server.port})
    found = own.model_copy(update={"postgres_user": "postgres", "postgres_db": "shop"})
    server.execute("CREATE DATABASE shop")
    revisions.upgrade(found)
    execute(found, (SQL / "roles.sql").read_text())
    yield found
    server.execute("DROP DATABASE shop WITH (FORCE)")


@pytest.fixture
def secured(shop: Settings) -> Settings:
    """Row-level security as deploy/sql/policies.sql makes it, twice, as a person may."""
    for _ in range(2):
        execute(shop, (SQL / "policies.sql").read_text())
    return shop


def environment(settings: Settings) -> dict[str, Any]:
    return {
        "POSTGRES_HOST": str(settings.postgres_host),
        "POSTGRES_PORT": str(settings.postgres_port),
        "POSTGRES_USER": str(settings.postgres_user),
        "POSTGRES_DB": settings.postgres_db,
    }


def test_policies_do_not_change_what_a_worker_stores_or_parks(secured: Settings) -> None:
    worker = role(secured, "worker")
    add_parents(worker, users=100)
    rig = Rig(worker)
    orders = many_orders(20)
    assert rig.store(orders) == Counts(stored=20)
    odd = [message(order(7, quantity=10**12)), message(order(8, user_id="later")), *orders[:3], *many_orders(5)]
    assert rig.store(odd) == Counts(stored=5, dead=1, parked=1, duplicates=3)
    assert rig.count("orders") == 25
    rig.store([message(user(900))], kind=Kind.USERS, partition=1)
    query(worker, "INSERT INTO users (user_id, name) VALUES ('later', '홍길동')")
    assert rig.retry() == Counts(stored=1, parked=-1)
    assert rig.count("orders") == 26
    assert rig.count("parked_events") == 0
    rig.connection.close()


def test_a_worker_with_policies_seeds_and_runs_the_loop(secured: Settings, sesacctl: Cli) -> None:
    worker = environment(role(secured, "worker"))
    make_topics(secured)
    assert sesacctl("db", "seed", "--users", 30, "--products", 20, **worker).returncode == 0
    refreshed = sesacctl("cache", "refresh", "-o", "json", **worker)
    assert refreshed.returncode == 0, refreshed.stderr
    assert '"fresh":30' in refreshed.stdout.replace(" ", "")
    send(secured, ORDERS, [message(order(n, user_id="u_00000001", product_id="p_00000001")) for n in range(40)])
    done = sesacctl("consume", "-n", 2, "--until-empty", **worker)
    assert done.returncode == 0, done.stderr
    assert query(secured, "SELECT count(*) FROM orders") == [(40,)]
    for who in ("worker", "readonly"):
        found = environment(role(secured, who))
        for command in (["audit", "--deep"], ["db", "check"]):
            told = sesacctl(*command, **found)
            assert told.returncode == 0, told.stderr
    assert (
        "policies allow user sesac_worker every row of users" in sesacctl("db", "check", COLUMNS="300", **worker).stdout
    )


def test_a_role_without_a_policy_sees_nothing(secured: Settings) -> None:
    add_parents(secured)
    execute(secured, "DROP ROLE IF EXISTS anon; CREATE ROLE anon LOGIN; GRANT USAGE ON SCHEMA public TO anon;"
                     " GRANT SELECT, INSERT ON users TO anon")  # fmt: skip
    anon = secured.model_copy(update={"postgres_user": "anon"})
    assert query(anon, "SELECT count(*) FROM users") == [(0,)]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege) as caught:
        query(anon, "INSERT INTO users (user_id, name) VALUES ('x', 'y')")
    ours = to_sesacctl_error(caught.value, anon)
    assert type(ours) is ServerRefused
    assert "policies.sql" in str(ours.hint)
    assert "roles.sql" not in str(ours.hint)
    execute(secured, "DROP OWNED BY anon; DROP ROLE anon")


@pytest.mark.parametrize("table", EVERY)
def test_check_names_the_table_whose_rows_are_hidden(shop: Settings, table: str) -> None:
    seed.seed(shop, users=3, products=3)
    query(shop, SECURE.format(table))
    worker = role(shop, "worker")
    report = check.check(worker)
    [found] = report.row_security
    assert (found.table, found.bypassed_by) == (table, None)
    assert found.missing == ("SELECT", "INSERT", "UPDATE", "DELETE")
    error = check.verdict(report)
    assert error is not None
    assert f"every row of {table}" in str(error)
    assert "policies.sql" in str(error.hint)
    assert read_database(worker).row_security == report.row_security
    with pytest.raises(ServerRefused, match=table):
        count_rows(worker)
    if table != "row_changes":
        with pytest.raises(ServerRefused, match=table):
            prerequisites.require(worker)


@pytest.mark.parametrize("command", ["SELECT", "INSERT", "UPDATE", "DELETE"])
def test_each_command_without_a_policy_is_named(shop: Settings, command: str) -> None:
    query(shop, SECURE.format("orders"))
    for each in {"SELECT", "INSERT", "UPDATE", "DELETE"} - {command}:
        condition = "WITH CHECK (true)" if each == "INSERT" else "USING (true)"
        query(shop, f"CREATE POLICY may_{each.lower()} ON orders FOR {each} TO sesac_worker {condition}")
    assert [each.missing for each in check.check(role(shop, "worker")).row_security] == [(command,)]


@pytest.mark.parametrize(
    ("policies", "missing"),
    [
        (["FOR ALL USING (true)"], ()),
        (["FOR ALL TO sesac_worker USING (true) WITH CHECK (quantity > 0)"], ("INSERT", "UPDATE")),
        (["FOR ALL USING (quantity > 0)"], ("SELECT", "INSERT", "UPDATE", "DELETE")),
        (["FOR ALL USING (true)", "AS RESTRICTIVE FOR DELETE USING (status = 'new')"], ("DELETE",)),
        (["FOR ALL USING (true)", "AS RESTRICTIVE FOR ALL TO sesac_readonly USING (false)"], ()),
        (["AS RESTRICTIVE FOR ALL USING (true)"], ("SELECT", "INSERT", "UPDATE", "DELETE")),
        (["FOR ALL TO sesac_readonly USING (true)"], ("SELECT", "INSERT", "UPDATE", "DELETE")),
    ],
)
def test_only_policies_that_allow_every_row_count(
    shop: Settings, policies: list[str], missing: tuple[str, ...]
) -> None:
    query(shop, SECURE.format("orders"))
    for number, policy in enumerate(policies):
        kind, _, rest = policy.partition("FOR ")
        query(shop, f"CREATE POLICY p{number} ON orders {kind} FOR {rest}")
    assert [each.missing for each in check.check(role(shop, "worker")).row_security] == [missing]


def test_a_user_that_only_reads_needs_to_select_and_no_more(shop: Settings) -> None:
    query(shop, SECURE.format("orders"))
    assert [each.missing for each in check.check(role(shop, "readonly")).row_security] == [("SELECT",)]
    query(shop, "CREATE POLICY p ON orders FOR SELECT USING (true)")
    assert [each.missing for each in check.check(role(shop, "readonly")).row_security] == [()]


def test_check_says_why_a_role_bypasses_policies(shop: Settings) -> None:
    query(shop, SECURE.format("users"))
    query(shop, "ALTER ROLE sesac_readonly BYPASSRLS")
    for who, why in (("readonly", "BYPASSRLS"), ("migrate", "owner")):
        [found] = check.check(role(shop, who)).row_security
        assert (found.bypassed_by, found.missing) == (why, ())
    assert [each.bypassed_by for each in check.check(shop).row_security] == ["superuser"]
    query(shop, "ALTER ROLE sesac_readonly NOBYPASSRLS; ALTER TABLE users FORCE ROW LEVEL SECURITY")
    [forced] = check.check(role(shop, "migrate")).row_security
    assert (forced.bypassed_by, "SELECT" in forced.missing) == (None, True)


def test_a_cache_of_hidden_rows_is_not_called_empty(shop: Settings, sesacctl: Cli) -> None:
    seed.seed(shop, users=3, products=3)
    query(shop, SECURE.format("users"))
    worker = role(shop, "worker")
    done = sesacctl("cache", "refresh", **environment(worker))
    assert done.returncode == 4
    assert "users" in done.stderr
    assert "db seed" not in done.stdout + done.stderr
    assert "policies.sql" in done.stderr
    query(shop, "CREATE POLICY s ON users FOR SELECT USING (true)")  # and no UPDATE: nothing would be stamped
    assert sesacctl("cache", "refresh", **environment(worker)).returncode == 4
    query(shop, "CREATE POLICY u ON users FOR UPDATE USING (true)")
    assert sesacctl("cache", "refresh", **environment(worker)).returncode == 0
    query(shop, "DROP POLICY s ON users")
    with pytest.raises(ServerRefused):
        read_stats(worker)


def test_an_audit_refuses_to_judge_hidden_rows(shop: Settings, sesacctl: Cli) -> None:
    make_topics(shop)
    for table in ("orders", "sink_offsets"):
        query(shop, SECURE.format(table))
        done = sesacctl("audit", **environment(role(shop, "readonly")))
        assert done.returncode == 4, done.stdout
        assert table in done.stderr
        query(shop, f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    query(shop, SECURE.format("sink_offsets"))
    with pytest.raises(ServerRefused):
        next_offsets(role(shop, "readonly"))


def test_a_hidden_revision_is_not_a_missing_schema(shop: Settings) -> None:
    query(shop, SECURE.format("sesacctl_version"))
    with pytest.raises(ServerRefused, match="sesacctl_version"):
        revisions.require_head(role(shop, "worker"))
    query(shop, "DELETE FROM sesacctl_version")
    with pytest.raises(SchemaNotAtHead):
        revisions.require_head(shop)


def hide(shop: Settings, table: str, *policies: str) -> Rig:
    """A worker at work, and then its rows are hidden but for these policies."""
    add_parents(shop, users=100)
    rig = Rig(role(shop, "worker"))
    rig.store(many_orders(3))
    query(shop, SECURE.format(table))
    for number, policy in enumerate(policies):
        query(shop, f"CREATE POLICY p{number} ON {table} {policy}")
    return rig


@pytest.mark.parametrize("table", ["users", "products"])
def test_orders_of_hidden_users_are_not_parked(shop: Settings, table: str) -> None:
    rig = hide(shop, table)
    orders = many_orders(3)
    assert rig.store(orders) == Counts(stored=3)  # COPY looks at no policy of another table
    with pytest.raises(ServerRefused, match=table):
        rig.store([*orders, *many_orders(2)])
    rig.connection.close()
    assert query(shop, "SELECT count(*) FROM parked_events") == [(0,)]
    assert query(shop, "SELECT count(*) FROM orders") == [(6,)]


def test_a_duplicate_of_a_hidden_order_is_not_a_conflict(shop: Settings) -> None:
    rig = hide(shop, "orders", "FOR INSERT WITH CHECK (true)")
    with pytest.raises((ServerRefused, psycopg2.Error)) as caught:
        rig.store(many_orders(2))
    assert stop(caught.value, rig.settings)
    rig.connection.close()
    assert query(shop, "SELECT count(*) FROM dead_letters") == [(0,)]


def stop(error: BaseException, settings: Settings) -> bool:
    ours: Any = to_sesacctl_error(error, settings) if isinstance(error, psycopg2.Error) else error
    return isinstance(ours, SesacctlError) and not ours.retriable and "policies.sql" in str(ours.hint)


def test_hidden_offsets_are_not_reread_endlessly(shop: Settings) -> None:
    rig = hide(shop, "sink_offsets", "FOR SELECT USING (true)", "FOR INSERT WITH CHECK (true)")
    with pytest.raises(ServerRefused, match="sink_offsets"):
        rig.store(many_orders(2))
    rig.connection.close()
    assert query(shop, "SELECT count(*) FROM orders") == [(3,)]


def test_a_policy_stops_the_sink_only_if_it_refuses_all_records(shop: Settings) -> None:
    few = ("FOR SELECT USING (true)", "FOR UPDATE USING (true)", "FOR INSERT WITH CHECK (quantity < 5)")
    rig = hide(shop, "orders", *few)
    assert rig.store([*many_orders(6), message(order(7, quantity=7)), *many_orders(6)]) == Counts(stored=12, dead=1)
    [(detail,)] = query(shop, "SELECT detail FROM dead_letters")
    assert detail.startswith("SQLSTATE 42501: new row violates row-level security policy")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege) as caught:
        rig.store([message(order(n, quantity=9)) for n in range(20, 26)])
    assert stop(caught.value, rig.settings)
    rig.connection.close()


def test_a_letter_that_cannot_be_deleted_is_not_replayed_twice(shop: Settings) -> None:
    rig = hide(shop, "dead_letters")
    worker = rig.settings.model_copy(update={"kafka_topic_prefix": ""})
    query(shop, "ALTER TABLE dead_letters DISABLE ROW LEVEL SECURITY; ALTER TABLE orders ADD CONSTRAINT few CHECK"
                " (quantity < 7)")  # fmt: skip
    assert rig.store([message(order(7, quantity=7))]) == Counts(dead=1)
    rig.connection.close()
    query(shop, "ALTER TABLE dead_letters ENABLE ROW LEVEL SECURITY; CREATE POLICY s ON dead_letters FOR SELECT"
                " USING (true); CREATE POLICY u ON dead_letters FOR UPDATE USING (true)")  # fmt: skip
    with pytest.raises(ServerRefused, match="DELETE"):
        dead_letters.replay(worker, Filter())
    query(shop, "ALTER TABLE dead_letters DISABLE ROW LEVEL SECURITY; ALTER TABLE orders DROP CONSTRAINT few;"
                " CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
                " CREATE TRIGGER keep BEFORE DELETE ON dead_letters FOR EACH ROW EXECUTE FUNCTION keep()")  # fmt: skip
    before = query(shop, "SELECT stored, dead FROM sink_offsets")
    with pytest.raises(CheckFailed, match="deleted 0 of 1"):
        dead_letters.replay(worker, Filter())
    assert query(shop, "SELECT stored, dead FROM sink_offsets") == before
    assert query(shop, "SELECT count(*) FROM orders") == [(3,)]
