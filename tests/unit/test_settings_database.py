"""The location of each `DB_TYPE`: any password, TLS modes, and errors that name the variable and show no secret."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool

from sesacctl.database import database
from sesacctl.database.schema.revisions import require_direct
from sesacctl.errors import ConfigurationError
from sesacctl.settings import DbType, Settings, load

PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
SECRET = "s3cret-Wort"
DIRECT = "postgresql://postgres:[YOUR-PASSWORD]@db.abcd.supabase.co:5432/postgres"
POOLER = "postgres://postgres.abcd:[YOUR-PASSWORD]@aws-0-ap-northeast-2.pooler.supabase.com:6543/postgres"
RDS = {"rds_user": "admin", "rds_password": SECRET, "rds_host": "db.example.com", "rds_db": "sesac_db"}


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SESAC_HOME", str(tmp_path))
    for name in Settings.model_fields:
        if name.startswith(("db_", "postgres_", "supabase_", "rds_")):
            monkeypatch.delenv(name.upper(), raising=False)


def supabase(url: str, password: str | None = SECRET, **values: Any) -> Settings:
    return load(db_type=DbType.SUPABASE, supabase_direct_url=url, supabase_password=password, **values)


def rds(**values: Any) -> Settings:
    return load(db_type=DbType.RDS, **{**RDS, **values})


@pytest.mark.parametrize("password", [PRINTABLE, "비밀번호 한글", "p@ss:w/o#rd?%41&[x]", "%", "\\'\""])
def test_any_password_survives_in_every_kind(password: str) -> None:
    for settings in (load(postgres_password=password), supabase(DIRECT, password), rds(rds_password=password)):
        assert database.locate(settings).password == password


def test_local_is_made_of_its_parts() -> None:
    found = database.locate(load(postgres_user="u", postgres_db="d", postgres_host="h", postgres_port=1234))
    assert (found.user, found.host, found.port, found.database) == ("u", "h", 1234, "d")


def test_a_folder_is_a_socket() -> None:
    found = database.locate(load(postgres_host="/run/한글 folder"))
    assert found.parameters["host"] == "/run/한글 folder"
    assert found.address == "/run/한글 folder"
    assert found.is_local


@pytest.mark.parametrize(
    ("host", "local"),
    [("localhost", True), ("127.0.0.1", True), ("::1", True), ("db.example.com", False), ("localhost.evil.com", False)],
)
def test_which_hosts_are_this_machine(host: str, local: bool) -> None:
    assert database.locate(load(postgres_host=host)).is_local is local


def test_supabase_demands_tls() -> None:
    assert database.locate(supabase(DIRECT)).options["sslmode"] == "require"
    assert database.locate(supabase(DIRECT + "?sslmode=verify-full")).options["sslmode"] == "verify-full"
    with pytest.raises(ConfigurationError, match="SUPABASE_DIRECT_URL turns TLS off"):
        database.locate(supabase(DIRECT + "?sslmode=prefer"))


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_all_schemes_of_postgresql_are_taken(scheme: str) -> None:
    assert database.locate(supabase(DIRECT.replace("postgresql", scheme))).host == "db.abcd.supabase.co"


def test_rds_verifies_the_host_when_it_can(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    assert database.locate(rds(rds_sslrootcert=bundle)).options == {
        "sslmode": "verify-full",
        "sslrootcert": str(bundle),
    }
    assert database.locate(rds()).options == {"sslmode": "require"}


def test_supabase_verifies_the_host_when_it_can(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    for url in (DIRECT, DIRECT + "?sslmode=require"):
        options = database.locate(supabase(url, supabase_sslrootcert=bundle)).options
        assert options == {"sslmode": "verify-full", "sslrootcert": str(bundle)}


def test_system_is_the_file_of_the_systems_cas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "all.pem"
    bundle.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    wanted = {"sslmode": "verify-full", "sslrootcert": str(bundle)}
    assert database.locate(rds(rds_sslrootcert="system")).options == wanted
    assert database.locate(supabase(DIRECT, supabase_sslrootcert="system")).options == wanted
    assert database.locate(supabase(DIRECT + "?sslmode=verify-full&sslrootcert=system")).options == wanted


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        (lambda: load(db_type=DbType.SUPABASE), "SUPABASE_DIRECT_URL"),
        (lambda: supabase(DIRECT, None), "SUPABASE_PASSWORD"),
        (lambda: supabase(f"postgresql://u:{SECRET}@[bad"), "SUPABASE_DIRECT_URL"),
        (lambda: supabase(f"postgresql://u:a@{SECRET}@host/d"), "SUPABASE_DIRECT_URL"),
        (lambda: supabase(f"mysql://u:{SECRET}@h/d"), "SUPABASE_DIRECT_URL"),
        (lambda: supabase("not a URL"), "SUPABASE_DIRECT_URL"),
        (lambda: supabase(f"postgresql://u:{SECRET}@h:port/d"), "SUPABASE_DIRECT_URL"),
        (lambda: supabase(f"postgresql://u:{SECRET}@h,g/d"), "SUPABASE_DIRECT_URL"),
        (lambda: supabase(f"postgresql://u:{SECRET}@/d"), "SUPABASE_DIRECT_URL"),
        (lambda: supabase(f"postgresql://u:%zz{SECRET}@h/d"), "SUPABASE_DIRECT_URL"),
        (lambda: supabase(f"postgresql://u:{SECRET}@h/d?pgbouncer=true"), "SUPABASE_DIRECT_URL"),
        (lambda: supabase(f"host=h password={SECRET}"), "SUPABASE_DIRECT_URL"),
        (lambda: load(db_type=DbType.RDS, **{**RDS, "rds_user": None}), "RDS_USER"),
        (lambda: load(db_type=DbType.RDS, **{**RDS, "rds_password": None}), "RDS_PASSWORD"),
        (lambda: load(db_type=DbType.RDS, **{**RDS, "rds_host": None}), "RDS_HOST"),
        (lambda: load(db_type=DbType.RDS, **{**RDS, "rds_db": None}), "RDS_DB"),
        (lambda: rds(rds_sslrootcert="/nowhere.pem"), "RDS_SSLROOTCERT"),
        (lambda: supabase(DIRECT, supabase_sslrootcert="/nowhere.pem"), "SUPABASE_SSLROOTCERT"),
    ],
)
def test_a_missing_setting_is_named_without_secrets(settings: Any, variable: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        database.locate(settings())
    assert variable in str(caught.value)
    assert SECRET not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
    assert caught.value.exit_code == 3


def test_a_location_hides_its_password() -> None:
    assert SECRET not in repr(database.locate(rds()))
    assert SECRET not in str(database.engine_for(rds(), command="test").url)


def test_the_transaction_pooler_keeps_no_connections() -> None:
    assert isinstance(database.engine_for(supabase(POOLER), command="test").pool, NullPool)
    assert not isinstance(database.engine_for(supabase(DIRECT), command="test").pool, NullPool)


def test_migrations_refuse_the_pooler_and_name_the_direct_url() -> None:
    require_direct(supabase(DIRECT))
    with pytest.raises(ConfigurationError) as caught:
        require_direct(supabase(POOLER))
    assert caught.value.hint == "set SUPABASE_DIRECT_URL to the direct address, db.abcd.supabase.co:5432"


def test_importing_the_library_needs_no_settings() -> None:
    code = (
        "import sys; from sesacctl.database import crud, database, models, samples; assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "DB_TYPE": "nonsense"}, check=True)
