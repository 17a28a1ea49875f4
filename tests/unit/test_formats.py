"""What refused values look like: each format by its own bytes, and nothing said of what is not one of them."""

from __future__ import annotations

import base64
import gzip
import json
import pickle
import time
import zlib

import lz4.frame
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.codec import zstd_encode

from sesacctl import formats
from sesacctl.events import CODECS, ORDERS, Malformed, Reason
from sesacctl.log import printable
from sesacctl.pipeline.sink.explain import explain
from tests.helpers.events import message, order
from tests.helpers.hints import faults

EVENT = message(order(1, status="결제완료"))[1] or b""
ROW = msgspec.json.encode(order(1).order)
TEXT = EVENT.decode()
DEBEZIUM = {"before": None, "after": json.loads(ROW), "op": "c", "source": {"db": "shop"}, "ts_ms": 1}
CLOUD_EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "shop.order", "data": json.loads(ROW)}


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


LOOKS = {
    "Confluent Avro": (
        b"\x00\x00\x00\x00\x2a\x04o1\x04u1",
        "Confluent's wire format: magic byte 0, schema id 42",
    ),
    "Confluent Protobuf": (b"\x00\x00\x00\x01\x00\x00\x0a\x02o1", "schema id 256, then Avro or Protobuf"),
    "Confluent JSON Schema": (b"\x00\x00\x00\x00\x07" + ROW, "schema id 7, then JSON of its JSON Schema serializer"),
    "Apicurio": (b"\x00" + (9).to_bytes(8) + b"\x04o1\x04u1", "Apicurio Registry's format: magic byte 0, schema id 9"),
    "Glue": (b"\x03\x00" + bytes(range(16)) + b"\x04o1", "AWS Glue Schema Registry"),
    "Connect": (encoded({"schema": {"type": "struct"}, "payload": json.loads(ROW)}), "Kafka Connect's envelope"),
    "Connect without a schema": (encoded({"schema": None, "payload": json.loads(ROW)}), "--unwrap connect"),
    "Debezium": (encoded(DEBEZIUM), "Debezium envelope (op c): `sesacctl dlq replay --all --unwrap debezium`"),
    "Debezium in Connect": (encoded({"schema": {}, "payload": DEBEZIUM}), "--unwrap debezium"),
    "Debezium delete": (
        encoded({"before": {}, "after": None, "op": "d"}),
        "Debezium envelope (op d): a delete",
    ),
    "Debezium truncate": (encoded({"before": None, "op": "t"}), "Debezium envelope (op t), which holds no row"),
    "CloudEvents": (
        encoded(CLOUD_EVENT),
        "CloudEvents event of type shop.order: `sesacctl dlq replay",
    ),
    "gzip": (gzip.compress(EVENT), "looks like gzip"),
    "zstd": (zstd_encode(EVENT), "looks like zstd"),
    "lz4": (lz4.frame.compress(EVENT), "LZ4 frame"),
    "UTF-8 mark": (b"\xef\xbb\xbf" + EVENT, "UTF-8 with a byte order mark"),
    "UTF-16 with a mark": (TEXT.encode("utf-16"), "UTF-16 text with a byte order mark"),
    "UTF-16, big, with a mark": (b"\xfe\xff" + TEXT.encode("utf-16-be"), "UTF-16 text with a byte order mark"),
    "UTF-16": (TEXT.encode("utf-16-le"), "looks like UTF-16 text"),
    "UTF-16, big": (TEXT.encode("utf-16-be"), "looks like UTF-16 text"),
    "UTF-32 with a mark": (TEXT.encode("utf-32"), "UTF-32 text with a byte order mark"),
    "UTF-32": (TEXT.encode("utf-32-le"), "looks like UTF-32 text"),
    "CP949": (TEXT.encode("cp949"), "looks like CP949 (EUC-KR) text from byte"),
    "EUC-KR": (TEXT.encode("euc-kr"), "looks like CP949 (EUC-KR) text from byte"),
    "CP949 cut in a character": (b'{"a":"x' + "가".encode("cp949") * 3_000 + b'"}', "looks like CP949"),
    "twice": (encoded(TEXT), "JSON within a JSON string"),
    "a string": (b'"o1"', "is a JSON string: send a JSON object"),
    "array": (b"[" + EVENT + b"," + EVENT + b"]", "JSON array of 2: send one event a record"),
    "empty array": (b" []", "JSON array of 0"),
    "lines": (EVENT + b"\n" + EVENT, "several JSON documents on lines of their own"),
    "lines with CR": (EVENT + b"\r\n" + EVENT + b"\r\n", "several JSON documents on lines of their own"),
    "XML": (b"<?xml version='1.0'?><order/>", "looks like XML"),
    "XML without a head": (b"\n<order><id>1</id></order>", "looks like XML"),
    "form": (b"order_id=o1&user_id=%EA%B0%80", "looks like form data"),
    "Python": (repr(json.loads(ROW)).encode(), "Python's str() of a dict: use json.dumps"),
    "base64": (base64.b64encode(EVENT), "JSON in base64"),
    "MessagePack": (msgspec.msgpack.encode(order(1)), "looks like MessagePack"),
    "Avro file": (b"Obj\x01\x04\x16avro.schema", "Avro object container file"),
    "Java": (b"\xac\xed\x00\x05sr\x00\x0fcom.shop.Order", "serialized Java object"),
    "Parquet": (b"PAR1\x15\x04", "Parquet"),
}


@pytest.mark.parametrize(("value", "said"), LOOKS.values(), ids=LOOKS.keys())
def test_a_format_is_named_with_what_would_read_it(value: bytes, said: str) -> None:
    assert said in str(formats.describe(value))
    with pytest.raises(Malformed) as refused:
        CODECS[ORDERS].decode(b"u1", value, 0)
    detail = explain(refused.value, b"u1", value, [])
    assert detail.startswith(str(refused.value)[:20])
    assert said in detail
    assert faults(detail) == [], "a command in it exists"


