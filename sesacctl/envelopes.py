"""Formats that can hold an event: Debezium's change events, CloudEvents 1.0, and Kafka Connect's JSON envelope.

Only the envelope is taken off: what is in it has to be an event as any other, by the same decoder.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, tzinfo
from enum import StrEnum
from typing import Any, TypeVar, overload

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from sesacctl.events import CODECS, Codec, Kind, Malformed, Reason, Row

T = TypeVar("T")
_NOTES = (
    (re.compile(r"Expected `datetime.* got `(int|float)`"), "times have to be text, as of timestamptz columns"),
    (re.compile(r"Expected `date\b.* got `(int|float)`"), "dates have to be text, such as 2026-11-22"),
    (re.compile(r"Expected `int.* got `(str|float)`"), "numbers have to be JSON integers, not decimals or text"),
    (re.compile(r"Expected `float.* got `str`"), "numbers have to be JSON numbers, not decimals or text"),
)


class Envelope(StrEnum):
    """What `dlq replay --unwrap` reads."""

    DEBEZIUM = "debezium"
    CLOUDEVENTS = "cloudevents"
    CONNECT = "connect"


class DoesNotFit(Malformed):
    """A record in a known envelope that does not hold an event of its topic."""


class Outline(Struct):
    """The top-level members by which envelopes are distinguished; each is undecoded JSON."""

    schema: Raw | UnsetType = UNSET
    payload: Raw | UnsetType = UNSET
    before: Raw | UnsetType = UNSET
    after: Raw | UnsetType = UNSET
    op: Raw | UnsetType = UNSET
    specversion: Raw | UnsetType = UNSET
    type: Raw | UnsetType = UNSET
    source: Raw | UnsetType = UNSET
    time: Raw | UnsetType = UNSET
    data: Raw | UnsetType = UNSET
    data_base64: Raw | UnsetType = UNSET


DISGUISES = (b"\\u", b'"data_base64"')
"""Bytes of a value in which an id may stand otherwise than byte for byte: JSON escapes, and CloudEvents' base64."""

_outline = msgspec.json.Decoder(Outline)


