"""The result of a service as the JSON that commands print, and that the dashboard sends."""

from __future__ import annotations

from typing import Any

SCHEMA_VERSION = 1
Builtins = dict[str, Any] | list[Any] | str | int | float | bool | None


def builtins(result: object) -> Builtins:
    """`result` as dicts, lists, numbers and texts."""
    import msgspec

    found: Builtins = msgspec.to_builtins(result, str_keys=True, enc_hook=str)
    return found


def versioned(body: Builtins) -> dict[str, Any]:
    """One JSON object with `schema_version`; of a list under `items`."""
    return {"schema_version": SCHEMA_VERSION, **(body if isinstance(body, dict) else {"items": body})}


def document(result: object) -> dict[str, Any]:
    """`result` as one JSON object."""
    return versioned(builtins(result))