@pytest.mark.parametrize(
    "value",
    [
        EVENT,
        ROW,
        b"",
        b"no event",
        b"{}",
        b'{"x": ',
        b"null",
        b"12",
        b"\x00",
        b"\x00\x01\x02",
        b"\x82\xa1a",
        '{"name": "café"}'.encode("latin-1"),
        "{}{}".encode("utf-16-le")[:3],
        b'{"op": "c"}',
        b'{"schema": {}, "other": 1}',
        b'{"type": "a", "source": "b"}',
        EVENT.replace(b"\n", b"")[:-1],
        zlib.compress(EVENT)[:1],
        pickle.dumps(1, protocol=0),
    ],
    ids=range(19),
)
def test_an_unknown_format_is_not_described(value: bytes) -> None:
    assert formats.describe(value) is None


def test_pretty_json_is_one_document() -> None:
    assert formats.describe(json.dumps(json.loads(TEXT), indent=1).encode()) is None


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ([(b"ce_specversion", b"1.0"), (b"ce_type", b"shop.order")], "CloudEvents in binary mode, type shop.order"),
        ([(b"ce_specversion", None), (b"ce_type", None)], "CloudEvents in binary mode, type unknown"),
        ([(b"ce_specversion", b"1.0"), (b"ce_type", b"\xff\x00\x1b")], "type \ufffd\\x00\\x1b"),
        ([(b"__value_schema_id", b"\x01")], "__value_schema_id"),
    ],
)
def test_headers_name_the_format_if_the_value_does_not(headers: formats.Headers, said: str) -> None:
    assert said in str(formats.describe(b"{}", headers))
    assert "gzip" in str(formats.describe(gzip.compress(b"{}"), headers)), "the value's own bytes say more"
    assert formats.describe(b"{}", [(b"h", b"1"), (b"\xff", None)]) is None


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (None, "the record has no key"),
        (b'"u1"', "JSON string, with quotes around the id"),
        (b'{"order_id":"o1"}', "the key looks like a JSON object"),
        (b"\x00\x00\x00\x00\x2a\x04u1", "the key looks like Confluent's wire format"),
        ("u123".encode("utf-16"), "the key looks like UTF-16"),
        ((7).to_bytes(8), "looks like a number in 8 bytes"),
        ((7).to_bytes(4), "looks like a number in 4 bytes"),
        (b"u2", None),
        (b"", None),
        (b"\xff", None),
    ],
)
def test_keys(key: bytes | None, said: str | None) -> None:
    found = formats.describe_key(key)
    assert found is None if said is None else said in str(found)
    with pytest.raises(Malformed) as refused:
        CODECS[ORDERS].decode(key, EVENT, 0)
    assert (said or "") in explain(refused.value, key, EVENT, [])


MEMBERS = ("op", "after", "before", "schema", "payload", "specversion", "type", "source")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(MEMBERS), inner),
)
STARTS = (
    b"\x00",
    b"\x1f\x8b\x08",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"[",
    b'"',
    b"{",
    b"<",
    b"\x82",
    b"eyJ",
    b"\0\0\0\0\1",
)
BYTES = st.binary() | st.builds(encoded, JSON) | st.builds(bytes.__add__, st.sampled_from(STARTS), st.binary())
HEADERS = st.lists(st.tuples(st.binary() | st.just(b"ce_specversion") | st.just(b"ce_type"), st.none() | st.binary()))


@given(value=BYTES, key=st.none() | BYTES, headers=HEADERS)
def test_any_bytes_lead_to_a_short_printable_text(value: bytes, key: bytes | None, headers: formats.Headers) -> None:
    for text in (formats.describe(value, headers), formats.describe_key(key)):
        assert text is None or (len(text) < 400 and printable(text) == text)
    for reason in (Reason.INVALID_JSON, Reason.WRONG_KEY):
        detail = explain(Malformed(reason, value.decode("latin-1")), key, value, headers)
        assert len(detail) <= 800
        assert printable(detail) == detail


@pytest.mark.parametrize(
    "value",
    [b"[" * 1_000_000, b'{"a":' * 200_000, b'{"op":"c","after":' + b"[" * 1_000_000, b"a" * 1_000_000, b"a=" * 500_000,
     b"<" * 1_000_000, b"\n" * 1_000_000, b"[" + b"1," * 500_000 + b"1]", b'"' + b"x" * 1_000_000 + b'"',
     b"\xb0\xa1" * 500_000, b"eyJ" + b"A" * 1_000_001, b" " * 1_000_000 + b"[", b"\x82\xa1a" + b"\x91" * 1_000_000],
    ids=range(13),
)  # fmt: skip
def test_a_large_value_takes_no_time(value: bytes) -> None:
    began = time.process_time()
    formats.describe(value)
    formats.describe_key(value)
    assert time.process_time() - began < 0.5


def test_a_quotation_of_the_record_is_shortened() -> None:
    value = encoded({"event_type": "a\0" + "b" * 5_000, "order": {}})
    with pytest.raises(Malformed) as refused:
        CODECS[ORDERS].decode(b"u1", value, 0)
    assert len(str(refused.value)) > 5_000
    detail = explain(refused.value, b"u1", value, [])
    assert len(detail) < 500
    assert "\0" not in detail


def test_a_tombstone_is_not_described_as_a_format() -> None:
    with pytest.raises(Malformed) as refused:
        CODECS[ORDERS].decode(b"u1", None, 0)
    assert explain(refused.value, b"u1", None, [(b"ce_specversion", b"1.0")]) == "the record has no value"
