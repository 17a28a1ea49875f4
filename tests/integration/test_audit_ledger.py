"""`audit --ledger`: what producers wrote down, held against the tables and against what the group keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sesacctl.events import ORDERS
from sesacctl.pipeline.audit import ledgers as ledger_audit
from sesacctl.pipeline.audit.partitions import PartitionProgress, read_partitions
from sesacctl.pipeline.audit.report import audit
from sesacctl.pipeline.produce.ledger import Ledger
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import store_all
from tests.helpers.events import add_parents, message, order, query, send
from tests.helpers.topics import make_topics

STORE_PARKED = (
    "INSERT INTO users (user_id, name) VALUES ('u900', '홍길동');"
    " INSERT INTO orders (order_id, user_id, product_id, quantity, total_amount) VALUES ('o2', 'u900', 'p1', 1, 1000);"
    " DELETE FROM parked_events"
)


@pytest.fixture
def consumed(settings: Settings) -> Settings:
    """The order o1 is stored, o2 is parked, o3 and o4 are dead letters: a wrong key, and a quantity out of range."""
    make_topics(settings)
    add_parents(settings)
    send(
        settings,
        ORDERS,
        [
            message(order(1)),
            message(order(2, user_id="u900")),
            (b"another", message(order(3))[1]),
            message(order(4, quantity=-1)),
            (b"u1", b"no event"),
            (b"u1", b"[1]"),
            (b"u1", None),
        ],
    )
    store_all(settings)
    return settings


def acknowledged(path: Path, *ids: str) -> Path:
    """The path of a ledger that says so."""
    ledger = Ledger(path)
    ledger.intend(ORDERS, ids)
    ledger.acknowledge(ORDERS, ids)
    ledger.close()
    return path


@pytest.mark.usefixtures("consumed")
def test_parked_and_dead_events_are_not_missing(sesacctl: Cli, tmp_path: Path) -> None:
    path = acknowledged(tmp_path / "l.jsonl", "o1", "o2", "o3", "o4")
    done = sesacctl("audit", "--ledger", path, "-o", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["ledger"]
    figures = [found[name] for name in ("acknowledged", "stored", "parked", "dead", "missing", "doubled")]
    assert (figures, found["named"]) == ([4, 1, 1, 2, 0, 0], [])


@pytest.mark.usefixtures("consumed")
def test_an_event_found_nowhere_is_missing_and_named(sesacctl: Cli, tmp_path: Path) -> None:
    path = acknowledged(tmp_path / "l.jsonl", "o1", "o2", "o5")
    done = sesacctl("audit", "--ledger", path)
    assert done.returncode == 5
    assert "1 acknowledged event is nowhere" in done.stderr
    assert "not stored yet" not in done.stderr
    assert "orders o5" in done.stdout


def test_an_event_kept_by_another_group_is_missing(consumed: Settings, tmp_path: Path) -> None:
    query(consumed, "UPDATE parked_events SET consumer_group = 'another'")
    found = audit(consumed, ledgers=[acknowledged(tmp_path / "l.jsonl", "o2")]).ledger
    assert found is not None
    assert (found.parked, found.missing, found.named) == (0, 1, ["orders o2"])


def test_ledger_audit_allows_a_parked_order_stored_meanwhile(
    consumed: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ledger_audit._kept

    def after_a_consumer(*arguments: Any) -> Any:
        query(consumed, STORE_PARKED)
        return kept(*arguments)

    monkeypatch.setattr(ledger_audit, "_kept", after_a_consumer)
    found = audit(consumed, ledgers=[acknowledged(tmp_path / "l.jsonl", "o1", "o2")]).ledger
    assert found is not None
    assert (found.stored, found.parked, found.missing, found.named) == (2, 0, 0, [])


def test_events_still_in_kafka_are_counted_apart(consumed: Settings, sesacctl: Cli, tmp_path: Path) -> None:
    send(consumed, ORDERS, [message(order(5))])
    done = sesacctl("audit", "--ledger", acknowledged(tmp_path / "l.jsonl", "o1", "o5"))
    assert done.returncode == 5
    assert "1 acknowledged event is nowhere, while 1 offset is not stored yet" in done.stderr
    assert "sesacctl consume --instances 9 --until-empty" in done.stderr


def test_acknowledgements_during_an_audit_raise_no_alarm(
    consumed: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = acknowledged(tmp_path / "l.jsonl", "o1")

    def beside_a_producer(settings: Settings) -> list[PartitionProgress]:
        found = read_partitions(settings)
        acknowledged(path, "o5")
        return found

    monkeypatch.setattr("sesacctl.pipeline.audit.report.read_partitions", beside_a_producer)
    assert audit(consumed, ledgers=[path]).ok
