"""Brokers as they are in clouds: certificates, tokens, addresses that nobody can reach, groups that others use."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sesacctl.broker import Sender, bootstrap, clients, topics
from sesacctl.errors import ServerRefused, ServerUnreachable
from sesacctl.events import User, UserEvent
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers import tokens
from tests.helpers.consumers import running, stored
from tests.helpers.secure_broker import CLOSED_NAME, UNKNOWN_NAME, SecureBroker, authority, certificate, secure_broker
from tests.helpers.shop import fill_cache, row_ids
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="Debian's package openssl is missing")
TIMEOUT_MS = 1_000
OAUTH = {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_sasl_mechanism": "OAUTHBEARER"}


@pytest.fixture(scope="module")
def broker() -> Iterator[SecureBroker]:
    folder = Path(tempfile.mkdtemp(prefix="sesac-"))
    try:
        with secure_broker(folder / "broker") as started:
            yield started
    finally:
        shutil.rmtree(folder)


def mutual(broker: SecureBroker, folder: Path | None = None, **values: Any) -> Settings:
    """For the listener that asks for certificates, with one that the CA in `folder` has signed."""
    own: dict[str, Any] = {}
    if folder:
        key, signed = certificate(folder, "shop")
        own = {"kafka_ssl_keyfile": key, "kafka_ssl_certfile": signed}
    trust: dict[str, Any] = {"kafka_security_protocol": "SSL", "kafka_ssl_cafile": broker.authority}
    return broker.settings(broker.mutual, **{**trust, **own, **values})


def oauth(broker: SecureBroker, function: str, **values: Any) -> Settings:
    return broker.settings(
        broker.token, **OAUTH, kafka_oauth_token_provider=f"tests.helpers.tokens:{function}", **values
    )


def user(number: int) -> UserEvent:
    return UserEvent(timestamp=datetime(2026, 1, 1, tzinfo=UTC), user=User(user_id=f"U_{number}", name="홍길동"))


def check_round_trip(settings: Settings) -> None:
    topics.init(settings)
    with Sender(settings) as sender:
        sender.publish(user(1))
    assert sender.acknowledged == 1
    assert row_ids(settings, "users") == ["U_1"]


def test_a_client_certificate_gets_in(broker: SecureBroker) -> None:
    check_round_trip(mutual(broker, broker.authority.parent, kafka_topic_prefix="mutual-"))


def test_a_token_gets_in(broker: SecureBroker) -> None:
    check_round_trip(oauth(broker, "good", kafka_topic_prefix="token-"))


def test_brokers_that_ask_for_certificates_count_as_alive(broker: SecureBroker) -> None:
    """Of several bootstrap servers, those that answer are found over a socket of our own."""
    with_own = mutual(broker, broker.authority.parent)
    both = with_own.model_copy(
        update={"kafka_bootstrap_servers": f"localhost:{broker.mutual},127.0.0.1:{broker.mutual}"}
    )
    assert bootstrap.reachable(both, seconds=5.0).silent == []


def test_without_a_certificate_the_setting_is_named(broker: SecureBroker) -> None:
    with pytest.raises(
        ServerRefused, match="asks for a client certificate, and KAFKA_SSL_CERTFILE is not set"
    ) as caught:
        clients.admin(mutual(broker), timeout_ms=TIMEOUT_MS)
    assert "KAFKA_SSL_KEYFILE" in str(caught.value.hint)


def test_a_certificate_of_another_authority_is_named(broker: SecureBroker, tmp_path: Path) -> None:
    authority(tmp_path, "ca")
    with pytest.raises(ServerRefused, match=r"refused the certificate in .*shop\.pem: certificate unknown"):
        clients.admin(mutual(broker, tmp_path), timeout_ms=TIMEOUT_MS)


@pytest.mark.parametrize(
    ("function", "kind", "complaint"),
    [
        ("expired", (ServerRefused, ServerUnreachable), r"with a token of tests\.helpers\.tokens:expired"),
        ("raises", ServerUnreachable, r"tests\.helpers\.tokens:raises failed: LookupError: there are no credentials"),
        ("nothing", ServerRefused, r"got no token from us: .*tests\.helpers\.tokens:nothing returned NoneType"),
    ],
)
def test_an_invalid_token_is_reported(broker: SecureBroker, function: str, kind: Any, complaint: str) -> None:
    with pytest.raises(kind, match=complaint) as caught:
        clients.admin(oauth(broker, function), timeout_ms=TIMEOUT_MS)
    assert "KAFKA_OAUTH_TOKEN_PROVIDER" in str(caught.value.hint)


def test_sending_and_consuming_outlast_expiring_tokens(
    broker: SecureBroker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker hangs up on a login that is older than its token, and gets another one before that."""
    asked: list[float] = []
    short = tokens.short

    def ask() -> str:
        asked.append(time.monotonic())
        return short()

    monkeypatch.setattr(tokens, "short", ask)
    logged_in = oauth(broker, "short").model_dump(exclude={"kafka_topic_prefix", "kafka_group"})
    own = settings.model_copy(update={name: value for name, value in logged_in.items() if name.startswith("kafka")})
    topics.init(own)
    with running(own), Sender(own) as sender:
        sent = 0
        begin = time.monotonic()
        while len(asked) < 10 or time.monotonic() - begin < 3 * tokens.SHORT_SECONDS:
            sender.publish(user(sent := sent + 1))
            assert sender.flush(10.0)
            wait_until(lambda: stored(own) == sent)
    assert (sender.acknowledged, sender.failed) == (sent, 0)


