"""What a value that is not one of our events looks like, by its first bytes and its outline; pure, and never raises.

Sources: Confluent's "Wire format", Debezium's "Data change events", CloudEvents 1.0 with its Kafka binding, Kafka
Connect's JsonConverter, and each format's own magic number. What cannot be certain says "looks like".
"""

from __future__ import annotations

import codecs
import re
from base64 import b64decode
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Raw, UnsetType

from sesacctl.envelopes import Envelope, outline, plain, recognize
from sesacctl.log import printable

Headers = Sequence[tuple[bytes, bytes | None]]
_NAME_CHARACTERS = 60
_HEAD = 4_096
_MOST_COUNTED = 100_000  # bytes of an array whose items are counted

_MAGIC = (
    (b"\x1f\x8b\x08", "gzip: decompress it before it is sent; producers compress by themselves with compression.type"),
    (b"\x28\xb5\x2f\xfd", "zstd: decompress it before it is sent; producers compress by themselves"),
    (b"\x04\x22\x4d\x18", "an LZ4 frame: decompress it before it is sent; producers compress by themselves"),
    (b"\xff\x06\x00\x00sNaPpY", "a Snappy stream: decompress it before it is sent; producers compress by themselves"),
    (b"Obj\x01", "an Avro object container file: fastavro or avro-tools read it"),
    (b"PAR1", "a Parquet file: pyarrow or DuckDB read it"),
    (b"PK\x03\x04", "a ZIP archive: unzip it, and send its events one by one"),
    (b"\xac\xed\x00\x05", "a serialized Java object: only the JVM reads it; use a JSON serializer"),
)
_TEXT_MARKS = (
    (codecs.BOM_UTF8, "UTF-8 with a byte order mark (utf-8-sig reads it): send UTF-8 without it"),
    (codecs.BOM_UTF32_LE, "UTF-32 text with a byte order mark: send UTF-8"),
    (codecs.BOM_UTF32_BE, "UTF-32 text with a byte order mark: send UTF-8"),
    (codecs.BOM_UTF16_LE, "UTF-16 text with a byte order mark: send UTF-8"),
    (codecs.BOM_UTF16_BE, "UTF-16 text with a byte order mark: send UTF-8"),
)
_FORM = re.compile(rb"[\w.%+\[\]-]{1,100}=[^&={}\"\s]*(&[\w.%+\[\]-]{1,100}=[^&={}\"\s]*)*")
_XML = re.compile(rb"\s*<(\?xml\b|[A-Za-z_][\w:.-]{0,100}[\s/>])")
_PYTHON = re.compile(rb"\s*\{\s*'[^']{0,100}'\s*:")


def describe(value: bytes, headers: Headers = ()) -> str | None:
    """What a value that is not an event looks like and what would read it; None if nothing is known of it."""
    for look in _LOOKS:
        if text := look(value):
            return text
    return _headers(headers)


def describe_key(key: bytes | None) -> str | None:
    """What a key that is not the plain id looks like."""
    if key is None:
        return "the record has no key"
    if text := _binary(key):
        return f"the key {text}"
    found = plain(key)
    if isinstance(found, str):
        return "the key looks like a JSON string, with quotes around the id: use a string serializer for keys"
    if isinstance(found, dict):
        return "the key looks like a JSON object: the id alone is expected"
    if len(key) in (4, 8) and key[0] == 0:
        return f"the key looks like a number in {len(key)} bytes: use a string serializer for keys"
    return None


def _binary(value: bytes) -> str | None:
    for mark, text in (*_MAGIC, *_TEXT_MARKS):
        if value.startswith(mark):
            return f"looks like {text}"
    return _wide_text(value) or _registry(value) or _message_pack(value)


def _wide_text(value: bytes) -> str | None:
    """UTF-16 or UTF-32 without a byte order mark: every other byte of ASCII text is zero."""
    head = value[:64]
    if len(head) < 4 or len(value) % 2:
        return None
    for name, zeros, others in (
        ("UTF-32", (head[1::4] + head[2::4] + head[3::4]), head[::4]),
        ("UTF-32", (head[::4] + head[1::4] + head[2::4]), head[3::4]),
        ("UTF-16", head[1::2][:4], head[::2][:4]),
        ("UTF-16", head[::2][:4], head[1::2][:4]),
    ):
        if not any(zeros) and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in others):
            return f"looks like {name} text: send UTF-8"
    return None


def _registry(value: bytes) -> str | None:
    """A schema registry's prefix: Confluent's magic byte 0 and id; Apicurio's id of eight bytes; AWS Glue's UUID."""
    if len(value) >= 18 and value[0] == 3 and value[1] in (0, 5):
        return "looks like the format of the AWS Glue Schema Registry: its own deserializer reads it; send plain JSON"
    if len(value) < 6 or value[0] != 0:
        return None
    number, rest = int.from_bytes(value[1:5]), value[5:]
    if number == 0 and len(value) <= 9:
        return None
    if number == 0:
        number, rest, name = int.from_bytes(value[1:9]), value[9:], "Apicurio Registry's format"
    else:
        name = "Confluent's wire format"
    body = "JSON of its JSON Schema serializer" if rest[:1] in b"{[" and rest else "Avro or Protobuf"
    return (
        f"looks like {name}: magic byte 0, schema id {number}, then {body}; a deserializer with that schema registry"
        " reads it; send plain JSON"
    )


