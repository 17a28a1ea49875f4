"""Where `.env` and the state folder are, for code that must not wait for all of `settings` to be imported."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path

from sesacctl import files
from sesacctl.errors import ConfigurationError

ENV_FILE = Path(".env")
ENCODING = "utf-8-sig"  # a byte order mark is not part of the first name
LONGEST_VALUE = 4096  # of characters, as of a path; nothing else is as long
_LONGEST_NAME = 255
DEFAULT_HOME = Path(".sesac")
IDENTITIES = "supervisors"
"""The folder of the supervisors' ids, below the stack's; each holds the lock of its own while it runs."""
LAG_SAMPLES = "lag"
"""The folder of the lag's samples; who keeps them holds the lock of the file beside them."""


def home() -> Path:
    """The stack's folder, absolute: `SESAC_HOME` from the environment or `.env`, else `.sesac` here.

    Raises:
        ConfigurationError: `.env` cannot be read, or what it names cannot be a path.
    """
    try:
        return expanded(early("SESAC_HOME") or DEFAULT_HOME).absolute()
    except ValueError as error:
        raise ConfigurationError(f"SESAC_HOME: {error}") from None


def expanded(path: str | Path) -> Path:
    """The path with its `~` or `~user` resolved.

    Raises:
        ValueError: there is no such user, or no path can be that.
    """
    if reason := unusable(str(path)):
        raise ValueError(reason)
    if any(len(part.encode()) > _LONGEST_NAME for part in Path(path).parts):
        raise ValueError(f"a name in it has more than {_LONGEST_NAME} bytes")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError("it begins with ~ and no user of this machine has that name") from None


def unusable(value: str) -> str | None:
    """Why no server and no file takes this text, whatever it is for; None if they may."""
    if "\0" in value:
        return "it holds a NUL character"
    if len(value) > LONGEST_VALUE:
        return f"it has {len(value):,} characters, at most {LONGEST_VALUE:,} are taken"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "it is not UTF-8 text"
    return None


def early(variable: str) -> str | None:
    """A setting from the environment or `.env`, before `settings` is imported; None if it is not set.

    Raises:
        ConfigurationError: `.env` cannot be read.
    """
    return None if variable.lower() in emptied() else _given(variable, os.environ) or _given(variable, _file())


def unreadable(error: UnicodeDecodeError | OSError) -> ConfigurationError:
    """The error for a file of settings that could not be read."""
    if isinstance(error, OSError):
        return ConfigurationError(f"{error.filename} cannot be read: {error.strerror}")
    return ConfigurationError(f"{ENV_FILE} is not UTF-8 text")


def emptied() -> frozenset[str]:
    """Names, in small letters, that are in the environment and empty: they hide what a file has."""
    names = {name.lower() for name in os.environ}
    return frozenset(names - {name.lower() for name, value in os.environ.items() if value})


def read_env_file(path: Path) -> Mapping[str, str | None]:
    """Variables of a file as they stand there: a `$` in a password is a `$`.

    Raises:
        UnicodeDecodeError: it is not UTF-8 text.
        OSError: it cannot be read.
    """
    from dotenv import dotenv_values

    text = files.read_bytes(path).decode(ENCODING)
    return dotenv_values(stream=io.StringIO(text, newline=None), interpolate=False)


def _given(variable: str, variables: Mapping[str, str | None]) -> str | None:
    """As all other settings are read: lower case counts too; the last one that is not empty wins."""
    return {name.upper(): value for name, value in variables.items() if value}.get(variable)


def _file() -> Mapping[str, str | None]:
    if not ENV_FILE.is_file():
        return {}
    try:
        return read_env_file(ENV_FILE)
    except (UnicodeDecodeError, OSError) as error:
        raise unreadable(error) from None