@overload
def plain(value: bytes | Raw) -> object: ...
@overload
def plain(value: bytes | Raw, kind: type[T]) -> T | None: ...
def plain(value: bytes | Raw, kind: type[object] = object) -> object:
    """A JSON document of a kind; None if it is not one."""
    try:
        return msgspec.json.decode(value, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def outline(value: bytes | Raw | UnsetType) -> Outline | None:
    """The members of a JSON object; None if it is not one."""
    if isinstance(value, UnsetType):
        return None
    try:
        return _outline.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def recognize(value: bytes) -> tuple[Envelope, Outline] | None:
    """The envelope that a value is, and its members: for Debezium those with `op`, also if Connect's is around them."""
    found = outline(value)
    if found is None:
        return None
    if UNSET not in (found.specversion, found.type, found.source):
        return Envelope.CLOUDEVENTS, found
    if _is_debezium(found):
        return Envelope.DEBEZIUM, found
    if UNSET in (found.schema, found.payload):
        return None
    inner = outline(found.payload)
    return (Envelope.DEBEZIUM, inner) if inner and _is_debezium(inner) else (Envelope.CONNECT, found)


def _is_debezium(found: Outline) -> bool:
    return found.op is not UNSET and (found.after is not UNSET or found.before is not UNSET)


def decode(
    kind: Kind,
    key: bytes | None,
    value: bytes | None,
    timestamp_ms: int,
    zone: tzinfo = UTC,
    *,
    only: Envelope | None = None,
) -> tuple[Row, bool]:
    """As `Codec.decode`, and if that refuses it, what is in its envelope; `only` that one, else any.

    Raises:
        Malformed: it is not an event of this topic, nor in an envelope that was asked for.
        DoesNotFit: what is in the envelope is not an event of this topic, or the key is not the row's own.
    """
    codec = CODECS[kind]
    try:
        return codec.decode(key, value, timestamp_ms, zone)
    except Malformed:
        known = None if value is None else recognize(value)
        if known is None or only not in (None, known[0]):
            raise
    try:
        body = _body(codec, *known)
        return codec.decode(_own_key(codec, key, body), body, timestamp_ms, zone)
    except Malformed as error:
        note = next((f"; {words}" for pattern, words in _NOTES if pattern.search(str(error))), "")
        if error.reason is Reason.WRONG_KEY and key is None:
            note = "; it has none"
        raise DoesNotFit(error.reason, f"in the {known[0]} envelope: {error}{note}") from None


def find_id(kind: Kind, key: bytes | None, value: bytes | None) -> str | None:
    """The id of the event that a record holds, also where something else of it is wrong; None if none can be found."""
    codec = CODECS[kind]
    try:
        return codec.id_of(decode(kind, key, value, 0)[0])
    except Malformed:
        document = plain(value or b"")
    bodies = [document, *document.values()] if isinstance(document, dict) else []
    ids = (body.get(codec.id_column) for body in bodies if isinstance(body, dict))
    return next((found for found in ids if isinstance(found, str)), None)


def _body(codec: Codec, kind: Envelope, found: Outline) -> bytes:
    """The event in an envelope, as bytes that the codec decodes."""
    if kind is Envelope.CONNECT:
        return _text(found.payload, "payload")
    if kind is Envelope.DEBEZIUM:
        op = "unknown" if isinstance(found.op, UnsetType) else plain(found.op, str)
        if op == "d":
            raise Malformed(Reason.WRONG_EVENT, "a delete (op d): events delete no rows")
        if op not in ("c", "r", "u"):
            raise Malformed(Reason.WRONG_EVENT, "it is not of a row: its op is not c, r, u or d")
        return _text(found.after, "after")
    if found.data_base64 is not UNSET:
        return _from_base64(found.data_base64)
    data = _text(found.data, "data")
    document = plain(data)
    if found.time is UNSET or not isinstance(document, dict) or {"event_type", codec.field} & document.keys():
        return data
    return b'{"timestamp":%b,"%b":%b}' % (bytes(found.time), codec.field.encode(), data)


def _text(raw: Raw | UnsetType, member: str) -> bytes:
    """An object as it stands, or one that is the text of a JSON string."""
    if isinstance(raw, UnsetType):
        raise Malformed(Reason.INVALID_FIELD, f"the envelope has no `{member}`")
    text: str | None = plain(raw, str)
    return bytes(raw) if text is None else text.encode()


def _from_base64(raw: Raw | UnsetType) -> bytes:
    try:
        return b64decode(_text(raw, "data_base64"), validate=True)
    except ValueError:
        raise Malformed(Reason.INVALID_FIELD, "`data_base64` is not base64") from None


def _own_key(codec: Codec, key: bytes | None, body: bytes) -> bytes | None:
    """The id that a key stands for: JSON text, or an object of the row's ids, which have to be those of the row."""
    document = None if key is None else plain(key)
    if isinstance(document, dict) and document.keys() == {"schema", "payload"}:
        document = document["payload"]
    if isinstance(document, str):
        return document.encode()
    if not isinstance(document, dict):
        return key
    row = plain(body)
    row = row.get(codec.field, row) if isinstance(row, dict) else None
    return _key_of(codec, document, row) if isinstance(row, dict) else key


def _key_of(codec: Codec, document: Mapping[str, Any], row: Mapping[str, Any]) -> bytes | None:
    names = document.keys() & set(codec.columns)
    own = row.get(codec.message_key)
    agrees = all(document[name] == row.get(name) for name in names)
    is_id = not names.isdisjoint({codec.id_column, codec.message_key})
    return own.encode() if agrees and is_id and isinstance(own, str) else b""
