"""Events in envelopes: which envelope it is, what is taken out of it, and that it is checked as any other event."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sesacctl import envelopes
from sesacctl.envelopes import Envelope
from sesacctl.events import CODECS, ORDERS, PRODUCTS, USERS, Malformed, Reason
from sesacctl.pipeline.sink.explain import explain
from tests.helpers.events import AT, message, order, product, user

ROW: dict[str, Any] = msgspec.to_builtins(order(1, created_at=AT).order)
EVENT: dict[str, Any] = json.loads(message(order(1))[1] or b"")
EXPECTED = msgspec.structs.astuple(order(1, created_at=AT).order)
CLOUD = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "shop.order"}
KEY = b"u1"


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def values(*arguments: Any, only: Envelope | None = None) -> tuple[object, bool]:
    row, unknown = envelopes.decode(*arguments, only=only)
    return msgspec.structs.astuple(row), unknown


def debezium(op: str, after: object = ROW) -> dict[str, object]:
    return {"before": None, "after": after, "op": op, "source": {"table": "orders"}, "ts_ms": 1}


def connect(payload: object) -> dict[str, object]:
    return {"schema": {"type": "struct", "fields": []}, "payload": payload}


ACCEPTED: dict[str, tuple[Envelope, object]] = {
    "create": (Envelope.DEBEZIUM, debezium("c")),
    "read": (Envelope.DEBEZIUM, debezium("r")),
    "update": (Envelope.DEBEZIUM, debezium("u")),
    "without source": (Envelope.DEBEZIUM, {"op": "c", "after": ROW}),
    "in Connect's": (Envelope.DEBEZIUM, connect(debezium("c"))),
    "Connect": (Envelope.CONNECT, connect(ROW)),
    "an event in Connect's": (Envelope.CONNECT, connect(EVENT)),
    "text in Connect's": (Envelope.CONNECT, {"schema": {"type": "string"}, "payload": json.dumps(EVENT)}),
    "Connect without a schema": (Envelope.CONNECT, {"schema": None, "payload": ROW}),
    "CloudEvents": (Envelope.CLOUDEVENTS, CLOUD | {"data": ROW}),
    "an event in CloudEvents": (Envelope.CLOUDEVENTS, CLOUD | {"data": EVENT, "time": "2020-01-01T00:00:00Z"}),
    "text in CloudEvents": (Envelope.CLOUDEVENTS, CLOUD | {"data": json.dumps(ROW)}),
    "base64 in CloudEvents": (Envelope.CLOUDEVENTS, CLOUD | {"data_base64": b64encode(encoded(ROW)).decode()}),
}


@pytest.mark.parametrize(("envelope", "document"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_the_event_in_an_envelope_is_decoded(envelope: Envelope, document: object) -> None:
    value = encoded(document)
    with pytest.raises(Malformed):
        CODECS[ORDERS].decode(KEY, value, 0)
    for only in (envelope, None):
        assert values(ORDERS, KEY, value, 0, only=only) == (EXPECTED, False)
    for other in set(Envelope) - {envelope}:
        with pytest.raises(Malformed):
            envelopes.decode(ORDERS, KEY, value, 0, only=other)


def test_a_plain_event_needs_no_envelope() -> None:
    assert values(ORDERS, KEY, encoded(EVENT), 0, only=Envelope.DEBEZIUM)[0] == EXPECTED
    marked = encoded(EVENT | debezium("c", {}) | CLOUD)
    assert values(ORDERS, KEY, marked, 0) == (EXPECTED, True), "as the consumer reads it"


def test_the_other_topics() -> None:
    for kind, event, key in ((USERS, user(1), b"u1"), (PRODUCTS, product(1), b"p1")):
        row = json.loads(message(event)[1] or b"")[kind[:-1]] | {"last_cached_at": None}
        found, unknown = envelopes.decode(kind, key, encoded(debezium("r", row)), 0)
        assert (getattr(found, CODECS[kind].id_column).encode(), unknown) == (key, True)


def test_the_time_of_a_cloud_event_is_that_of_a_row_without_one() -> None:
    bare = {name: value for name, value in ROW.items() if name != "created_at"}
    value = encoded(CLOUD | {"data": bare, "time": AT.isoformat()})
    assert envelopes.decode(ORDERS, KEY, value, 0)[0].created_at == AT
    assert (
        envelopes.decode(ORDERS, KEY, encoded(CLOUD | {"data": ROW, "time": "2020-01-01T00:00:00Z"}), 0)[0].created_at
        == AT
    ), "the row's own"


REFUSED: dict[str, tuple[object, Reason, str]] = {
    "delete": (debezium("d", None), Reason.WRONG_EVENT, "debezium envelope: a delete (op d): events"),
    "truncate": (debezium("t", None), Reason.WRONG_EVENT, "not of a row"),
    "odd op": (debezium("c") | {"op": 7}, Reason.WRONG_EVENT, "not of a row"),
    "no after": ({"op": "c", "before": None}, Reason.INVALID_FIELD, "the envelope has no `after`"),
    "after is null": (debezium("c", None), Reason.INVALID_FIELD, "in the debezium envelope: Expected `object`"),
    "micro-epoch": (
        debezium("c", ROW | {"created_at": 1_764_000_000_000_000}), Reason.INVALID_FIELD,
        "at `$.created_at`; times have to be text",
    ),
    "decimal as text": (
        debezium("c", ROW | {"total_amount": "1000.00"}), Reason.INVALID_FIELD,
        "at `$.total_amount`; numbers have to be JSON integers",
    ),
    "decimal as a double": (
        debezium("c", ROW | {"total_amount": 1000.0}), Reason.INVALID_FIELD, "numbers have to be JSON integers",
    ),
    "a field too long": (connect(ROW | {"order_id": "x" * 51}), Reason.INVALID_FIELD, "in the connect envelope"),
    "no data": (CLOUD, Reason.INVALID_FIELD, "the envelope has no `data`"),
    "bad base64": (CLOUD | {"data_base64": "?"}, Reason.INVALID_FIELD, "`data_base64` is not base64"),
    "base64 is a number": (CLOUD | {"data_base64": 7}, Reason.INVALID_FIELD, "base64"),
    "a bad time": (
        CLOUD | {"data": {k: v for k, v in ROW.items() if k != "created_at"}, "time": "today"},
        Reason.INVALID_FIELD, "$.timestamp",
    ),
    "data is binary": (CLOUD | {"data_base64": b64encode(b"\x00\x01").decode()}, Reason.INVALID_JSON, "cloudevents"),
    "twice wrapped": (connect(connect(ROW)), Reason.INVALID_FIELD, "missing required field"),
}  # fmt: skip


def test_a_kind_of_number_that_does_not_fit_is_named() -> None:
    for kind, event, key, change, said in (
        (USERS, user(1), b"u1", {"join_date": 20_000}, "dates have to be text, such as 2026-11-22"),
        (PRODUCTS, product(1), b"p1", {"discount_rate": "A+g="}, "numbers have to be JSON numbers"),
    ):
        row = json.loads(message(event)[1] or b"")[kind[:-1]]
        with pytest.raises(Malformed, match=said):
            envelopes.decode(kind, key, encoded(debezium("r", row | change)), 0)


@pytest.mark.parametrize(("document", "reason", "detail"), REFUSED.values(), ids=REFUSED.keys())
def test_an_envelope_that_does_not_fit_says_why(document: object, reason: Reason, detail: str) -> None:
    with pytest.raises(Malformed) as refused:
        envelopes.decode(ORDERS, KEY, encoded(document), 0)
    assert explain(refused.value, KEY, encoded(document), []) == str(refused.value), (
        "advises no unwrap that just failed"
    )
    assert (refused.value.reason, detail in str(refused.value)) == (reason, True), str(refused.value)


def test_a_tombstone_has_no_envelope() -> None:
    with pytest.raises(Malformed) as refused:
        envelopes.decode(ORDERS, KEY, None, 0)
    assert refused.value.reason is Reason.TOMBSTONE


@pytest.mark.parametrize(
    "key",
    [
        b"u1",
        b'"u1"',
        encoded({"order_id": "o1"}),
        encoded({"user_id": "u1"}),
        encoded({"order_id": "o1", "user_id": "u1"}),
        encoded(connect({"order_id": "o1"})),
        encoded({"schema": {"type": "string"}, "payload": "u1"}),
        encoded({"order_id": "o1", "__dbz__physicalTableIdentifier": "shop.public.orders"}),
    ],
)
def test_keys_that_stand_for_the_rows_own_are_accepted(key: bytes) -> None:
    for document in (debezium("c"), connect(EVENT)):
        assert values(ORDERS, key, encoded(document), 0)[0] == EXPECTED


@pytest.mark.parametrize(
    "key",
    [
        None,
        b"",
        b"u2",
        b'"u2"',
        b"\xff",
        b"null",
        b"[]",
        encoded({"order_id": "o2"}),
        encoded({"order_id": "o1", "user_id": "u2"}),
        encoded({"quantity": 1}),
        encoded({}),
        encoded(connect({"order_id": "o2"})),
        encoded(connect(None)),
    ],
)
def test_keys_that_contradict_the_row_are_refused(key: bytes | None) -> None:
    with pytest.raises(Malformed) as refused:
        envelopes.decode(ORDERS, key, encoded(debezium("c")), 0)
    assert refused.value.reason is Reason.WRONG_KEY
    assert ("it has none" in str(refused.value)) is (key is None)


def test_a_key_in_an_envelope_does_not_help_a_plain_event() -> None:
    """That is what the consumer refuses, and a replay has the same checks."""
    with pytest.raises(Malformed):
        envelopes.decode(ORDERS, b'"u1"', encoded(EVENT), 0, only=Envelope.CONNECT)


PARTS = st.recursive(
    st.none() | st.integers() | st.text() | st.just("c") | st.just(ROW) | st.just(json.dumps(ROW)),
    lambda inner: st.dictionaries(st.sampled_from(envelopes.Outline.__struct_fields__), inner),
    max_leaves=12,
)


@given(document=PARTS, key=st.none() | st.binary() | PARTS.map(encoded), only=st.none() | st.sampled_from(Envelope))
def test_nothing_but_a_row_or_a_refusal_comes_out(document: object, key: bytes | None, only: Envelope | None) -> None:
    try:
        row, _ = envelopes.decode(ORDERS, key, encoded(document), 0, only=only)
    except Malformed:
        return
    assert row.created_at is not None
    assert getattr(row, CODECS[ORDERS].message_key) == "u1"