def _message_pack(value: bytes) -> str | None:
    """Only a map with text as keys, and that to its last byte."""
    if not value or not (0x81 <= value[0] <= 0x8F or value[0] in (0xDE, 0xDF)):
        return None
    try:
        msgspec.msgpack.decode(value, type=dict[str, Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return "looks like MessagePack: msgpack reads it; send JSON"


def _encoding(value: bytes) -> str | None:
    """Korean text that begins as JSON does: most bytes can be read as CP949, so that alone says little."""
    if value.lstrip()[:1] not in (b"{", b"[", b'"'):
        return None
    try:
        value.decode()
        return None
    except UnicodeDecodeError as error:
        at = error.start
    try:
        text = codecs.getincrementaldecoder("cp949")().decode(value[:_HEAD])
    except UnicodeDecodeError:
        return None
    foreign = [character for character in text if not character.isascii()]
    korean = sum("\uac00" <= character <= "\ud7a3" for character in foreign)
    if korean and korean * 2 > len(foreign) and all(c.isprintable() or c.isspace() for c in text):
        return f"looks like CP949 (EUC-KR) text from byte {at} on: cp949 reads it; send UTF-8"
    return None


def _json(value: bytes) -> str | None:
    first = value.lstrip()[:1]
    if first == b'"':
        return _json_string(value)
    if first == b"[":
        items = plain(value, list[Raw]) if len(value) <= _MOST_COUNTED else None
        number = "" if items is None else f" of {len(items)}"
        return f"looks like a JSON array{number}: send one event a record"
    lines = [line for line in value[: 64 * _HEAD].split(b"\n", 8)[:8] if line.strip()]
    if len(lines) > 1 and all(outline(line) for line in lines[:2]):
        return "looks like several JSON documents on lines of their own: send one event a record"
    return None


def _json_string(value: bytes) -> str | None:
    text = plain(value, str)
    if text is None:
        return None
    if outline(text.encode("utf-8", "replace")):
        return "is JSON within a JSON string: it was encoded twice; send the object itself"
    return "is a JSON string: send a JSON object"


def _envelope(value: bytes) -> str | None:
    known = recognize(value)
    if known is None:
        return None
    kind, found = known
    stores = f"`sesacctl dlq replay --all --unwrap {kind}` stores"
    if kind is Envelope.CLOUDEVENTS:
        name = f"a CloudEvents event of type {_name(found.type)}"
        return f"looks like {name}: {stores} its data, if that fits; or send it in binary mode"
    if kind is Envelope.CONNECT:
        return f"looks like Kafka Connect's envelope: {stores} its payload, if that fits; or set schemas.enable=false"
    op = _name(found.op)
    name = f"a Debezium envelope (op {op})"
    if op in ("c", "r", "u"):
        return f"looks like {name}: {stores} its `after`, if that fits; or use ExtractNewRecordState"
    if op == "d":
        return f"looks like {name}: a delete, and events delete no rows; discard it"
    return f"looks like {name}, which holds no row; discard it"


def _plain_text(value: bytes) -> str | None:
    if _XML.match(value[:_HEAD]):
        return "looks like XML: send JSON"
    if _PYTHON.match(value[:_HEAD]):
        return "looks like Python's str() of a dict: use json.dumps"
    if len(value) <= _HEAD and _FORM.fullmatch(value):
        return "looks like form data (name=value): send JSON"
    if value[:3] == b"eyJ" and _is_base64_json(value):
        return "looks like JSON in base64: send the JSON itself"
    return None


def _is_base64_json(value: bytes) -> bool:
    try:
        return outline(b64decode(value, validate=True)) is not None
    except ValueError:
        return False


def _headers(headers: Headers) -> str | None:
    """What the headers say where the value says nothing."""
    known = {bytes(name): value for name, value in headers}
    if b"ce_specversion" in known:
        kind = _printed((known.get(b"ce_type") or b"").decode("utf-8", "replace"))
        return f"its headers are those of CloudEvents in binary mode, type {kind}: the value is the event's own data"
    if b"__value_schema_id" in known:
        return "its header __value_schema_id names a schema of Confluent's registry: its deserializer reads it"
    return None


def _name(raw: Raw | UnsetType) -> str:
    return _printed((None if isinstance(raw, UnsetType) else plain(raw, str)) or "unknown")


def _printed(text: str) -> str:
    return printable(text[:_NAME_CHARACTERS]) or "unknown"


_LOOKS: tuple[Callable[[bytes], str | None], ...] = (_binary, _encoding, _envelope, _json, _plain_text)
