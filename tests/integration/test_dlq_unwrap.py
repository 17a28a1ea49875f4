"""Records in foreign formats: the dead letter names the format, and a replay stores what is in an envelope."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from sesacctl.envelopes import Envelope
from sesacctl.events import ORDERS
from sesacctl.pipeline.audit.deep import DeepAudit
from sesacctl.pipeline.audit.report import audit
from sesacctl.pipeline.repair import dead_letters
from sesacctl.pipeline.repair.dead_letters import Filter
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import counters, sell, store_all
from tests.helpers.events import Message, message, order, query, send

CLOUD = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "shop.order"}


def row(number: int, **values: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(message(order(number, **values))[1] or b"")["order"]
    return found


def encoded(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def debezium(number: int, op: str = "c", **values: Any) -> Message:
    document = {"before": None, "after": None if op == "d" else row(number, **values), "op": op, "source": {}}
    key = {"schema": {"type": "struct"}, "payload": {"order_id": f"o{number}"}}
    return encoded(key), encoded({"schema": {"type": "struct"}, "payload": document})


FOREIGN: list[Message] = [
    debezium(1),
    debezium(2, "r"),
    debezium(3, "d"),
    debezium(4, user_id="u9"),
    debezium(1, "u", total_amount=7),
    (b"u1", encoded({"schema": None, "payload": row(6)})),
    (b"u1", encoded(CLOUD | {"data": row(7)})),
    (b"u1", gzip.compress(message(order(8))[1] or b"")),
    (b"u1", encoded({"op": "c", "after": row(9) | {"total_amount": "10.00"}})),
]


@pytest.fixture
def shop(settings: Settings) -> Settings:
    """One user, one product, one order that is an event, and nine records that are none."""
    sell(settings, [message(order(0)), *FOREIGN])
    return settings


def values(settings: Settings) -> DeepAudit:
    found = audit(settings, values=True)
    assert found.deep is not None
    assert found.ok, found
    return found.deep


def test_dead_letters_name_the_format(shop: Settings, sesacctl: Cli) -> None:
    letters = {letter.offset: letter for letter in dead_letters.find(shop, Filter(), limit=20)}
    assert {offset: letter.reason for offset, letter in letters.items()} == dict.fromkeys(
        (1, 2, 3, 4, 5, 6, 7, 9), "invalid_field"
    ) | {8: "invalid_json"}
    for offset, said in ((1, "unwrap debezium"), (3, "(op d)"), (6, "unwrap connect"), (7, "unwrap cloudevents"),
                         (8, "looks like gzip")):  # fmt: skip
        assert said in letters[offset].detail
    shown = " ".join(sesacctl("dlq", "list", COLUMNS="240").stdout.split())
    assert "looks like a Debezium envelope (op c): `sesacctl dlq replay --all --unwrap debezium`" in shown


def test_an_unwrap_stores_what_fits_and_every_audit_stays_true(shop: Settings, sesacctl: Cli) -> None:
    before = values(shop)
    assert (before.found, before.kept, counters(shop)) == (3, 9, (1, 0, 9))
    raw = query(shop, 'SELECT "offset", key, value, headers FROM dead_letters')
    trial = json.loads(sesacctl("dlq", "replay", "--all", "--unwrap", "debezium", "--dry-run", "-o", "json").stdout)
    assert (trial["tried"], trial["stored"], counters(shop)) == (9, 2, (1, 0, 9))
    done = sesacctl("dlq", "replay", "--all", "--unwrap", "debezium", "-o", "json")
    assert (done.returncode, json.loads(done.stdout)) == (5, trial | {"dry_run": False})
    assert trial["refused"] == {"invalid_field": 3, "wrong_event": 1, "orphan": 1, "conflict": 1, "invalid_json": 1}
    assert counters(shop) == (3, 0, 7)
    assert query(shop, "SELECT order_id, total_amount FROM orders ORDER BY 1") == [(f"o{n}", 1000) for n in range(3)]
    for envelope in (Envelope.CONNECT, Envelope.CLOUDEVENTS):
        assert dead_letters.replay(shop, Filter(), unwrap=envelope).stored == 1
    after = values(shop)
    assert (after.read, after.found, after.kept, after.missing, after.different) == (12, 7, 5, 0, 0)
    assert counters(shop) == (5, 0, 5)
    kept = query(shop, 'SELECT "offset", key, value, headers FROM dead_letters')
    assert {number: bytes(value) for number, _, value, _ in kept} == {
        number: bytes(value) for number, _, value, _ in raw if number in (3, 4, 5, 8, 9)
    }


def test_a_letter_that_still_does_not_fit_says_why(shop: Settings) -> None:
    dead_letters.replay(shop, Filter(), unwrap=Envelope.DEBEZIUM)
    letters = {letter.offset: letter for letter in dead_letters.find(shop, Filter(), limit=20)}
    assert {offset: letters[offset].reason for offset in (3, 4, 5, 9)} == {
        3: "wrong_event", 4: "orphan", 5: "conflict", 9: "invalid_field",
    }  # fmt: skip
    assert letters[3].detail == "in the debezium envelope: a delete (op d): events delete no rows"
    assert "in the debezium envelope" in letters[9].detail
    assert "numbers have to be JSON integers" in letters[9].detail


def test_audits_find_unwrapped_rows_changed_or_deleted(shop: Settings) -> None:
    dead_letters.replay(shop, Filter(), unwrap=Envelope.DEBEZIUM)
    query(shop, "UPDATE orders SET total_amount = 1 WHERE order_id = 'o1'")
    changed = audit(shop, values=True)
    assert changed.deep is not None
    assert (changed.ok, changed.deep.different) == (False, 1)
    query(shop, "DELETE FROM orders WHERE order_id = 'o2'")
    gone = audit(shop, deep=True).deep
    assert gone is not None
    assert (gone.missing, [event.id for event in gone.named]) == (1, ["o2"])


def test_a_wrapped_record_neither_stored_nor_kept_is_missing(shop: Settings) -> None:
    query(shop, "DELETE FROM dead_letters")
    gone = audit(shop, deep=True).deep
    assert gone is not None
    assert gone.missing == 9
    assert [event.id for event in gone.named] == ["o1", "o2", None, "o4", "o1", "o6", "o7", None, None]


def test_a_repeated_wrapped_event_is_a_duplicate(shop: Settings) -> None:
    send(shop, ORDERS, [debezium(1), debezium(1, "u", status="배송중")], partition=0)
    store_all(shop)
    done = dead_letters.replay(shop, Filter(), unwrap=Envelope.DEBEZIUM)
    assert (done.stored, done.duplicates) == (2, 2)
    assert values(shop).different == 0
