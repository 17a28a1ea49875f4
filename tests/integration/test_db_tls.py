"""TLS with a throw-away CA, on Debian's PostgreSQL: the packaged server is built without SSL."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from sesacctl.database import connections, database, init_db
from sesacctl.database.schema import check
from sesacctl.errors import ConfigurationError, ServerRefused, ServerUnreachable
from sesacctl.settings import DbType, Settings, load
from tests.helpers.postgres_cluster import DEBIAN, PASSWORD, Cluster, cluster

pytestmark = pytest.mark.skipif(not (DEBIAN / "postgres").exists(), reason="Debian's package postgresql-15 is missing")


def openssl(*arguments: object, folder: Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], cwd=folder, check=True, capture_output=True)


def authority(folder: Path, name: str) -> Path:
    """A CA of its own; its certificate."""
    subject = ("-subj", f"/CN={name}", "-days", 2, "-newkey", "rsa:2048", "-noenc")
    openssl("req", "-x509", *subject, "-keyout", f"{name}.key", "-out", f"{name}.pem", folder=folder)
    return folder / f"{name}.pem"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return authority(tmp_path_factory.mktemp("ca"), "ca")


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Cluster]:
    """A server with a certificate of the CA for `localhost`, that takes nobody without TLS."""
    with cluster(DEBIAN) as made:
        folder, key, certificate = bundle.parent, made.data / "server.key", made.data / "server.crt"
        openssl(
            "req",
            "-newkey",
            "rsa:2048",
            "-noenc",
            "-subj",
            "/CN=localhost",
            "-keyout",
            key,
            "-out",
            "server.csr",
            "-addext",
            "subjectAltName=DNS:localhost",
            folder=folder,
        )
        openssl(
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            bundle,
            "-CAkey",
            "ca.key",
            "-days",
            2,
            "-copy_extensions",
            "copyall",
            "-out",
            certificate,
            folder=folder,
        )
        for path in (key, certificate):
            made.own(path)
        key.chmod(0o600)
        (made.data / "pg_hba.conf").write_text("local all all trust\nhostssl all all all scram-sha-256\n")
        made.configure(ssl="on")
        made.start()
        yield made


def rds(server: Cluster, **values: object) -> Settings:
    here = {"rds_host": "localhost", "rds_port": server.port, "rds_user": "postgres", "rds_password": PASSWORD}
    return load(db_type=DbType.RDS, **{**here, "rds_db": "postgres", **values})


def supabase(server: Cluster, *, host: str = "127.0.0.1", **values: object) -> Settings:
    url = f"postgresql://postgres:[YOUR-PASSWORD]@{host}:{server.port}/postgres"
    return load(db_type=DbType.SUPABASE, supabase_direct_url=url, supabase_password=PASSWORD, **values)


def test_rds_with_its_ca_verifies_everything(server: Cluster, bundle: Path) -> None:
    settings = rds(server, rds_sslrootcert=bundle)
    init_db.initialize(settings)
    report = check.check(settings)
    assert report.tls == "TLSv1.3"
    assert check.verdict(report) is None


def test_rds_without_a_ca_is_encrypted_and_warned_of(server: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    connections.warn_of_unverified_host.cache_clear()
    assert check.check(rds(server)).tls == "TLSv1.3"
    [warning] = [record.getMessage() for record in caplog.records if record.name == connections.__name__]
    assert "RDS_SSLROOTCERT" in warning


def test_supabase_is_encrypted(server: Cluster) -> None:
    assert check.check(supabase(server)).tls == "TLSv1.3"


def test_supabase_with_its_ca_verifies_certificate_and_host(server: Cluster, bundle: Path, tmp_path: Path) -> None:
    assert check.check(supabase(server, host="localhost", supabase_sslrootcert=bundle)).tls == "TLSv1.3"
    with pytest.raises(ServerRefused, match="does not match host name"):
        check.check(supabase(server, supabase_sslrootcert=bundle))
    with pytest.raises(ServerRefused, match="certificate verify failed") as caught:
        check.check(supabase(server, host="localhost", supabase_sslrootcert=authority(tmp_path, "other")))
    assert "SUPABASE_SSLROOTCERT" in str(caught.value.hint)


def test_system_trusts_the_cas_of_the_system(server: Cluster, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServerRefused, match="certificate verify failed"):
        check.check(rds(server, rds_sslrootcert="system"))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))  # the system's CAs, as OpenSSL and Python look for them
    assert check.check(rds(server, rds_sslrootcert="system")).tls == "TLSv1.3"
    assert check.check(supabase(server, host="localhost", supabase_sslrootcert="system")).tls == "TLSv1.3"


def test_supabase_without_tls_is_refused_before_login() -> None:
    url = "postgresql://postgres@db.example.com/postgres?sslmode=disable"
    with pytest.raises(ConfigurationError, match="turns TLS off"):
        check.check(load(db_type=DbType.SUPABASE, supabase_direct_url=url))


def test_a_password_in_a_url_over_tls(server: Cluster) -> None:
    odd = "".join(map(chr, range(0x20, 0x7F))) + "비밀"
    server.execute("DROP ROLE IF EXISTS odd")
    server.execute("CREATE ROLE odd LOGIN PASSWORD %s", odd)
    url = f"postgresql://odd:{quote(odd, safe='')}@127.0.0.1:{server.port}/postgres"
    for values in (
        {"supabase_direct_url": url},
        {"supabase_direct_url": url.replace(quote(odd, safe=""), "[YOUR-PASSWORD]"), "supabase_password": odd},
    ):
        database.connect(load(db_type=DbType.SUPABASE, **values), command="test").close()


def test_a_stopped_backend_is_given_up_over_tls_too(server: Cluster) -> None:
    connection = database.connect(rds(server), command="test", bound=0.5)
    backend = connection.info.backend_pid
    os.kill(backend, signal.SIGSTOP)
    try:
        with pytest.raises(database.NoAnswer):
            connection.cursor().execute("SELECT 1")
    finally:
        os.kill(backend, signal.SIGCONT)


def test_another_ca_is_refused(server: Cluster, tmp_path: Path) -> None:
    with pytest.raises(ServerRefused, match="certificate verify failed") as caught:
        check.check(rds(server, rds_sslrootcert=authority(tmp_path, "other")))
    assert caught.value.exit_code == 4
    assert "RDS_SSLROOTCERT" in str(caught.value.hint)


def test_another_host_name_is_refused(server: Cluster, bundle: Path) -> None:
    with pytest.raises(ServerRefused, match="does not match host name"):
        check.check(rds(server, rds_host="127.0.0.1", rds_sslrootcert=bundle))


def test_a_server_without_tls_is_refused() -> None:
    with cluster() as plain:
        plain.start()
        with pytest.raises(ServerRefused, match="server does not support SSL"):
            check.check(supabase(plain))


def test_a_backend_killed_under_tls_is_unreachable(server: Cluster) -> None:
    connection = database.connect(rds(server), command="test")
    os.kill(connection.info.backend_pid, signal.SIGKILL)  # all sessions of the server end with it, and it starts again
    with pytest.raises(ServerUnreachable) as caught, database.translate_errors(rds(server)):
        connection.cursor().execute("SELECT 1")
    assert caught.value.retriable
    database.wait_until_ready(lambda: database.connect(rds(server), command="test").close(), seconds=20)
