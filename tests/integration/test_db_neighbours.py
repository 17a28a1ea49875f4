"""A database that other programs use as well, or that is set up otherwise: no table of theirs is touched."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as RawConnection  # noqa: N812

from sesacctl.database import database, init_db
from sesacctl.database.models import Base
from sesacctl.database.schema import check, plan, revisions
from sesacctl.database.schema.strangers import FIRST_REVISION
from sesacctl.database.search_path import Open, connect_in
from sesacctl.errors import CheckFailed, ConfigurationError, TablesNotOurs, UsageError
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.topics import make_topics
from tests.integration.test_db_schema import REVISIONS, execute

STRANGERS = {
    "table": ("CREATE TABLE products (id serial PRIMARY KEY, title text)", "2 columns (id, title)"),
    "orders": ("CREATE TABLE orders (id integer); CREATE TABLE django_migrations (id integer)", "Django"),
    "view": ("CREATE VIEW users AS SELECT 'u'::text AS user_id", "users is a view"),
    "materialized view": ("CREATE MATERIALIZED VIEW users AS SELECT 1 AS user_id", "users is a materialized view"),
    "partitioned": ("CREATE TABLE users (user_id text) PARTITION BY HASH (user_id)", "users is a partitioned table"),
    "foreign table": (
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
        "CREATE FOREIGN TABLE users (user_id text) SERVER s",
        "users is a foreign table",
    ),
    "sequence": ("CREATE SEQUENCE dead_letters", "dead_letters is a sequence"),
    "sink": ("CREATE TABLE sink_offsets (topic text); COMMENT ON TABLE sink_offsets IS 'of Flink'", "of Flink"),
}


@pytest.fixture
def empty(settings: Settings) -> Settings:
    """The settings' database without a schema."""
    revisions.downgrade(settings, "base")
    execute(settings, "DROP TABLE sesacctl_version")
    return settings


@pytest.mark.parametrize("kind", STRANGERS)
def test_foreign_tables_are_named_and_left_alone(empty: Settings, sesacctl: Cli, kind: str) -> None:
    statement, text = STRANGERS[kind]
    execute(empty, statement)
    for command in (("init",), ("init", "--dry-run"), ("migrate",), ("check",)):
        done = sesacctl("db", *command)
        assert done.returncode == 6, done.stderr
        assert text in done.stderr
        assert "POSTGRES_SCHEMA" in done.stderr
    assert revisions.current(empty) is None
    done = sesacctl("db", "init", POSTGRES_SCHEMA="shop")
    assert done.returncode == 0, done.stderr
    assert check.verdict(check.check(empty.model_copy(update={"postgres_schema": "shop"}))) is None


def test_incomplete_tables_cause_no_traceback(empty: Settings, sesacctl: Cli) -> None:
    revisions.upgrade(empty, "0001")
    execute(empty, "DROP TABLE sesacctl_version; DROP TABLE users CASCADE")
    done = sesacctl("db", "init")
    assert done.returncode == 6
    assert "missing: users column name" in done.stderr


def test_a_later_table_of_another_program_stops_the_migration(empty: Settings) -> None:
    revisions.upgrade(empty, "0003")
    execute(empty, "CREATE TABLE log_cuts (line text)")
    for act in (plan.plan, init_db.initialize):
        with pytest.raises(TablesNotOurs, match="log_cuts is a table with 1 column"):
            act(empty)
    assert revisions.current(empty) == "0003"


def test_every_table_has_its_first_revision() -> None:
    assert set(FIRST_REVISION) == set(Base.metadata.tables)
    assert set(FIRST_REVISION.values()) <= set(REVISIONS)


def make_legacy(settings: Settings) -> None:
    execute(
        settings,
        "ALTER TABLE sesacctl_version RENAME TO alembic_version;"
        "ALTER INDEX sesacctl_version_pkc RENAME TO alembic_version_pkc",
    )


@pytest.mark.parametrize("revision", ["0001", "0004", "0005"])
def test_our_old_alembic_version_is_adopted(settings: Settings, revision: str) -> None:
    revisions.downgrade(settings, revision)
    make_legacy(settings)
    assert revisions.current(settings) == revision
    sql = plan.sql(plan.plan(settings))
    revisions.upgrade(settings)
    revisions.require_head(settings)
    assert execute(settings, "SELECT to_regclass('alembic_version'), to_regclass('alembic_version_pkc')") == [
        (None, None)
    ]
    revisions.downgrade(settings, revision)
    make_legacy(settings)
    execute(settings, sql)
    revisions.require_head(settings)


def test_a_refused_migration_leaves_alembic_version_where_it_was(settings: Settings) -> None:
    revisions.downgrade(settings, "0001")
    make_legacy(settings)
    execute(settings, "INSERT INTO users (user_id) VALUES ('nameless')")
    with pytest.raises(CheckFailed):
        revisions.upgrade(settings)
    assert execute(settings, "SELECT to_regclass('sesacctl_version'), version_num FROM alembic_version") == [
        (None, "0001")
    ]


