"""Decoding: what is an event, what is refused and why."""

from __future__ import annotations

import json
import pickle
import uuid
from datetime import UTC, datetime

import msgspec
import pytest

from sesacctl.events import (
    CODECS,
    ORDERS,
    PARTITIONS,
    PRODUCTS,
    USERS,
    Kind,
    Malformed,
    Order,
    OrderEvent,
    Reason,
    encode,
    uuid7,
)

AT = "2026-11-22T20:00:00.123456Z"
ROW = '"order_id":"o1","user_id":"u1","product_id":"p1","quantity":1,"total_amount":1000'
ORDER = CODECS[ORDERS]


def envelope(row: str = ROW, event_type: str = "order_created", field: str = "order") -> bytes:
    return f'{{"event_type":"{event_type}","timestamp":"{AT}","{field}":{{{row}}}}}'.encode()


def with_field(name: str, value: str) -> bytes:
    """An order in which one field has the given JSON text."""
    fields = {"order_id": '"o1"', "user_id": '"u1"', "product_id": '"p1"', "quantity": "1", "total_amount": "1000"}
    return envelope(",".join(f'"{key}":{text}' for key, text in (fields | {name: value}).items()))


def test_an_envelope_gives_its_row_and_time() -> None:
    row, unknown = ORDER.decode(b"u1", envelope(), 0)
    assert isinstance(row, Order)
    assert (row.order_id, row.quantity, unknown) == ("o1", 1, False)
    assert row.created_at == datetime(2026, 11, 22, 20, 0, 0, 123456, UTC)


def test_a_bare_row_is_accepted_with_the_records_time() -> None:
    row, unknown = ORDER.decode(b"u1", f"{{{ROW}}}".encode(), 1_000)
    assert not unknown
    assert row.created_at == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_a_time_that_no_calendar_has_is_refused() -> None:
    with pytest.raises(Malformed) as refused:
        ORDER.decode(b"u1", f"{{{ROW}}}".encode(), 2**62)
    assert refused.value.reason is Reason.INVALID_FIELD


@pytest.mark.parametrize(
    "value",
    [
        envelope(ROW + ',"colour":"red"'),
        f'{{{ROW},"colour":"red"}}'.encode(),
        envelope()[:-1] + b',"version":3}',
        f'{{{ROW},"user":{{}}}}'.encode(),
    ],
    ids=["in the row", "in a bare row", "in the envelope", "with another event's name"],
)
def test_unknown_fields_are_ignored_and_reported(value: bytes) -> None:
    row, unknown = ORDER.decode(b"u1", value, 0)
    assert unknown
    assert (row.order_id, row.total_amount) == ("o1", 1000)  # type: ignore[union-attr]


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("more", ["", ',"colour":null', ',"colour":"red"'])
def test_null_in_an_optional_field_means_absent(bare: bool, more: str) -> None:
    optional = (name for name in ORDER.columns if f'"{name}"' not in ROW)
    row = ROW + "".join(f',"{name}":null' for name in optional) + more
    value = f'{{{row},"order":null}}'.encode() if bare else envelope(row).replace(b'"order_created"', b"null")
    found, unknown = ORDER.decode(b"u1", value, 1_000)
    assert isinstance(found, Order)
    assert (found.shipping_cost, found.discount_amount, found.status) == (0, 0, None)
    assert unknown is ("red" in more)
    assert found.created_at == (
        datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC) if bare else datetime.fromisoformat(AT.replace("Z", "+00:00"))
    )


@pytest.mark.parametrize("kind", [ORDERS, USERS, PRODUCTS])
def test_null_in_a_required_field_keeps_its_old_error_text(kind: Kind) -> None:
    codec = CODECS[kind]
    fields = {"name": '"x"', "price": "1", "quantity": "1", "total_amount": "1"}
    required = {name: fields.get(name, '"k"') for name in codec.columns if name in fields or name.endswith("_id")}
    for name in required:
        row = ",".join(f'"{each}":{text}' for each, text in (required | {name: "null"}).items())
        with pytest.raises(Malformed, match=f"got `null` - at `.*{name}") as refused:
            codec.decode(b"k", f"{{{row}}}".encode(), 0)
        assert refused.value.reason is Reason.INVALID_FIELD


def test_the_other_topics() -> None:
    user, _ = CODECS[USERS].decode(
        b"u1", envelope('"user_id":"u1","name":"홍길동","age":30', "user_created", "user"), 0
    )
    product, _ = CODECS[PRODUCTS].decode(
        b"p1", envelope('"product_id":"p1","name":"노트북","price":3000000', "product_created", "product"), 0
    )
    assert (user.user_id, product.product_id) == ("u1", "p1")  # type: ignore[union-attr]


