"""Which brokers answer, and why none does."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError

from sesacctl.broker import bootstrap, cluster
from sesacctl.broker.kafka_python.connection_errors import Reasons
from sesacctl.errors import ServerRefused, ServerUnreachable
from sesacctl.settings import Settings, load
from tests.helpers.listeners import listener

BROKER = [(0, 0, 12), (3, 0, 13), (18, 0, 4)]
CONTROLLER = [(18, 0, 4), (55, 0, 2)]


def answer(known: list[tuple[int, int, int]]) -> bytes:
    """What a server says that knows these requests: key, lowest and highest version."""
    body = struct.pack(">ihi", 1, 0, len(known)) + b"".join(struct.pack(">hhh", *each) for each in known)
    return struct.pack(">i", len(body)) + body


def asking(monkeypatch: pytest.MonkeyPatch, **outcomes: bool) -> Settings:
    """Servers that answer or not; a client is refused."""

    def admin(*_: object, **__: object) -> Any:
        if len(outcomes) > 1:
            raise ServerRefused("wrong password")
        return SimpleNamespace(close=lambda: None)

    monkeypatch.setattr(bootstrap, "_answers", lambda server, *_: outcomes[server.partition(":")[0]])
    monkeypatch.setattr(cluster, "admin", admin)
    return load(kafka_bootstrap_servers=",".join(f"{name}:1" for name in outcomes))


def test_those_that_answer_and_those_that_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = asking(monkeypatch, a=True, b=False, c=False, d=True)
    narrowed, silent = cluster.reachable_brokers(settings, each=True)
    assert (narrowed.brokers, silent) == (["a:1", "d:1"], ["b:1", "c:1"])


def test_if_none_answers_a_client_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServerRefused, match="wrong password"):
        cluster.reachable_brokers(asking(monkeypatch, a=False, b=False), each=False)


def test_a_single_answer_is_enough() -> None:
    with listener(answer(BROKER)) as good, listener() as hung:
        settings = load(kafka_bootstrap_servers=f"127.0.0.1:{hung.port},127.0.0.1:{good.port}")
        narrowed, _ = cluster.reachable_brokers(settings, each=False)
        assert narrowed.brokers == [f"127.0.0.1:{good.port}"]


@pytest.mark.parametrize(
    "words",
    [answer(CONTROLLER), b"HTTP/1.1 400 Bad Request\r\n\r\n", struct.pack(">ii", 4, 1), b"\0\0\0\0"],
    ids=["a controller", "HTTP", "too short", "nothing"],
)
def test_another_service_does_not_answer_as_a_broker(words: bytes) -> None:
    with listener(words) as other, listener(answer(BROKER)) as good:
        settings = load(kafka_bootstrap_servers=f"127.0.0.1:{other.port},127.0.0.1:{good.port}")
        assert bootstrap.reachable(settings, seconds=1.0).silent == [f"127.0.0.1:{other.port}"]


def test_a_single_missing_server_is_reported_by_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(kafka_bootstrap_servers="a:1")

    def admin(*_: object, **__: object) -> Any:
        raise ServerUnreachable("away")

    monkeypatch.setattr(cluster, "admin", admin)
    with pytest.raises(ServerUnreachable, match="away"):
        cluster.reachable_brokers(settings, each=True)


def test_reasons_may_arrive_while_they_are_read() -> None:
    reasons = Reasons()

    def look(error: Exception) -> str:
        reasons.note(error)
        return "lost"

    reasons.note(type("Busy", (KafkaConnectionError,), {"__str__": look})())
    assert "cannot be reached (lost)" in str(reasons.explain(load()))