@pytest.mark.parametrize(
    "versions",
    [
        "version_num varchar(32) PRIMARY KEY); INSERT INTO alembic_version VALUES ('0003'",
        "version_num varchar(32)); INSERT INTO alembic_version VALUES ('1975ea83b712'), ('0003'",
        "version_num varchar(32)); INSERT INTO alembic_version VALUES ('9999'",
        "number integer",
    ],
)
def test_an_alembic_version_of_another_program_is_left_alone(empty: Settings, sesacctl: Cli, versions: str) -> None:
    execute(empty, f"CREATE TABLE alembic_version ({versions})")
    before = execute(empty, "SELECT * FROM alembic_version ORDER BY 1")
    done = sesacctl("db", "init", "-o", "json")
    assert done.returncode == 0, done.stderr
    foreign = json.loads(done.stdout)["foreign_version"]
    assert foreign == (", ".join(str(row[0]) for row in before) or None)
    revisions.require_head(empty)
    assert execute(empty, "SELECT * FROM alembic_version ORDER BY 1") == before
    assert json.loads(sesacctl("db", "check", "-o", "json").stdout)["foreign_version"] == foreign


def test_a_search_path_without_a_schema_is_reported(empty: Settings, sesacctl: Cli) -> None:
    execute(empty, f"ALTER DATABASE {empty.postgres_db} SET search_path = nowhere")
    for command in ("init", "migrate"):
        done = sesacctl("db", command)
        assert done.returncode == 6
        assert "search_path (nowhere) names no schema" in done.stderr
    assert sesacctl("db", "migrate", POSTGRES_SCHEMA="shop").returncode == 6
    assert sesacctl("db", "init", POSTGRES_SCHEMA="shop").returncode == 0
    assert sesacctl("db", "check", POSTGRES_SCHEMA="shop").returncode == 0


def test_tables_that_search_path_finds_second_are_not_made_twice(settings: Settings, sesacctl: Cli) -> None:
    execute(settings, f"CREATE SCHEMA app; ALTER DATABASE {settings.postgres_db} SET search_path = app, public")
    done = sesacctl("db", "init")
    assert done.returncode == 6
    assert "POSTGRES_SCHEMA=public" in done.stderr
    assert sesacctl("db", "init", POSTGRES_SCHEMA="public").returncode == 0
    assert execute(settings, "SELECT to_regclass('app.users')") == [(None,)]


def test_the_whole_loop_runs_in_a_schema_beside_another_shop(empty: Settings, sesacctl: Cli) -> None:
    execute(
        empty, "CREATE TABLE users (id integer); CREATE TABLE orders (id integer); CREATE VIEW products AS SELECT 1"
    )
    make_topics(empty)
    sesacctl.environment["POSTGRES_SCHEMA"] = "user"  # a word of SQL, too
    for command in (
        "db init --with-seed",
        "cache refresh",
        "produce --count 200",
        "consume --until-empty --instances 1",
        "audit --deep",
        "db check",
    ):
        done = sesacctl(*command.split(), timeout=120)
        assert done.returncode == 0, (command, done.stderr)
    assert execute(empty, 'SELECT count(*) FROM "user".orders') == [(200,)]
    assert execute(empty, "SELECT count(*) FROM public.orders") == [(0,)]


def through_a_pooler(settings: Settings) -> Open[RawConnection]:
    """Connects as PgBouncer does, which refuses what it would have to set again before each transaction."""

    def open_connection(more: Mapping[str, Any]) -> RawConnection:
        if "options" in more:
            raise psycopg2.OperationalError("FATAL: unsupported startup parameter in options: search_path")
        connection: RawConnection = psycopg2.connect(**{**database.locate(settings).parameters, **more})
        return connection

    return open_connection


@pytest.mark.parametrize("port", [5432, 6543])
def test_a_pooler_dropping_search_path_is_refused_with_advice(settings: Settings, port: int) -> None:
    location = replace(database.locate(settings), port=port)
    execute(settings, "CREATE SCHEMA shop")
    with pytest.raises(ConfigurationError, match="does not pass search_path on") as caught:
        connect_in("shop", location, through_a_pooler(settings))
    advice = str(caught.value.hint).partition(",")[0]
    assert advice.startswith("ALTER ROLE")
    execute(settings, advice)
    connection = connect_in("shop", location, through_a_pooler(settings))
    assert connection.autocommit is False
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        assert cursor.fetchone() == ("shop",)
    connection.close()