def test_a_failing_token_provider_exits_like_a_server_error(broker: SecureBroker, bare_sesacctl: Cli) -> None:
    wrong: dict[str, Any] = {
        "KAFKA_BOOTSTRAP_SERVERS": f"localhost:{broker.token}",
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    }
    wrong |= {"KAFKA_SASL_MECHANISM": "OAUTHBEARER", "KAFKA_OAUTH_TOKEN_PROVIDER": "tests.helpers.tokens:number"}
    done = bare_sesacctl("topics", "describe", "--log-level", "debug", **wrong)
    assert (done.returncode, "tests.helpers.tokens:number returned bytes" in done.stderr) == (4, True)
    assert tokens.SECRET not in done.stderr + done.stdout
    wrong["KAFKA_OAUTH_TOKEN_PROVIDER"] = "tests.helpers.tokens:missing"
    done = bare_sesacctl("topics", "describe", **wrong)
    assert done.returncode == 3


COMMANDS = ["topics init", "topics describe", "health", "lag", "produce --count 1", "consume -n 1"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("listener", "address"), [("unknown", UNKNOWN_NAME), ("closed", CLOSED_NAME)])
def test_an_advertised_address_that_cannot_be_reached_is_named(
    broker: SecureBroker, settings: Settings, sesacctl: Cli, listener: str, address: str, command: str
) -> None:
    fill_cache(settings)
    bootstrap_server = f"localhost:{getattr(broker, listener)}"
    done = sesacctl(*command.split(), KAFKA_BOOTSTRAP_SERVERS=bootstrap_server, COLUMNS="300")
    assert done.returncode == 4
    assert f"{bootstrap_server} advertise {address}, which cannot be reached from here" in done.stdout + done.stderr
    assert "set advertised.listeners" in done.stderr


def test_a_consumer_that_waits_names_the_advertised_addresses(broker: SecureBroker, settings: Settings) -> None:
    own = settings.model_copy(update={"kafka_bootstrap_servers": f"localhost:{broker.closed}"})
    with running(own) as found:
        wait_until(lambda: ("waiting", "Kafka") in found.seen, timeout=30)
        assert CLOSED_NAME in str(found.instance._status.error)
