"""The `db` commands as they are typed: output, exit codes, and questions before anything on another machine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from sesacctl.database.samples import seed
from sesacctl.database.schema import revisions
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.postgres_cluster import FAR, PASSWORD, Cluster, cluster
from tests.helpers.waiting import within
from tests.integration.test_db_schema import execute


def with_environment(cli: Cli, environment: dict[str, str]) -> Cli:
    """The command line with further variables."""
    return Cli(cli.folder, {**cli.environment, **environment})


def document(cli: Cli, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = cli(*arguments, "-o", "json")
    assert done.returncode == code, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_init_seed_and_check(settings: Settings, sesacctl: Cli) -> None:
    revisions.downgrade(settings, "base")
    first = document(sesacctl, "db", "init", "--with-seed")
    assert (first["before"], first["revision"], first["created_database"]) == (None, revisions.head(), False)
    assert (first["seeded"]["users"], first["seeded"]["products"]) == (10_000, 20_000)
    again = document(sesacctl, "db", "init", "--with-seed")
    assert (again["before"], again["seeded"]) == (revisions.head(), None)
    report = document(sesacctl, "db", "check")
    assert (report["revision"], report["drift"], report["tls"], report["pooler"]) == (
        revisions.head(),
        [],
        "off",
        False,
    )
    counts = {table["table"]: (table["rows"], table["never_cached"]) for table in report["tables"]}
    assert counts["users"] == (10_000, 10_000)
    assert counts["products"] == (20_000, 20_000)
    assert counts["orders"] == (0, None)
    assert all(index["present"] for index in report["indexes"])
    assert report["latency_ms"] > 0
    assert report["server_version"].startswith("18")


def test_a_second_seed_adds_nothing_and_says_what_is_there(sesacctl: Cli) -> None:
    assert sesacctl("db", "seed", "--users", "10", "--products", "20").returncode == 0
    done = sesacctl("db", "seed")
    assert done.returncode == 0, done.stderr
    assert "10 users and 20 products already" in done.stderr
    assert "sesacctl db seed --append" in done.stderr
    counts = {table["table"]: table["rows"] for table in document(sesacctl, "db", "check")["tables"]}
    assert (counts["users"], counts["products"]) == (10, 20)
    assert document(sesacctl, "db", "seed", "--append", "--users", "5", "--products", "0")["users"] == 5


def test_check_of_a_schema_that_is_not_at_head(settings: Settings, sesacctl: Cli) -> None:
    revisions.downgrade(settings, "-1")
    done = sesacctl("db", "check")
    assert done.returncode == 6
    assert "sesacctl db migrate" in done.stderr
    revisions.downgrade(settings, "base")
    done = sesacctl("db", "check")
    assert done.returncode == 6
    assert "sesacctl db init" in done.stderr


def test_check_of_drifted_tables(settings: Settings, sesacctl: Cli) -> None:
    execute(
        settings,
        "ALTER TABLE users ALTER age TYPE bigint, ALTER name DROP NOT NULL, ADD email text;"
        "ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey; ALTER TABLE users ALTER created_at DROP DEFAULT;"
        "DROP INDEX ix_users_never_cached; DROP TABLE parked_events; CREATE INDEX my_own ON users (name)",
    )
    report = document(sesacctl, "db", "check", code=5)
    assert report["drift"] == [
        "orders: ForeignKeyConstraint on user_id is missing",
        "table parked_events is missing",
        "users.age: its type is BIGINT, should be INTEGER",
        "users.created_at: it has a different default",
        "users.email is unexpected",
        "users.name: should be NOT NULL",
        "users: Index on user_id is missing",
    ]
    assert {"index": "ix_users_never_cached", "present": False} in report["indexes"]


@pytest.mark.parametrize("command", ["check", "init", "migrate", "seed"])
def test_a_server_that_is_down(bare_sesacctl: Cli, command: str) -> None:
    with within(10):
        done = bare_sesacctl("db", command, POSTGRES_HOST="127.0.0.1", POSTGRES_PORT="1")
    assert done.returncode == 4
    assert "PostgreSQL at 127.0.0.1:1 cannot be reached" in done.stderr
    assert "next:  start that server, or set POSTGRES_HOST" in done.stderr


def test_waiting_for_a_server_ends(bare_sesacctl: Cli) -> None:
    with within(10):
        done = bare_sesacctl("db", "init", "--wait", "--timeout", "1s", POSTGRES_HOST="/nowhere")
    assert done.returncode == 4


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        ({"DB_TYPE": "oracle"}, "DB_TYPE"),
        ({"DB_TYPE": "rds", "RDS_USER": "u", "RDS_HOST": "h", "RDS_DB": "d"}, "RDS_PASSWORD"),
        ({"DB_TYPE": "supabase", "SUPABASE_DIRECT_URL": "postgresql://u:[YOUR-PASSWORD]@h/d"}, "SUPABASE_PASSWORD"),
    ],
)
def test_configuration_errors(bare_sesacctl: Cli, environment: dict[str, str], variable: str) -> None:
    done = with_environment(bare_sesacctl, environment)("db", "check")
    assert done.returncode == 3
    assert variable in done.stderr
    assert done.stdout == ""


def test_migrations_are_refused_on_the_transaction_pooler(bare_sesacctl: Cli) -> None:
    url = "postgresql://postgres.abcd:geheim@pooler.example.com:6543/postgres"
    for command in ("init", "migrate"):
        done = bare_sesacctl("db", command, DB_TYPE="supabase", SUPABASE_DIRECT_URL=url)
        assert done.returncode == 3
        assert "db.abcd.supabase.co:5432" in done.stderr
        assert "geheim" not in done.stderr


def test_dry_run_and_sql_change_nothing(settings: Settings, sesacctl: Cli) -> None:
    revisions.downgrade(settings, "0002")
    planned = document(sesacctl, "db", "migrate", "--dry-run")
    assert [step["revision"] for step in planned["steps"]] == ["0003", "0004", "0005", "0006", "0007", "0008"]
    assert not planned["applied"]
    sql = sesacctl("db", "migrate", "--sql").stdout
    assert "CREATE TABLE sink_offsets" in sql
    assert revisions.current(settings) == "0002"
    execute(settings, sql)
    revisions.require_head(settings)


@pytest.mark.usefixtures("settings")
def test_migrate_and_downgrade(sesacctl: Cli) -> None:
    undone = document(sesacctl, "db", "downgrade", "-1")
    assert (undone["applied"], undone["current"], undone["target"]) == (True, "0008", "0007")
    assert document(sesacctl, "db", "migrate", "+1")["target"] == "0008"
    assert "nothing to do" in sesacctl("db", "migrate").stdout
    done = sesacctl("db", "migrate", "0815")
    assert done.returncode == 2
    assert "0815" in done.stderr


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with cluster() as started:
        started.start()
        yield started


@pytest.fixture
def far(server: Cluster) -> Iterator[dict[str, str]]:
    """The variables of a database that counts as on another machine, one revision behind."""
    settings = server.settings(postgres_db="far")
    server.execute("CREATE DATABASE far")
    revisions.upgrade(settings, "0003")
    yield {
        "POSTGRES_HOST": FAR,
        "POSTGRES_PORT": str(server.port),
        "POSTGRES_PASSWORD": PASSWORD,
        "POSTGRES_DB": "far",
    }
    server.execute("DROP DATABASE far WITH (FORCE)")


@pytest.mark.parametrize("command", [("migrate",), ("downgrade", "-1"), ("init",)])
def test_nothing_is_migrated_on_another_machine_without_a_yes(
    bare_sesacctl: Cli, server: Cluster, far: dict[str, str], command: tuple[str, ...]
) -> None:
    done = with_environment(bare_sesacctl, far)("db", *command)
    assert done.returncode == 2
    assert f"{FAR}:{server.port}" in done.stderr
    assert "--yes" in done.stderr
    settings = server.settings(postgres_db="far")
    assert revisions.current(settings) == "0003"
    assert with_environment(bare_sesacctl, far)("db", *command, "--yes").returncode == 0
    assert revisions.current(settings) == ("0002" if command[0] == "downgrade" else "0008")


def test_unversioned_remote_tables_are_adopted_only_with_yes(
    bare_sesacctl: Cli, server: Cluster, far: dict[str, str]
) -> None:
    settings = server.settings(postgres_db="far")
    execute(settings, "DROP TABLE sesacctl_version")
    assert with_environment(bare_sesacctl, far)("db", "init").returncode == 2
    assert revisions.current(settings) is None
    assert document(with_environment(bare_sesacctl, far), "db", "init", "--yes")["adopted"] == "0003"


def test_looking_at_a_plan_on_another_machine_needs_no_yes(bare_sesacctl: Cli, far: dict[str, str]) -> None:
    assert document(with_environment(bare_sesacctl, far), "db", "migrate", "--dry-run")["on_this_machine"] is False
    assert with_environment(bare_sesacctl, far)("db", "migrate", "--sql").returncode == 0


def test_a_wrong_password_says_authentication(bare_sesacctl: Cli, far: dict[str, str]) -> None:
    done = with_environment(bare_sesacctl, {**far, "POSTGRES_PASSWORD": "falsch"})("db", "check")
    assert done.returncode == 4
    assert "authentication" in done.stderr
    assert "falsch" not in done.stderr


def test_the_missing_database_is_made(server: Cluster, bare_sesacctl: Cli, far: dict[str, str]) -> None:
    environment = {**far, "POSTGRES_DB": "brandneu"}
    done = with_environment(bare_sesacctl, environment)("db", "check")
    assert done.returncode == 5
    assert "sesacctl db init" in done.stderr
    assert document(with_environment(bare_sesacctl, environment), "db", "init", "--wait")["created_database"] is True
    revisions.require_head(server.settings(postgres_db="brandneu"))
    server.execute("DROP DATABASE brandneu WITH (FORCE)")


def test_check_can_wait_for_the_schema(settings: Settings, sesacctl: Cli) -> None:
    revisions.downgrade(settings, "-1")
    waiting = sesacctl.start("db", "check", "--wait", "--timeout", "30s")
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(3)
    revisions.upgrade(settings)
    assert waiting.wait(60) == 0


def test_the_same_random_seed_makes_the_same_rows(settings: Settings) -> None:
    fingerprint = "SELECT md5(string_agg(u::text, ',' ORDER BY user_id)) FROM (SELECT user_id, name, age FROM users) u"
    seed.seed(settings, users=3_000, products=10, random_seed=7)
    first = execute(settings, fingerprint)
    execute(settings, "TRUNCATE users, products CASCADE")
    seed.seed(settings, users=3_000, products=10, random_seed=7)
    assert execute(settings, fingerprint) == first
    seed.seed(settings, users=2_000, products=10, random_seed=7, append=True)
    assert execute(settings, "SELECT count(*), max(user_id) FROM users") == [(5_000, "u_00005000")]
    assert execute(
        settings,
        "SELECT count(*) FROM users a JOIN users b USING (name, age, join_date, region)"
        " WHERE a.user_id <= 'u_00003000' AND b.user_id > 'u_00003000'",
    ) != [(2_000,)]


def test_a_seed_tells_its_progress_and_is_all_or_nothing(settings: Settings) -> None:
    told: list[tuple[str, int]] = []

    def stop_late(table: str, rows: int) -> None:
        told.append((table, rows))
        if (table, rows) == ("products", 2_000):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seed.seed(settings, users=2_500, products=5_000, on_progress=stop_late)
    assert told[:4] == [("users", 0), ("users", 1_000), ("users", 2_000), ("users", 2_500)]
    assert execute(settings, "SELECT count(*) FROM users") == [(0,)]
