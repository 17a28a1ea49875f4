"""Which brokers answer, and why none does."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError

from sesacctl.broker import cluster
from sesacctl.broker.reasons import Reasons
from sesacctl.errors import ServerRefused, ServerUnreachable
from sesacctl.settings import Settings, load


def asking(monkeypatch: pytest.MonkeyPatch, **outcomes: Exception | None) -> Settings:
    """Brokers that give these outcomes."""

    def admin(settings: Settings, timeout_ms: int) -> Any:
        if error := outcomes[settings.kafka_bootstrap_servers.partition(":")[0]]:
            raise error
        return SimpleNamespace(close=lambda: None)

    monkeypatch.setattr(cluster, "admin", admin)
    return load(kafka_bootstrap_servers=",".join(f"{name}:1" for name in outcomes))


def test_a_broker_that_could_not_even_be_asked_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = asking(monkeypatch, a=None, b=RuntimeError("a bug"), c=ServerUnreachable("away"), d=None)
    narrowed, silent = cluster.answering(settings, each=True)
    assert (sorted(narrowed.brokers), silent) == (["a:1", "d:1"], ["b:1", "c:1"])


def test_the_first_that_answers_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    narrowed, _ = cluster.answering(asking(monkeypatch, a=ServerUnreachable("away"), b=None), each=False)
    assert narrowed.brokers == ["b:1"]


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        (
            {"a": ServerUnreachable("x"), "b": ServerRefused("wrong password"), "c": ServerUnreachable("y")},
            ServerRefused,
        ),
        ({"a": ServerUnreachable("x"), "b": ServerUnreachable("y")}, ServerUnreachable),
        ({"a": ServerRefused("wrong password"), "b": RuntimeError("a bug")}, RuntimeError),
    ],
)
def test_the_most_telling_reason_is_told(
    monkeypatch: pytest.MonkeyPatch, errors: dict[str, Exception], told: type[Exception]
) -> None:
    with pytest.raises(told):
        cluster.answering(asking(monkeypatch, **errors), each=False)


def test_reasons_may_come_in_while_they_are_looked_at() -> None:
    reasons = Reasons()

    def look(error: Exception) -> str:
        reasons.filter(record)
        return "lost"

    busy = type("Busy", (KafkaConnectionError,), {"__str__": look})
    record = logging.LogRecord("kafka", logging.WARNING, "", 0, "%s", (busy(),), None)
    reasons.filter(record)
    assert "cannot be reached (lost)" in str(reasons.explain(load()))
