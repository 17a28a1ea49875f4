"""Why a broker cannot be connected to is told of that broker alone, and learned from no foreign logger."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError

from sesacctl.broker import clients
from sesacctl.broker.addresses import Missed
from sesacctl.errors import ServerRefused, ServerUnreachable, SesacctlError
from sesacctl.settings import Settings, load
from tests.helpers.documents import ROOT
from tests.helpers.listeners import listener

Making = Callable[[Settings], Any]
MAKING: list[Making] = [
    lambda settings: clients.admin(settings, timeout_ms=1_000),
    lambda settings: clients.consumer(settings, group_instance_id=None),
    lambda settings: clients.producer(settings, delivery_seconds=10.0),
]


@contextmanager
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses every connection."""
    with socket.socket() as bound:  # bound and not listening: nobody else gets it
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def over_tls(port: int) -> Settings:
    return load(kafka_bootstrap_servers=f"127.0.0.1:{port}", kafka_security_protocol="SSL")


def why_not(make: Making, settings: Settings, together: Barrier) -> SesacctlError:
    together.wait(10.0)
    with pytest.raises(SesacctlError) as caught:
        make(settings)
    return caught.value


@pytest.mark.parametrize("make", MAKING, ids=["admin", "consumer", "producer"])
def test_brokers_asked_at_once_have_their_own_reasons(make: Making, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "BOOTSTRAP_TIMEOUT_MS", 1_000)
    with listener(b"HTTP/1.1 400 Bad Request\r\n\r\n") as plain, closed_port() as port, ThreadPoolExecutor(2) as pool:
        together = Barrier(2)
        asked = [pool.submit(why_not, make, over_tls(each), together) for each in (plain.port, port)]
        without_tls, away = (each.result(30.0) for each in asked)
    assert type(without_tls) is ServerRefused
    assert "does not speak TLS" in str(without_tls)
    assert type(away) is ServerUnreachable
    assert f"127.0.0.1:{port} cannot be reached" in str(away)
    assert "TLS" not in str(away)
    assert "ECONNREFUSED" in str(away)


def test_advertised_addresses_are_not_mixed_between_clusters() -> None:
    found = Missed()
    found.note("10.0.0.7:9092", frozenset({"a:9092", "b:9092"}), KafkaConnectionError("timed out"))
    assert found.explain(load(kafka_bootstrap_servers="other:9092")) is None
    assert "10.0.0.7:9092" in str(found.explain(load(kafka_bootstrap_servers="b:9092")))  # those that answered


_LOGGERS = """
import importlib, json, logging, pkgutil
import kafka, kafka.admin, kafka.net.manager

def look():
    return {
        name: [logger.level, len(logger.filters), len(logger.handlers), logger.propagate, logger.disabled]
        for name, logger in [("root", logging.root), *logging.root.manager.loggerDict.items()]
        if isinstance(logger, logging.Logger)
    }

before = look()
import sesacctl.broker
for module in pkgutil.walk_packages(sesacctl.broker.__path__, "sesacctl.broker."):
    importlib.import_module(module.name)
after = look()
print(json.dumps({name: [found, after[name]] for name, found in before.items() if after[name] != found}))
print(json.dumps([name for name in after if name.startswith("kafka")]))
"""


def test_an_import_changes_no_foreign_logger() -> None:
    run = subprocess.run([sys.executable, "-c", _LOGGERS], cwd=ROOT, capture_output=True, text=True, check=True)
    changed, seen = map(json.loads, run.stdout.splitlines())
    assert changed == {}
    assert "kafka.net.manager" in seen


def test_a_first_connection_changes_no_foreign_logger() -> None:
    logger = logging.getLogger("kafka.net.manager")
    before = logger.level, list(logger.filters), list(logger.handlers)
    with closed_port() as port, pytest.raises(ServerUnreachable):
        clients.admin(over_tls(port), timeout_ms=200)
    assert (logger.level, logger.filters, logger.handlers) == before
