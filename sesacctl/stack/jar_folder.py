"""The folder of Kafka's jars: one command at a time, and what `sesacctl fetch` does with it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sesacctl.errors import ConfigurationError, UsageError
from sesacctl.stack import jars
from sesacctl.stack.filelock import file_lock
from sesacctl.stack.process import installed

logger = logging.getLogger(__name__)

_LOCK = "lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchResult:
    """`fetched` of the `jars` of this version of `kafka` were not in the folder before; all are whole now."""

    folder: str
    kafka: str
    jars: int
    fetched: int
    seconds: float


def fetch(
    to: Path | None = None,
    *,
    source: Path | None = None,
    mirror: str = "",
    on_step: Callable[[str], None] = logger.info,
) -> FetchResult:
    """Have every jar in the folder `to`, by default the one where `up` looks, each with the SHA-256 of the lock.

    They come from the folder `source` alone, if it is given; else from this user's folder, and what is not there from
    Maven Central or the `mirror` of it.

    Raises:
        ConfigurationError: the folder cannot be written, or what downloads is not installed.
        JarsMissing: `source` lacks some.
        ServerNotStarted: one could not be downloaded, or came with a different checksum twice.
        UsageError: both folders are the same.
    """
    begin, lock, cache = time.monotonic(), jars.read_lock(), jars.cache_folder()
    folder = (to or cache).absolute()
    if source is not None:
        if source.absolute() == folder:
            raise UsageError(f"{folder} is both where they are and where they go", hint="sesacctl fetch --from DIR")
        jars.require_all(source.absolute(), lock, hint="sesacctl fetch --to DIR, where there is a network")
        brings = jars.from_folder(source.absolute(), jars.from_nowhere)
    else:
        brings = jars.from_folder(cache, jars.from_repository(mirror))
        if set(jars.missing(folder, lock)) & set(jars.missing(cache, lock)):
            installed("jgo")  # before the folder is made
    with held(folder, on_step):
        fetched = len(jars.missing(folder, lock))
        try:
            jars.ensure(folder, lock, on_step=on_step, cancel=threading.Event(), fetch=brings)
        except OSError as error:
            raise _unwritable(folder, error, hint="another --to, or free disk space, then sesacctl fetch") from None
    seconds = round(time.monotonic() - begin, 1)
    return FetchResult(folder=str(folder), kafka=lock.kafka, jars=len(lock.jars), fetched=fetched, seconds=seconds)


@contextmanager
def held(folder: Path, on_step: Callable[[str], None]) -> Iterator[None]:
    """Make the folder and hold its lock during the block; it is said if another command has it.

    Raises:
        ConfigurationError: it cannot be written.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            waiting = "Kafka: waiting for another command's download"
            stack.enter_context(file_lock(folder / _LOCK, on_wait=lambda: on_step(waiting)))
        except OSError as error:
            raise _unwritable(folder, error, hint="XDG_CACHE_HOME=A_FOLDER_YOU_MAY_WRITE sesacctl up") from None
        yield


def _unwritable(folder: Path, error: OSError, *, hint: str) -> ConfigurationError:
    return ConfigurationError(f"cannot keep Kafka's jars in {folder}: {error.strerror or error}", hint=hint)
