"""A broker that asks for passwords and speaks TLS: who gets in, and what the others are told."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from sesacctl.broker import Sender, clients, topics
from sesacctl.broker.groups import GroupMembers, read_members
from sesacctl.errors import ConfigurationError, ServerRefused, ServerUnreachable
from sesacctl.events import PARTITIONS, User, UserEvent
from sesacctl.pipeline.supervise.supervisor import Supervisor
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.secure_broker import PASSWORD, USER, SecureBroker, authority, secure_broker
from tests.helpers.shop import row_ids
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="Debian's package openssl is missing")
TIMEOUT_MS = 4_000
LOGIN = {"kafka_sasl_username": USER, "kafka_sasl_password": PASSWORD}
SCRAM = {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_sasl_mechanism": "SCRAM-SHA-512"}
PLAIN = {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_sasl_mechanism": "PLAIN"}
TLS = {"kafka_security_protocol": "SSL"}
BOTH = {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "SCRAM-SHA-512"}


@pytest.fixture(scope="module")
def broker() -> Iterator[SecureBroker]:
    folder = Path(tempfile.mkdtemp(prefix="sesac-"))
    try:
        with secure_broker(folder / "broker") as started:
            yield started
    finally:
        shutil.rmtree(folder)


def deny(broker: SecureBroker, operation: ACLOperation, *patterns: ResourcePattern) -> None:
    """The user may do anything there but that; all others may do everything."""
    rights = [
        right
        for pattern in patterns
        for right in (
            ACL(f"User:{USER}", "*", operation, ACLPermissionType.DENY, pattern),
            ACL("User:*", "*", ACLOperation.ALL, ACLPermissionType.ALLOW, pattern),
        )
    ]
    admin = KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{broker.plain}")
    assert not admin.create_acls(rights)["failed"]
    admin.close()


@pytest.mark.parametrize(
    ("listener", "values"),
    [("scram", SCRAM | LOGIN), ("scram", PLAIN | LOGIN), ("tls", TLS), ("both", BOTH | LOGIN)],
    ids=["SCRAM-SHA-512", "PLAIN", "TLS", "SCRAM over TLS"],
)
def test_topics_producer_and_consumer_get_in(broker: SecureBroker, listener: str, values: dict[str, Any]) -> None:
    trust: dict[str, Any] = {}
    if "SSL" in values["kafka_security_protocol"]:
        trust["kafka_ssl_cafile"] = broker.authority
    prefix = f"{listener}-{values.get('kafka_sasl_mechanism', 'nobody')}-"
    settings = broker.settings(getattr(broker, listener), **values, **trust, kafka_topic_prefix=prefix)
    result = topics.init(settings)
    assert "only 1 broker(s)" in result.warnings[0]
    assert "replicas=1" in result.topics[0].details
    assert "min.insync.replicas=1" in result.topics[0].details
    with Sender(settings) as sender:
        sender.publish(UserEvent(timestamp=datetime(2026, 1, 1, tzinfo=UTC), user=User(user_id="U_1", name="홍길동")))
    assert sender.acknowledged == 1
    assert row_ids(settings, "users") == ["U_1"]


def test_a_wrong_password_is_reported_as_such(broker: SecureBroker) -> None:
    settings = broker.settings(broker.scram, **SCRAM, kafka_sasl_username=USER, kafka_sasl_password="guess")
    with pytest.raises((ServerRefused, ServerUnreachable), match="alice") as caught:
        clients.admin(settings, timeout_ms=TIMEOUT_MS)
    assert "KAFKA_SASL_PASSWORD" in str(caught.value.hint)


def test_unreadable_topic_settings_are_reported(broker: SecureBroker, settings: Settings) -> None:
    owner = settings.model_copy(
        update={"kafka_bootstrap_servers": f"127.0.0.1:{broker.plain}", "kafka_topic_prefix": "hidden-"}
    )
    topics.init(owner)
    deny(broker, ACLOperation.DESCRIBE_CONFIGS, ResourcePattern(ResourceType.TOPIC, owner.topic("orders")))
    alice = broker.settings(broker.scram, **SCRAM, **LOGIN, kafka_topic_prefix="hidden-")
    with pytest.raises(ServerRefused, match=r"settings of hidden-orders may not be read \(DescribeConfigs\)"):
        topics.describe(alice)


def test_a_group_that_may_not_be_described_is_not_called_empty(broker: SecureBroker, settings: Settings) -> None:
    name = f"{settings.kafka_group}-hidden"
    deny(broker, ACLOperation.DESCRIBE, ResourcePattern(ResourceType.GROUP, name))
    client = clients.admin(broker.settings(broker.scram, **SCRAM, **LOGIN))
    try:
        # A broker that was just started makes the coordinators' topic first.
        wait_until(lambda: read_members(client, f"{name}-not") == GroupMembers())
        assert read_members(client, name).problem == "GroupAuthorizationFailedError"
    finally:
        client.close()


@pytest.mark.parametrize("what", [ResourceType.GROUP, ResourceType.TOPIC], ids=["group", "topic"])
def test_a_consumer_without_read_rights_stops_without_restarts(
    broker: SecureBroker, settings: Settings, what: ResourceType
) -> None:
    own = {"kafka_bootstrap_servers": f"127.0.0.1:{broker.plain}", "kafka_topic_prefix": f"{what.name}-"}
    topics.init(settings.model_copy(update=own))
    name = settings.kafka_group if what is ResourceType.GROUP else f"{what.name}-orders"
    deny(broker, ACLOperation.READ, ResourcePattern(what, name))
    alice = broker.settings(broker.scram, **SCRAM, **LOGIN).model_dump(exclude={"kafka_topic_prefix", "kafka_group"})
    kafka = {key: value for key, value in alice.items() if key.startswith("kafka")}
    supervisor = Supervisor(settings.model_copy(update={**own, **kafka}), instances=1)
    stop = threading.Event()
    giving_up = threading.Timer(30, stop.set)
    giving_up.start()
    with pytest.raises(ServerRefused, match=f"{what.name.capitalize()}AuthorizationFailedError"):
        supervisor.run(stop)
    giving_up.cancel()
    assert supervisor.report().restarts == 0


def test_a_mechanism_that_the_broker_has_not_is_named(broker: SecureBroker) -> None:
    settings = broker.settings(broker.scram, **SCRAM | {"kafka_sasl_mechanism": "SCRAM-SHA-256"}, **LOGIN)
    with pytest.raises((ServerRefused, ServerUnreachable), match="SCRAM-SHA-256"):
        clients.admin(settings, timeout_ms=TIMEOUT_MS)


def test_a_certificate_of_another_authority_is_not_trusted(broker: SecureBroker, tmp_path: Path) -> None:
    settings = broker.settings(broker.tls, **TLS, kafka_ssl_cafile=authority(tmp_path, "other"))
    with pytest.raises(ServerRefused, match="untrusted certificate: unable to get local issuer") as caught:
        clients.admin(settings, timeout_ms=TIMEOUT_MS)
    assert "KAFKA_SSL_CAFILE" in str(caught.value.hint)


def test_a_certificate_for_another_host_is_not_trusted(broker: SecureBroker) -> None:
    settings = broker.settings(broker.tls, host="127.0.0.1", **TLS, kafka_ssl_cafile=broker.authority)
    with pytest.raises(ServerRefused, match=r"not valid for '127\.0\.0\.1'"):
        clients.admin(settings, timeout_ms=TIMEOUT_MS)


def test_tls_to_a_plaintext_listener_is_reported(broker: SecureBroker) -> None:
    settings = broker.settings(broker.plain, **TLS, kafka_ssl_cafile=broker.authority)
    with pytest.raises(ServerRefused, match="does not speak TLS") as caught:
        clients.admin(settings, timeout_ms=TIMEOUT_MS)
    assert "KAFKA_SECURITY_PROTOCOL" in str(caught.value.hint)


@pytest.mark.parametrize("listener", ["tls", "scram"])
def test_plaintext_to_a_tls_listener_is_reported(broker: SecureBroker, listener: str) -> None:
    settings = broker.settings(getattr(broker, listener))
    with pytest.raises(ServerUnreachable) as caught:
        clients.admin(settings, timeout_ms=TIMEOUT_MS)
    assert "KAFKA_SECURITY_PROTOCOL" in str(caught.value.hint)


def test_settings_that_belong_together_are_asked_for(broker: SecureBroker, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="KAFKA_SASL_PASSWORD"):
        clients.admin(broker.settings(broker.scram, **SCRAM, kafka_sasl_username=USER))
    with pytest.raises(ConfigurationError, match="KAFKA_SSL_CAFILE"):
        clients.admin(broker.settings(broker.tls, **TLS, kafka_ssl_cafile=tmp_path / "missing.pem"))


def test_a_password_is_never_shown(broker: SecureBroker, bare_sesacctl: Cli) -> None:
    secret = "canary-5f1c"
    done: subprocess.CompletedProcess[str] = bare_sesacctl(
        "topics", "describe", "--log-level", "debug",
        KAFKA_BOOTSTRAP_SERVERS=f"localhost:{broker.scram}",
        KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT",
        KAFKA_SASL_MECHANISM="SCRAM-SHA-512",
        KAFKA_SASL_USERNAME=USER,
        KAFKA_SASL_PASSWORD=secret,
    )  # fmt: skip
    assert done.returncode == 4
    assert USER in done.stderr
    assert secret not in done.stderr + done.stdout


def test_topics_that_exist_need_no_right_to_create(broker: SecureBroker, settings: Settings) -> None:
    """The last one here: the right is taken away for the whole cluster."""
    plain = {"kafka_bootstrap_servers": f"127.0.0.1:{broker.plain}", "kafka_topic_prefix": "made-"}
    topics.init(settings.model_copy(update=plain))
    names = [f"{prefix}-{kind}" for prefix in ("made", "new") for kind in PARTITIONS]
    cluster = ResourcePattern(ResourceType.CLUSTER, "kafka-cluster")
    deny(broker, ACLOperation.CREATE, cluster, *(ResourcePattern(ResourceType.TOPIC, name) for name in names))
    alice = broker.settings(broker.scram, **SCRAM, **LOGIN)
    found = topics.init(alice.model_copy(update={"kafka_topic_prefix": "made-"}))
    assert [change.action for change in found.topics] == ["unchanged"] * 3
    with pytest.raises(ServerRefused, match="TopicAuthorizationFailedError"):
        topics.init(alice.model_copy(update={"kafka_topic_prefix": "new-"}))
