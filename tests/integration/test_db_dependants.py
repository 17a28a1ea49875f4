"""What uses columns that a migration alters: found before, moved aside by the SQL that is printed, never half done."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sesacctl.database import init_db
from sesacctl.database.schema import plan, revisions
from sesacctl.database.schema.dependants import Dependant
from sesacctl.errors import CheckFailed
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.integration.test_db_schema import execute

# The objects of each kind that use a column whose type revision 0002 changes.
OBJECTS = {
    "view": "CREATE VIEW recent WITH (security_barrier=true) AS SELECT user_id, created_at FROM users;"
    "COMMENT ON VIEW recent IS 'for people''s eyes'; GRANT SELECT ON recent TO PUBLIC",
    "view of a view": "CREATE VIEW a AS SELECT created_at FROM orders; CREATE VIEW b AS SELECT * FROM a",
    "materialized view": "CREATE MATERIALIZED VIEW days AS SELECT user_id, created_at::date AS day FROM users;"
    "CREATE UNIQUE INDEX days_user ON days (user_id)",
    "trigger": "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
    'CREATE TRIGGER "my Trigger" BEFORE UPDATE OF last_cached_at ON users FOR EACH ROW EXECUTE FUNCTION f();'
    'ALTER TABLE users DISABLE TRIGGER "my Trigger"',
    "trigger with WHEN": "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
    "CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW WHEN (NEW.created_at IS NULL) EXECUTE FUNCTION f()",
    "rule": "CREATE TABLE seen (at timestamp);"
    "CREATE RULE note AS ON INSERT TO orders DO ALSO INSERT INTO seen VALUES (NEW.created_at)",
    "policy": "CREATE POLICY new ON users FOR SELECT TO PUBLIC USING (created_at > '2020-01-01')",
    "generated column": "ALTER TABLE orders ADD age_in_days boolean"
    " GENERATED ALWAYS AS (created_at IS NULL) STORED; CREATE INDEX by_age ON orders (age_in_days)",
    "publication": "CREATE PUBLICATION p FOR TABLE users (user_id, created_at) WHERE (user_id <> 'x');"
    "CREATE PUBLICATION q FOR TABLE orders WHERE (created_at IS NOT NULL)",
    "function": "CREATE FUNCTION newest() RETURNS timestamp LANGUAGE sql BEGIN ATOMIC"
    " SELECT max(created_at)::timestamp FROM products; END",
}


def at_first_revision(settings: Settings, objects: str) -> None:
    revisions.downgrade(settings, "0001")
    execute(settings, objects)


def statements(found: tuple[Dependant, ...]) -> tuple[str, str]:
    return "\n".join(each.drop for each in found), "\n".join(each.create for each in reversed(found))


@pytest.mark.parametrize("kind", OBJECTS)
def test_each_dependant_is_found_before_and_restored(settings: Settings, kind: str) -> None:
    at_first_revision(settings, OBJECTS[kind])
    planned = plan.plan(settings)
    before = _definitions(settings)
    with pytest.raises(CheckFailed, match="would stop the migration") as caught:
        plan.run(settings, planned)
    assert all(f"{each.kind} {each.name}" in str(caught.value) for each in planned.dependants)
    assert revisions.current(settings) == "0001"
    drop, create = statements(planned.dependants)
    execute(settings, drop)
    assert plan.plan(settings).dependants == ()
    plan.run(settings, plan.plan(settings))
    execute(settings, create)
    assert _definitions(settings) == before
    revisions.require_head(settings)


def test_the_sql_moves_dependants_aside_and_back(settings: Settings) -> None:
    at_first_revision(settings, OBJECTS["view of a view"])
    before = _definitions(settings)
    execute(settings, plan.sql(plan.plan(settings)))
    revisions.require_head(settings)
    assert _definitions(settings) == before


def _definitions(settings: Settings) -> list[Any]:
    """Names of all that OBJECTS has made, with comments, grants and state."""
    return execute(
        settings,
        "SELECT relname, relkind, reloptions::text, relacl::text, obj_description(oid, 'pg_class') FROM pg_class"
        " WHERE relkind IN ('v', 'm') AND relnamespace = 'public'::regnamespace"
        " OR relname IN ('days_user', 'by_age')"
        " UNION ALL SELECT tgname, tgenabled, NULL, NULL, NULL FROM pg_trigger WHERE NOT tgisinternal"
        " UNION ALL SELECT rulename, ev_enabled, NULL, NULL, NULL FROM pg_rewrite WHERE rulename = 'note'"
        " UNION ALL SELECT polname, polcmd, NULL, NULL, NULL FROM pg_policy"
        " UNION ALL SELECT attname, attgenerated, NULL, NULL, NULL FROM pg_attribute WHERE attname = 'age_in_days'"
        " AND attrelid = 'orders'::regclass"
        " UNION ALL SELECT pubname, '-', tablename, attnames::text, NULL FROM pg_publication_tables"
        " UNION ALL SELECT proname, prokind, NULL, NULL, NULL FROM pg_proc"
        " WHERE pronamespace = 'public'::regnamespace ORDER BY 1, 2",
    )


def test_dependants_of_unaltered_columns_are_left_alone(settings: Settings) -> None:
    at_first_revision(
        settings,
        "CREATE VIEW names AS SELECT user_id, name FROM users; CREATE INDEX mine ON users (created_at);"
        "CREATE PUBLICATION p FOR TABLE orders; CREATE VIEW mine_own AS SELECT 1",
    )
    assert plan.plan(settings).dependants == ()
    plan.run(settings, plan.plan(settings))


def test_the_dry_run_ends_with_5_names_and_sql(settings: Settings, sesacctl: Cli) -> None:
    at_first_revision(settings, OBJECTS["view of a view"])
    done = sesacctl("db", "migrate", "--dry-run", "-o", "json")
    assert done.returncode == 5
    found = json.loads(done.stdout)["dependants"]
    assert [each["drop"] for each in found] == ["DROP VIEW public.b;", "DROP VIEW public.a;"]
    assert "view public.b, view public.a" in done.stderr
    assert done.stderr.index("CREATE VIEW public.a") < done.stderr.index("CREATE VIEW public.b")
    assert sesacctl("db", "migrate", "--yes").returncode == 5
    execute(settings, "DROP TABLE sesacctl_version")
    done = sesacctl("db", "init", "--dry-run")
    assert done.returncode == 5, done.stderr
    assert "DROP VIEW public.b;" in done.stderr
    assert sesacctl("db", "init").returncode == 5
    assert revisions.current(settings) is None


def test_a_downgrade_names_what_uses_what_it_drops(settings: Settings) -> None:
    execute(
        settings,
        "CREATE VIEW bad AS SELECT reason, fingerprint FROM dead_letters;"
        "CREATE TABLE mine (user_id varchar(50) REFERENCES users)",
    )
    assert [each.name for each in plan.plan(settings, "0004", downgrade=True).dependants] == ["public.bad"]
    found = plan.plan(settings, "base", downgrade=True)
    assert {each.name for each in found.dependants} == {"public.bad", "mine_user_id_fkey on public.mine"}
    with pytest.raises(CheckFailed, match="mine_user_id_fkey"):
        plan.run(settings, found)
    revisions.require_head(settings)
    execute(settings, statements(found.dependants)[0])
    plan.run(settings, plan.plan(settings, "base", downgrade=True))


@pytest.mark.parametrize(
    ("objects", "text"),
    [
        ("CREATE TABLE mine (a users)", "row type"),
        ("CREATE INDEX mine ON users (date(created_at))", "IMMUTABLE"),
        ("CREATE TABLE mine (a integer); CREATE INDEX ix_orders_created_at ON mine (a)", "ix_orders_created_at"),
        ("CREATE TYPE log_cuts AS ENUM ('a')", "log_cuts"),
        ("INSERT INTO users (user_id) VALUES ('nameless')", "null value"),
        ("INSERT INTO users (user_id, name, created_at) VALUES ('u', 'n', '294276-12-31 23:59:59')", "out of range"),
    ],
)
def test_an_unforeseen_dependant_is_named_and_nothing_changes(
    settings: Settings, sesacctl: Cli, objects: str, text: str
) -> None:
    at_first_revision(settings, f"SET TimeZone = 'UTC'; {objects}")
    zone = "America/New_York"
    done = sesacctl("db", "migrate", "--yes", "--timestamps-in", zone)
    assert done.returncode in (5, 6), done.stderr
    assert text in done.stderr
    assert "nothing was changed" in done.stderr
    assert "Traceback" not in done.stderr
    assert revisions.current(settings) == "0001"


def test_an_adoption_that_is_refused_leaves_no_revision(settings: Settings) -> None:
    at_first_revision(settings, "CREATE TABLE mine (a users)")
    execute(settings, "DROP TABLE sesacctl_version")
    with pytest.raises(CheckFailed, match="row type"):
        init_db.initialize(settings)
    assert revisions.current(settings) is None
