"""Functions for KAFKA_OAUTH_TOKEN_PROVIDER: tokens that nobody has signed, as the broker of the tests takes them."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

SHORT_SECONDS = 3.0
SECRET = "canary-7d20"


def _token(seconds: float) -> str:
    now = time.time()
    parts: tuple[dict[str, Any], ...] = ({"alg": "none"}, {"sub": "alice", "iat": now - 60, "exp": now + seconds})
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return ".".join(encoded) + "."


def good() -> str:
    """For an hour."""
    return _token(3600)


def short() -> str:
    """For `SHORT_SECONDS`: the broker hangs up after that, if nobody has logged in again."""
    return _token(SHORT_SECONDS)


def expired() -> str:
    """Worth nothing any more."""
    return _token(-30)


def raises() -> str:
    """As when nobody has credentials."""
    raise LookupError("there are no credentials")


def nothing() -> None:
    """No token."""


def number() -> bytes:
    """Not a string; what it is must not be shown."""
    return SECRET.encode()


NOT_A_FUNCTION = 1
