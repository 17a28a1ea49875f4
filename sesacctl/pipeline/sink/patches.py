"""JSON merge patches (RFC 7396), with which a person repairs the value of a kept record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, tzinfo
from typing import Any

import msgspec

from sesacctl import envelopes
from sesacctl.envelopes import Envelope, plain
from sesacctl.events import CODECS, Kind, Malformed, Reason, Row
from sesacctl.pipeline.sink.record_like import RecordLike

Patch = Mapping[str, Any]


def read_patch(content: bytes) -> Patch:
    """A patch of members: another JSON document would replace the whole value.

    Raises:
        ValueError: it is not a JSON object, or cannot be kept.
    """
    try:
        patch = msgspec.json.decode(content, type=dict[str, Any])
        msgspec.json.encode(merge({}, patch))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError) as error:
        raise ValueError(f"it is not a JSON object: {error}") from None
    return patch


def merge(target: object, patch: object) -> object:
    """RFC 7396, section 2: members of the patch replace the target's, null removes one, objects are merged."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, part in patch.items():
        if part is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), part)
    return merged


def decode_patched(
    kind: Kind, record: RecordLike, patch: Patch, zone: tzinfo = UTC, *, unwrap: Envelope | None = None
) -> Row:
    """The event that a record holds with a patch applied to its whole value, before an envelope is taken off.

    A patch that sets the column that records are keyed by stands for the key, too. `unwrap`: only that envelope.

    Raises:
        Malformed: the value is not JSON, or what the patch makes of it is not an event of this topic.
    """
    document = None if record.value is None else plain(record.value)
    if document is None:
        raise Malformed(Reason.INVALID_JSON, "a patch needs a value that is JSON")
    try:
        value = msgspec.json.encode(merge(document, patch))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError) as error:
        raise Malformed(Reason.INVALID_JSON, str(error)) from None
    own = _find(patch, CODECS[kind].message_key)
    key = record.key if own is None else own.encode()
    return envelopes.decode(kind, key, value, record.timestamp, zone, only=unwrap)[0]


def _find(patch: Patch, name: str) -> str | None:
    """The text to which a patch sets a member of this name, at any depth."""
    found = patch.get(name)
    if isinstance(found, str):
        return found
    inner = (_find(part, name) for part in patch.values() if isinstance(part, Mapping))
    return next((each for each in inner if each is not None), None)
