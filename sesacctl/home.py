"""Where `.env` and the state folder are, for those that must not wait for all of `settings` to be imported."""

from __future__ import annotations

import os
from pathlib import Path

ENV_FILE = Path(".env")
ENCODING = "utf-8-sig"  # a byte order mark is not part of the first name
DEFAULT_HOME = Path(".sesac")


def home() -> Path:
    """The stack's folder, absolute: `SESAC_HOME` from the environment or `.env`, else `.sesac` here."""
    value = os.environ.get("SESAC_HOME") or _from_file()
    return Path(value or DEFAULT_HOME).expanduser().absolute()


def _from_file() -> str | None:
    if not ENV_FILE.is_file():
        return None
    from dotenv import dotenv_values

    return dotenv_values(ENV_FILE, encoding=ENCODING).get("SESAC_HOME")
