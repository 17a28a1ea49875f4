"""The JSON Schema of the values in each topic, generated from the types that the decoder uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, get_args, get_type_hints

import msgspec

from sesacctl.events import CODECS, Kind

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
# As msgspec reads them; without a zone is allowed. Schemas know no calendar: 30 February passes.
_DATE = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_ZONE = r"([Zz]|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])?"
_TIME = rf"^{_DATE}[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]+)?{_ZONE}$"
_NO_NUL = "^[^\\u0000]*$"


def schema(kinds: Sequence[Kind]) -> dict[str, Any]:
    """The JSON Schema, 2020-12, of the values of one topic, or of any of several."""
    definitions: dict[str, Any] = {}
    topics = []
    for kind in kinds:
        topics.append(_topic(kind))
        definitions |= _definitions(kind)
    body = topics[0] if len(topics) == 1 else {"anyOf": topics}
    return {"$schema": _DIALECT, **body, "$defs": definitions}


def _topic(kind: Kind) -> dict[str, Any]:
    """An event where one of its two members is there, else the bare row: that is how the decoder chooses."""
    codec = CODECS[kind]
    return {
        "title": f"A value in the topic {kind}",
        "type": "object",
        "if": {"anyOf": [_has("event_type"), _has(codec.field)]},
        "then": _reference(codec.event),
        "else": _reference(codec.row),
    }


def _has(name: str) -> dict[str, Any]:
    """That a field is there; null is as good as absent."""
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


def _reference(struct: type) -> dict[str, str]:
    return {"$ref": f"#/$defs/{struct.__name__}"}


def _definitions(kind: Kind) -> dict[str, Any]:
    structs = (CODECS[kind].event, CODECS[kind].row)
    _, found = msgspec.json.schema_components(structs, ref_template="#/$defs/{name}")
    for struct in structs:
        hints = get_type_hints(struct)
        for name, field in found[struct.__name__]["properties"].items():
            is_time = datetime in (hints[name], *get_args(hints[name]))
            for text in _strings(field):
                text.update({"format": "date-time", "pattern": _TIME} if is_time else {"pattern": _NO_NUL})
            if name not in found[struct.__name__]["required"]:
                found[struct.__name__]["properties"][name] = _or_null(field)
    return found


def _or_null(field: dict[str, Any]) -> dict[str, Any]:
    parts = field.pop("anyOf", None)
    if parts is None:
        default = {"default": field.pop("default")} if "default" in field else {}
        return default | {"anyOf": [field, {"type": "null"}]}
    return field | {"anyOf": parts if {"type": "null"} in parts else [*parts, {"type": "null"}]}


def _strings(field: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The parts of a field's schema that are text of no format yet."""
    for part in (field, *field.get("anyOf", ())):
        if part.get("type") == "string" and "format" not in part:
            yield part
