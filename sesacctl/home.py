"""Where `.env` and the state folder are, for those that must not wait for all of `settings` to be imported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sesacctl.errors import ConfigurationError

ENV_FILE = Path(".env")
ENCODING = "utf-8-sig"  # a byte order mark is not part of the first name
DEFAULT_HOME = Path(".sesac")


def home() -> Path:
    """The stack's folder, absolute: `SESAC_HOME` from the environment or `.env`, else `.sesac` here.

    Raises:
        ConfigurationError: `.env` cannot be read.
    """
    value = _given(os.environ) or _given(_file())
    return Path(value or DEFAULT_HOME).expanduser().absolute()


def unreadable(error: UnicodeDecodeError | OSError) -> ConfigurationError:
    """What to say of a file of settings that gave this error."""
    if isinstance(error, OSError):
        return ConfigurationError(f"{error.filename} cannot be read: {error.strerror}")
    return ConfigurationError(f"{ENV_FILE} is not UTF-8 text")


def _given(variables: Mapping[str, str | None]) -> str | None:
    """As all other settings are read: in small letters too; the last one counts, but for an empty one."""
    return {name.upper(): value for name, value in variables.items() if value}.get("SESAC_HOME")


def _file() -> Mapping[str, str | None]:
    if not ENV_FILE.is_file():
        return {}
    from dotenv import dotenv_values

    try:
        return dotenv_values(ENV_FILE, encoding=ENCODING)
    except (UnicodeDecodeError, OSError) as error:
        raise unreadable(error) from None
