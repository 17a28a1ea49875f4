"""Results as the JSON that commands print and the dashboard sends: dicts, lists, numbers and text."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sesacctl.formatting import iso_text

SCHEMA_VERSION = 1


def as_json(result: object) -> object:
    """What `json.dumps` takes; all times in UTC, with a Z."""
    import msgspec

    return _with_times(msgspec.to_builtins(result, str_keys=True, builtin_types=(datetime,), enc_hook=str))


def _with_times(value: object) -> object:
    if isinstance(value, datetime):
        return iso_text(value)
    if isinstance(value, dict):
        return {name: _with_times(each) for name, each in value.items()}
    return [_with_times(each) for each in value] if isinstance(value, list | tuple) else value


def versioned(body: object) -> dict[str, Any]:
    """One JSON object with `schema_version`; what is not an object is under `items`."""
    return {"schema_version": SCHEMA_VERSION, **(body if isinstance(body, dict) else {"items": body})}


def document(result: object) -> dict[str, Any]:
    """`result` as one JSON object."""
    return versioned(as_json(result))
