"""The JSON Schema against the decoder: what the schema describes is accepted, and what is refused, both refuse."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sesacctl.events import CODECS, LAST_MS, ORDERS, PRODUCTS, USERS, Event, Kind, Malformed
from sesacctl.pipeline.contract.check import check
from sesacctl.pipeline.contract.schema import schema
from tests.helpers.events import message, order, product, user

SCHEMAS = {kind: schema([kind]) for kind in CODECS}
VALIDATORS = {kind: jsonschema.Draft202012Validator(found) for kind, found in SCHEMAS.items()}
TEXT = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TIMES = st.builds(
    lambda at, separator, fraction, zone: f"{at:%H:%M:%S}".join(
        (f"{at.year:04}-{at:%m-%d}{separator}", fraction + zone)
    ),
    st.datetimes(min_value=datetime(2, 1, 2), max_value=datetime(9998, 12, 30)),
    st.sampled_from("Tt "),
    st.just("") | st.integers(0, 10**9).map(lambda n: f".{n}"),
    st.sampled_from(["", "Z", "z", "+09:00", "-0330", "+23:59", "-00:00"]),
)


def shaped(part: dict[str, Any], definitions: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that fit a part of a schema."""
    if "$ref" in part:
        return shaped(definitions[part["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in part:
        return st.one_of([shaped(each, definitions) for each in part["anyOf"]])
    if "enum" in part:
        return st.sampled_from(part["enum"])
    if part["type"] == "object":
        known, needed = part["properties"], part["required"]
        fields = {name: shaped(each, definitions) for name, each in known.items()}
        return st.fixed_dictionaries(
            {name: each for name, each in fields.items() if name in needed},
            optional={name: each for name, each in fields.items() if name not in needed}
            | {"unknown": st.none() | st.integers() | st.text(), "": st.lists(st.booleans())},
        )
    limits = {name: part.get(name) for name in ("minimum", "maximum", "minLength", "maxLength")}
    if part["type"] == "integer":
        return st.integers(limits["minimum"], limits["maximum"])
    if part["type"] == "number":
        return st.floats(limits["minimum"], limits["maximum"], allow_nan=False) | st.integers(0, 100)
    if part["type"] == "null":
        return st.none()
    assert part["type"] == "string"
    if part.get("format") == "date-time":
        return TIMES
    if part.get("format") == "date":
        return st.dates().map(str)
    return st.text(TEXT, min_size=limits["minLength"] or 0, max_size=limits["maxLength"])


def values(kind: Kind) -> st.SearchStrategy[tuple[Kind, Any]]:
    found = SCHEMAS[kind]
    return st.tuples(st.just(kind), shaped(found["then"], found["$defs"]) | shaped(found["else"], found["$defs"]))


@given(event=st.one_of([values(kind) for kind in CODECS]))
def test_values_of_the_schema_are_accepted(event: tuple[Kind, Any]) -> None:
    kind, document = event
    VALIDATORS[kind].validate(document)
    codec = CODECS[kind]
    body = document.get(codec.field, document)
    for ascii_only in (True, False):
        value = json.dumps(document, ensure_ascii=ascii_only).encode()
        row, _ = codec.decode(body[codec.message_key].encode(), value, LAST_MS // 2)
        assert {name: getattr(row, name) for name in ("created_at", codec.id_column)}
    assert check(value, kind).events[0].reason is None


@pytest.mark.parametrize("kind", CODECS)
def test_schemas_are_schemas_and_every_column_is_in_them(kind: Kind) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[kind])
    codec = CODECS[kind]
    assert tuple(SCHEMAS[kind]["$defs"][codec.row.__name__]["properties"]) == codec.columns


def test_one_schema_for_all_topics() -> None:
    found = schema(list(CODECS))
    jsonschema.Draft202012Validator.check_schema(found)
    validator = jsonschema.Draft202012Validator(found)
    for event in (order(1), user(1), product(1)):
        validator.validate(json.loads(message(event)[1] or b""))
    assert not validator.is_valid({"event_type": "order_created", "user_id": "u1", "name": "a"})
    assert not validator.is_valid({})


ROWS: dict[str, dict[str, Any]] = {
    ORDERS: {"order_id": "o1", "user_id": "u1", "product_id": "p1", "quantity": 1, "total_amount": 1000},
    USERS: {"user_id": "u1", "name": "홍길동"},
    PRODUCTS: {"product_id": "p1", "name": "노트북", "price": 1000},
}
TIME = "2026-11-22T20:00:00Z"
CHANGES: list[tuple[str, str, object]] = [
    (ORDERS, "order_id", ""),
    (ORDERS, "order_id", "x" * 51),
    (ORDERS, "order_id", 7),
    (ORDERS, "user_id", None),
    (ORDERS, "quantity", 0),
    (ORDERS, "quantity", -1),
    (ORDERS, "quantity", 1.5),
    (ORDERS, "quantity", "12"),
    (ORDERS, "quantity", True),
    (ORDERS, "quantity", None),
    (ORDERS, "total_amount", 2**31),
    (ORDERS, "total_amount", "1000.00"),
    (ORDERS, "status", "x" * 21),
    (ORDERS, "status", "a\0b"),
    (ORDERS, "user_gender", "MF"),
    (ORDERS, "user_gender", ""),
    (ORDERS, "created_at", 1_764_000_000),
    (ORDERS, "created_at", "2026-11-22"),
    (ORDERS, "created_at", "22.11.2026 20:00"),
    (ORDERS, "created_at", "2026-13-01T00:00:00Z"),
    (ORDERS, "created_at", "2026-11-22T24:00:00Z"),
    (ORDERS, "created_at", "2026-11-22T20:00:60Z"),
    (ORDERS, "created_at", "2026-11-22T20:00:00+09"),
    (ORDERS, "created_at", "99999-01-01T00:00:00Z"),
    (USERS, "name", None),
    (USERS, "name", "x" * 101),
    (USERS, "age", 151),
    (USERS, "age", -1),
    (USERS, "gender", "남자"),
    (PRODUCTS, "price", -1),
    (PRODUCTS, "name", "x" * 201),
    (PRODUCTS, "discount_rate", 100.5),
    (PRODUCTS, "discount_rate", "5%"),
    (PRODUCTS, "stock", 1.0e12),
]


@pytest.mark.parametrize("wrapped", [True, False], ids=["envelope", "bare"])
@pytest.mark.parametrize(("kind", "field", "value"), CHANGES, ids=[f"{each[1]}-{n}" for n, each in enumerate(CHANGES)])
def test_codec_and_schema_refuse_the_same_values(kind: Kind, field: str, value: object, wrapped: bool) -> None:
    row = ROWS[kind] | {field: value}
    assert both(kind, {"timestamp": TIME, kind[:-1]: row} if wrapped else row) == (False, False)
    assert both(kind, {"timestamp": TIME, kind[:-1]: ROWS[kind]} if wrapped else ROWS[kind]) == (True, True)


@pytest.mark.parametrize("kind", CODECS)
def test_a_missing_field_and_a_wrong_envelope_both_refuse(kind: Kind) -> None:
    row, field = ROWS[kind], kind[:-1]
    for name in row:
        assert both(kind, {key: value for key, value in row.items() if key != name}) == (False, False)
    for envelope in (
        {field: row},
        {"timestamp": TIME, "event_type": f"{field}_created"},
        {"timestamp": TIME, "event_type": f"{field}_deleted", field: row},
        row | {"event_type": f"{field}_created"},
        {"timestamp": "today", field: row},
        [row],
        None,
        "text",
    ):
        assert both(kind, envelope) == (False, False)


@pytest.mark.parametrize("kind", CODECS)
def test_null_is_absent_where_a_field_is_optional(kind: Kind) -> None:
    row, field = ROWS[kind], kind[:-1]
    required = {each.name for each in msgspec.structs.fields(CODECS[kind].row) if each.required}
    for each in msgspec.structs.fields(CODECS[kind].row):
        may = each.name not in required
        for document in (row | {each.name: None}, {"timestamp": TIME, field: row | {each.name: None}}):
            assert both(kind, document) == (may, may), each.name
    assert both(kind, {"timestamp": TIME, "event_type": None, field: row}) == (True, True)
    assert both(kind, {"timestamp": None, field: row}) == (False, False)
    assert both(kind, row | {"event_type": None}) == (True, True)
    assert both(kind, row | {field: None}) == (True, True)
    assert both(kind, {"event_type": f"{field}_created", field: None}) == (False, False)


DIFFERENCES: dict[str, tuple[str, tuple[bool, bool]]] = {
    "a whole number with a point": ('{"order_id":"o","user_id":"u1","product_id":"p","quantity":1.0,"total_amount":1}',
                                    (True, False)),
    "a day that no calendar has": ('{"user_id":"u1","name":"a","created_at":"2026-02-30T00:00:00Z"}', (True, False)),
    "the first year": ('{"user_id":"u1","name":"a","created_at":"0001-01-01T00:00:00Z"}', (True, False)),
    "the last year": ('{"user_id":"u1","name":"a","created_at":"9999-01-01T00:00:00Z"}', (True, False)),
    "a date that is none": ('{"user_id":"u1","name":"a","join_date":"yesterday"}', (True, False)),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_differences_that_are_in_the_documents(text: str, expected: tuple[bool, bool]) -> None:
    document = json.loads(text)
    assert both(ORDERS if "order_id" in document else USERS, document) == expected


def both(kind: Kind, document: Any) -> tuple[bool, bool]:
    """Whether the schema and the decoder accept a document, with the key that its row asks for."""
    body = (document.get(CODECS[kind].field) or document) if isinstance(document, dict) else {}
    try:
        CODECS[kind].decode(str(body.get(CODECS[kind].message_key)).encode(), json.dumps(document).encode(), 0)
    except Malformed:
        return VALIDATORS[kind].is_valid(document), False
    return VALIDATORS[kind].is_valid(document), True


@pytest.mark.parametrize(
    ("kind", "event", "id_column", "message_key", "found"),
    [
        (ORDERS, order(7), "order_id", "user_id", "o7"),
        (USERS, user(7), "user_id", "user_id", "u7"),
        (PRODUCTS, product(7), "product_id", "product_id", "p7"),
    ],
)
def test_a_codec_knows_its_row_id_and_message_key(
    kind: Kind, event: Event, id_column: str, message_key: str, found: str
) -> None:
    codec = CODECS[kind]
    row, _ = codec.decode(*message(event), 0)
    assert (codec.id_column, codec.message_key, codec.id_of(row)) == (id_column, message_key, found)