MALFORMED = {
    "tombstone": (None, Reason.TOMBSTONE),
    "empty": (b"", Reason.INVALID_JSON),
    "bad UTF-8": (envelope().replace(b"o1", b"\xff\xfe"), Reason.INVALID_JSON),
    "bad UTF-8 in an unknown field's name": (envelope().replace(b"{", b'{"n\xff":1,', 1), Reason.INVALID_JSON),
    "bad UTF-8 in an unknown field": (envelope().replace(b"{", b'{"n":"\xff",', 1), Reason.INVALID_JSON),
    "lone surrogate": (with_field("order_id", '"\\ud800"'), Reason.INVALID_JSON),
    "surrogate bytes": (envelope().replace(b"o1", b"\xed\xa0\x80"), Reason.INVALID_JSON),
    "byte order mark": (b"\xef\xbb\xbf" + envelope(), Reason.INVALID_JSON),
    "null": (b"null", Reason.INVALID_FIELD),
    "list": (b"[]", Reason.INVALID_FIELD),
    "text": (b'"x"', Reason.INVALID_FIELD),
    "deep": (b'{"a":' * 100_000, Reason.INVALID_JSON),
    "deep list": (b"[" * 100_000, Reason.INVALID_FIELD),
    "5,000 digits": (with_field("quantity", "9" * 5_000), Reason.INVALID_FIELD),
    "NaN": (with_field("quantity", "NaN"), Reason.INVALID_JSON),
    "Infinity": (with_field("quantity", "Infinity"), Reason.INVALID_JSON),
    "1e999": (with_field("quantity", "1e999"), Reason.INVALID_FIELD),
    "U+0000 escaped": (with_field("status", '"a\\u0000b"'), Reason.INVALID_FIELD),
    "U+0000 raw": (with_field("status", '"a\x00b"'), Reason.INVALID_JSON),
    "too long": (with_field("order_id", f'"{"x" * 51}"'), Reason.INVALID_FIELD),
    "empty id": (with_field("order_id", '""'), Reason.INVALID_FIELD),
    "negative": (with_field("quantity", "-1"), Reason.INVALID_FIELD),
    "zero": (with_field("quantity", "0"), Reason.INVALID_FIELD),
    "2**31": (with_field("total_amount", "2147483648"), Reason.INVALID_FIELD),
    "1.5": (with_field("quantity", "1.5"), Reason.INVALID_FIELD),
    "text for a number": (with_field("quantity", '"12"'), Reason.INVALID_FIELD),
    "true for a number": (with_field("quantity", "true"), Reason.INVALID_FIELD),
    "30 February": (with_field("created_at", '"2024-02-30T00:00:00Z"'), Reason.INVALID_FIELD),
    "year 99999": (with_field("created_at", '"99999-01-01T00:00:00Z"'), Reason.INVALID_FIELD),
    "year 1": (with_field("created_at", '"0001-01-01T00:00:00+05:00"'), Reason.INVALID_FIELD),
    "missing field": (envelope(ROW.replace('"user_id"', '"uid"')), Reason.INVALID_FIELD),
    "another event's body": (envelope(field="user"), Reason.WRONG_EVENT),
    "unknown event type": (envelope(event_type="order_shipped"), Reason.WRONG_EVENT),
}


@pytest.mark.parametrize(("value", "reason"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_messages_are_refused_with_a_reason(value: bytes | None, reason: Reason) -> None:
    with pytest.raises(Malformed) as refused:
        ORDER.decode(b"u1", value, 0)
    assert refused.value.reason is reason
    assert str(refused.value)


@pytest.mark.parametrize("key", [None, b"", b"u2", b"\xff"])
def test_a_key_that_is_not_the_rows_own_is_refused(key: bytes | None) -> None:
    with pytest.raises(Malformed) as refused:
        ORDER.decode(key, envelope(), 0)
    assert refused.value.reason is Reason.WRONG_KEY


def test_an_escaped_backslash_before_u0000_is_not_a_nul() -> None:
    row, _ = ORDER.decode(b"u1", with_field("status", '"\\\\u0000"'), 0)
    assert row.status == "\\u0000"  # type: ignore[union-attr]


def test_encode_and_decode_agree() -> None:
    order = Order(
        order_id=uuid7(), user_id="u1", product_id="p1", quantity=2, total_amount=5, created_at=datetime.now(UTC)
    )
    topic, key, value = encode(OrderEvent(timestamp=datetime.now(UTC), order=order))
    row, _ = CODECS[topic].decode(key, value, 0)
    assert {name: getattr(row, name) for name in ORDER.columns} == {
        name: getattr(order, name) for name in ORDER.columns
    }


def test_uuid7_is_ordered_in_time_and_well_formed() -> None:
    ids = [uuid7() for _ in range(1_000)]
    assert len(set(ids)) == 1_000
    assert all(uuid.UUID(text).version == 7 and uuid.UUID(text).variant == uuid.RFC_4122 for text in ids)
    assert [text[:16] for text in ids] == sorted(text[:16] for text in ids)


def test_a_kind_is_written_as_its_name_everywhere() -> None:
    """Keys, labels, SQL and topics are made of it."""
    assert [f"{kind}" for kind in Kind] == ["orders", "users", "products"] == list(PARTITIONS)
    assert json.dumps({ORDERS: USERS}) == msgspec.json.encode({ORDERS: USERS}).decode().replace(":", ": ")
    assert "t-" + PRODUCTS == "t-products"
    assert pickle.loads(pickle.dumps(ORDERS)) is Kind.ORDERS
