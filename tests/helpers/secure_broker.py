"""One broker that asks for passwords, tokens or certificates and speaks TLS, with a CA of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from sesacctl import settings as settings_module
from sesacctl.settings import Settings
from sesacctl.stack import broker_settings, jars, java, kafka, ports
from sesacctl.stack.cluster import members
from sesacctl.stack.java import Java
from sesacctl.stack.layout import State
from sesacctl.stack.process import Program, stop, wait_ready
from tests.helpers.waiting import wait_until

_VERSION = "SESAC_TEST_KAFKA"  # another version of Kafka than the stack's
USER, PASSWORD = "alice", "s3cret-of-alice"
# What two listeners advertise, which nobody can reach: as a container that gives its own name, or no port of its host.
UNKNOWN_NAME, CLOSED_NAME = "kafka.invalid:9092", "127.0.0.1:1"
# The certificate is for `localhost` only: whoever connects to 127.0.0.1 must notice.
_SETTINGS = r"""
listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},\
 SCRAM://127.0.0.1:{scram},TLS://127.0.0.1:{tls},BOTH://127.0.0.1:{both},\
 MUTUAL://127.0.0.1:{mutual},TOKEN://127.0.0.1:{token},\
 UNKNOWN://127.0.0.1:{unknown},CLOSED://127.0.0.1:{closed}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},\
 SCRAM://localhost:{scram},TLS://localhost:{tls},BOTH://localhost:{both},\
 MUTUAL://localhost:{mutual},TOKEN://localhost:{token},\
 UNKNOWN://{unknown_name},CLOSED://{closed_name}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SCRAM:SASL_PLAINTEXT,TLS:SSL,BOTH:SASL_SSL,\
 MUTUAL:SSL,TOKEN:SASL_PLAINTEXT,UNKNOWN:PLAINTEXT,CLOSED:PLAINTEXT
listener.name.mutual.ssl.client.auth=required
listener.name.token.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.token.connections.max.reauth.ms=3600000
listener.name.token.oauthbearer.sasl.jaas.config={token_login}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.both.sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.scram.scram-sha-512.sasl.jaas.config={scram_login}
listener.name.both.scram-sha-512.sasl.jaas.config={scram_login}
listener.name.scram.plain.sasl.jaas.config={plain_login}
listener.name.both.plain.sasl.jaas.config={plain_login}
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
super.users=User:ANONYMOUS
"""
_SCRAM_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
# Takes tokens that nobody has signed; the session ends with the token.
_TOKEN_LOGIN = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;"
_PLAIN_LOGIN = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'


@dataclass(frozen=True)
class SecureBroker:
    """Ports of its listeners, and the CA that signed its certificate."""

    plain: int
    scram: int
    tls: int
    both: int
    mutual: int
    token: int
    unknown: int
    closed: int
    authority: Path

    def settings(self, port: int, *, host: str = "localhost", **values: Any) -> Settings:
        """For one of its listeners; keywords are further settings."""
        return settings_module.load(kafka_bootstrap_servers=f"{host}:{port}", **values)


def authority(folder: Path, name: str) -> Path:
    """A CA of its own; its certificate."""
    subject = ("-subj", f"/CN={name}", "-days", "2", "-newkey", "rsa:2048", "-noenc")
    _openssl(folder, "req", "-x509", *subject, "-keyout", f"{name}.key", "-out", f"{name}.pem")
    return folder / f"{name}.pem"


@contextmanager
def secure_broker(home: Path) -> Iterator[SecureBroker]:
    """Started in `home`, with the user `USER`; killed at the end."""
    for folder in ("run", "logs"):
        (home / folder).mkdir(parents=True)
    plain, controller, scram, tls, both, mutual, token, unknown, closed = ports.choose(9)
    broker = SecureBroker(plain, scram, tls, both, mutual, token, unknown, closed, authority(home, "ca"))
    settings = home / "run" / "broker.properties"
    broker_settings.write_logging(home / java.LOGGING)
    broker_settings.write_broker(settings, 1, [(plain, controller)], "data")
    with settings.open("a") as file:
        logins = {"scram_login": _SCRAM_LOGIN, "plain_login": _PLAIN_LOGIN, "token_login": _TOKEN_LOGIN}
        where = {"controller": controller, "unknown_name": UNKNOWN_NAME, "closed_name": CLOSED_NAME, **asdict(broker)}
        file.write(_SETTINGS.format(**where, **logins, keystore=_keystore(home), truststore=broker.authority))
    program, environment = broker_program(home)
    program.spawn(environment)
    try:
        wait_ready([program], lambda: bool(members(f"127.0.0.1:{plain}")), seconds=60, cancel=threading.Event())
        admin = KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{plain}")
        user = UserScramCredentialUpsertion(USER, ScramMechanism.SCRAM_SHA_512, PASSWORD)
        assert admin.alter_user_scram_credentials([user]) == {USER: None}
        wait_until(lambda: admin.describe_user_scram_credentials()[USER]["credential_infos"])
        admin.close()
        yield broker
    finally:
        stop([program], signal.SIGKILL, seconds=10)


def broker_program(home: Path) -> tuple[Program, dict[str, str]]:
    folder = jars.cache_folder()
    cancel = threading.Event()
    lock = jars.read_lock(os.environ.get(_VERSION, ""))
    class_path = jars.ensure(folder, lock, on_step=print, cancel=cancel)
    machine = Java(
        class_path, java.ensure_cache(folder, lock.kafka, class_path, on_step=print, cancel=cancel), State().heap_mb
    )
    log = home / "logs" / "broker.log"
    assert machine.format(home, "run/broker.properties", kafka.new_cluster_id(), log).wait() == 0, log.read_text()
    marker = f"-Dsesacctl.server={home}"
    program = Program(
        name="the secure broker",
        argv=machine.command(java.SERVER, "run/broker.properties", options=[marker]),
        marker=marker,
        cwd=home,
        log=log,
        record=home / "run" / "broker.json",
    )
    return program, machine.environment


def certificate(folder: Path, name: str, *, password: str | None = None) -> tuple[Path, Path]:
    """Key and certificate for `name`, signed by the CA in `folder`, which is named `ca`."""
    key = ("-noenc",) if password is None else ("-passout", f"pass:{password}")
    request = ("-newkey", "rsa:2048", *key, "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
    _openssl(folder, "req", *request, "-keyout", f"{name}.key", "-out", f"{name}.csr")
    signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2", "-copy_extensions", "copyall")
    _openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")
    return folder / f"{name}.key", folder / f"{name}.pem"


def _keystore(folder: Path) -> Path:
    """The broker's key and certificate in one file."""
    key, signed = certificate(folder, "localhost")
    both = folder / "keystore.pem"
    both.write_text(key.read_text() + signed.read_text())
    return both


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
