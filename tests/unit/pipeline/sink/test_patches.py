"""JSON merge patches: the examples of RFC 7396, and what a patched record decodes to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sesacctl.envelopes import Envelope
from sesacctl.events import ORDERS, PRODUCTS, Malformed, Reason
from sesacctl.pipeline.sink.patches import decode_patched, merge, read_patch
from tests.helpers.events import message, order, product, records

# RFC 7396, appendix A: original, patch, result.
EXAMPLES: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("original", "patch", "result"), EXAMPLES)
def test_the_examples_of_the_rfc(original: Any, patch: Any, result: Any) -> None:
    before = json.dumps(original)
    assert merge(original, patch) == result
    assert json.dumps(original) == before, "it is not changed in place"


@pytest.mark.parametrize("content", [b"", b"[1]", b"null", b'"x"', b"{", b'{"a": NaN}', b"\xff", b'{"a":' * 5_000])
def test_only_an_object_is_a_patch(content: bytes) -> None:
    with pytest.raises(ValueError, match="it is not a JSON object"):
        read_patch(content)


def test_a_patched_value_is_decoded_as_an_event() -> None:
    [record] = records([message(order(1, quantity=7))])
    row = decode_patched(ORDERS, record, {"order": {"quantity": 3, "status": None, "category": "책"}})
    assert (row.order_id, row.quantity, row.status, row.category) == ("o1", 3, None, "책")  # type: ignore[union-attr]
    with pytest.raises(Malformed, match="quantity"):
        decode_patched(ORDERS, record, {"order": {"quantity": "many"}})


def test_a_patch_of_the_keyed_column_stands_for_the_key() -> None:
    [record] = records([(b"u9", message(order(1))[1])])
    with pytest.raises(Malformed) as refused:
        decode_patched(ORDERS, record, {"order": {"quantity": 3}})
    assert refused.value.reason is Reason.WRONG_KEY
    assert decode_patched(ORDERS, record, {"order": {"user_id": "u1"}}).user_id == "u1"  # type: ignore[union-attr]
    [other] = records([(None, message(product(1))[1])])
    assert decode_patched(PRODUCTS, other, {"product": {"product_id": "p2"}}).product_id == "p2"  # type: ignore[union-attr]


def test_a_patch_is_applied_before_the_envelope_is_taken_off() -> None:
    body = json.loads(message(order(1))[1] or b"")["order"] | {"total_amount": "10.00"}
    [record] = records([(b"u1", json.dumps({"op": "c", "after": body}).encode())])
    patch = {"after": {"total_amount": 10}}
    assert decode_patched(ORDERS, record, patch, unwrap=Envelope.DEBEZIUM).total_amount == 10  # type: ignore[union-attr]
    with pytest.raises(Malformed):
        decode_patched(ORDERS, record, patch, unwrap=Envelope.CLOUDEVENTS)


@pytest.mark.parametrize("value", [None, b"", b"no JSON", b"\x1f\x8b\x08"])
def test_what_is_not_json_cannot_be_patched(value: bytes | None) -> None:
    [record] = records([(b"u1", value)])
    with pytest.raises(Malformed, match="a patch needs a value that is JSON"):
        decode_patched(ORDERS, record, {"order": {"order_id": "o1"}})