@pytest.mark.parametrize(
    "name",
    ["pg_temp", "information_schema", "sesacctl_adoption", "Shop", "my-shop", 'a"b', "1st", "a b", "ㄱ", "x" * 64],
)
def test_a_name_that_is_not_one_of_a_schema_is_refused(bare_sesacctl: Cli, name: str) -> None:
    done = bare_sesacctl("db", "check", POSTGRES_SCHEMA=name)
    assert done.returncode == 3
    assert "POSTGRES_SCHEMA" in done.stderr


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_KR"])
def test_a_wrong_encoding_is_refused_before_any_change(settings: Settings, sesacctl: Cli, encoding: str) -> None:
    name = f"{settings.postgres_db}_other"
    template = f"TEMPLATE template0 ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C'"
    outside_transactions(settings, f"CREATE DATABASE {name} {template}")
    try:
        for command in (("init",), ("init", "--dry-run"), ("migrate",)):
            done = sesacctl("db", *command, POSTGRES_DB=name)
            assert done.returncode == 5
            assert f"is in {encoding}, not in UTF8" in done.stderr
            assert "POSTGRES_DB" in done.stderr
        other = settings.model_copy(update={"postgres_db": name})
        revisions.upgrade(other)
        done = sesacctl("db", "check", POSTGRES_DB=name)
        assert done.returncode == 5
        assert f"is in {encoding}" in done.stderr
        assert sesacctl("db", "init", POSTGRES_DB=name).returncode == 0  # its tables are there already
        lines = json.loads(sesacctl("health", "-o", "json", POSTGRES_DB=name).stdout)["checks"]
        [line] = [line for line in lines if line["name"] == "PostgreSQL"]
        assert (line["verdict"], encoding in line["evidence"]) == ("warning", True)
    finally:
        outside_transactions(settings, f"DROP DATABASE {name} WITH (FORCE)")


def outside_transactions(settings: Settings, statement: str) -> None:
    connection = database.connect(settings, command="test")
    connection.autocommit = True
    connection.cursor().execute(statement)
    connection.close()


@pytest.fixture
def with_times(settings: Settings) -> Settings:
    """Tables of the first version, with times that were written in Korea."""
    revisions.downgrade(settings, "0001")
    execute(settings, "INSERT INTO users (user_id, name, created_at) VALUES ('u', 'n', '2026-01-01 09:00')")
    return settings


CREATED = "SELECT created_at AT TIME ZONE 'UTC' = '2026-01-01 00:00', pg_typeof(created_at)::text FROM users"


@pytest.mark.parametrize("command", ["init", "migrate"])
def test_the_zone_of_naive_times_is_not_guessed(with_times: Settings, sesacctl: Cli, command: str) -> None:
    if command == "init":
        execute(with_times, "DROP TABLE sesacctl_version")
    for options in ((), ("--yes",)):
        done = sesacctl("db", command, *options)
        assert done.returncode == 2
        assert "users.created_at" in done.stderr
        assert "--timestamps-in UTC" in done.stderr
    assert sesacctl("db", command, "--timestamps-in", "Asia/Soul").returncode == 2
    done = sesacctl("db", command, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "give --timestamps-in (PostgreSQL's own zone is UTC)" in " ".join(done.stdout.split())
    looked = sesacctl("db", command, "--dry-run", "--timestamps-in", "Asia/Seoul", "-o", "json")
    found = json.loads(looked.stdout)
    assert (found["timestamps"], found["timestamps_in"]) == (["users.created_at"], "Asia/Seoul")
    done = sesacctl("db", command, "--timestamps-in", "Asia/Seoul")
    assert done.returncode == 0, done.stderr
    assert execute(with_times, CREATED) == [(True, "timestamp with time zone")]
    assert sesacctl("db", command).returncode == 0


def test_the_sql_has_the_zone(with_times: Settings, sesacctl: Cli) -> None:
    execute(with_times, sesacctl("db", "migrate", "--sql", "--timestamps-in", "Asia/Seoul").stdout)
    assert execute(with_times, CREATED) == [(True, "timestamp with time zone")]


def test_no_zone_is_needed_without_times(settings: Settings) -> None:
    revisions.downgrade(settings, "0001")
    execute(settings, "INSERT INTO users (user_id, name) VALUES ('u', 'n')")
    plan.run(settings, plan.plan(settings))
    revisions.downgrade(settings, "0001")
    with pytest.raises(UsageError, match=r"users\.created_at"):
        plan.run(settings, plan.plan(settings))


def test_a_user_on_a_terminal_is_asked(with_times: Settings, environment: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "sesacctl", "db", "migrate"], env=environment, stdin=theirs, stderr=theirs, stdout=theirs
    )
    os.close(theirs)
    os.write(ours, b"Asia/Seoul\n")
    assert process.wait(60) == 0
    said = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "in which time zone were these times written?" in said
    assert execute(with_times, CREATED) == [(True, "timestamp with time zone")]
