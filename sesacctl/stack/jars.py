"""The jars of a Kafka broker: fetched once per user, each checked against the SHA-256 in the committed lock."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
import threading
import tomllib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from sesacctl.errors import ServerNotStarted, UsageError
from sesacctl.stack.process import require

logger = logging.getLogger(__name__)

LOCK = "kafka.lock.toml"
_OTHERS = "locks"
_THREADS = 6
_STEP = 5
_PARTIAL = "partial-"


@dataclass(frozen=True, slots=True)
class Jar:
    """One artifact of the lock."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """As the repository names it."""
        return f"{self.artifact}-{self.version}.jar"

    def is_whole(self, path: Path) -> bool:
        """Whether the file is there with the lock's checksum."""
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except FileNotFoundError:
            return False


@dataclass(frozen=True, slots=True)
class Lock:
    """The committed lock: the version of Kafka and all its jars."""

    kafka: str
    jars: tuple[Jar, ...]


def versions() -> list[str]:
    """Of Kafka, that there is a lock for; the one that this sesacctl was made with is the last."""
    names = [path.name for path in files("sesacctl.stack").joinpath(_OTHERS).iterdir()]
    others = [name.removeprefix("kafka-").removesuffix(".lock.toml") for name in names if name.endswith(".lock.toml")]
    return [*sorted(others, key=_numbers), read_lock().kafka]


def newest(version: str) -> str:
    """The newest one that `version` fits, as `3.9` fits 3.9.1.

    Raises:
        UsageError: there is no lock for any.
    """
    known = versions()
    found = [each for each in known if f"{each}.".startswith(f"{version}.")]
    if not found:
        raise UsageError(f"there is no Kafka {version} here", hint=f"one of: {', '.join(known)}")
    return found[-1]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))


def read_lock(version: str = "") -> Lock:
    """The lock that this sesacctl was made with, or that of another of the `versions` of Kafka."""
    folder = files("sesacctl.stack")
    other = folder.joinpath(_OTHERS, f"kafka-{version}.lock.toml")
    document = tomllib.loads((other if version and other.is_file() else folder.joinpath(LOCK)).read_text())
    return Lock(document["kafka"], tuple(Jar(**jar) for jar in document["jar"]))


def cache_folder() -> Path:
    """Where this user's jars are kept; they are the same for every stack."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "sesacctl" / "jars"


Fetch = Callable[[Jar, Path], Path]


def fetch_with_jgo(jar: Jar, folder: Path) -> Path:
    """Download one jar from jgo's default repository to somewhere below `folder`; any error means it did not work."""
    maven = require("jgo.maven").MavenContext(repo_cache=folder, local_repos=[])
    artifact: Any = maven.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    return Path(artifact.resolve())


def ensure(
    folder: Path,
    lock: Lock,
    *,
    on_step: Callable[[str], None],
    cancel: threading.Event,
    fetch: Fetch = fetch_with_jgo,
) -> list[Path]:
    """All jars of the lock, whole, in the lock's order; a missing or damaged one is fetched again.

    The caller holds a lock on `folder`.

    Raises:
        ServerNotStarted: one could not be fetched, or came with a different checksum twice.
    """
    for left_over in folder.glob(f"{_PARTIAL}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    wanted = [jar for jar in lock.jars if not jar.is_whole(folder / jar.file_name)]
    if wanted:
        require("jgo.maven")
        _fetch_all(wanted, folder, on_step, cancel, fetch)
    return [folder / jar.file_name for jar in lock.jars]


def _fetch_all(
    wanted: Iterable[Jar], folder: Path, on_step: Callable[[str], None], cancel: threading.Event, fetch: Fetch
) -> None:
    wanted = list(wanted)
    with (
        tempfile.TemporaryDirectory(prefix=_PARTIAL, dir=folder) as partial,
        ThreadPoolExecutor(_THREADS, thread_name_prefix="jars") as pool,
    ):
        futures = [pool.submit(_fetch_one, jar, folder, Path(partial), fetch) for jar in wanted]
        try:
            for number, future in enumerate(futures, start=1):
                future.result()
                if number % _STEP == 0 or number == len(wanted):
                    on_step(f"Kafka's jars: {number} of {len(wanted)} fetched")
                if cancel.is_set():
                    pool.shutdown(wait=False, cancel_futures=True)
        except ServerNotStarted:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch_one(jar: Jar, folder: Path, partial: Path, fetch: Fetch) -> None:
    problem = "no attempt was made"
    for attempt in range(2):
        try:
            path = fetch(jar, partial / str(attempt))
        except Exception as error:  # jgo passes on errors of requests and sockets, and plain RuntimeErrors
            problem = _root_cause(error)
        else:
            if jar.is_whole(path):
                path.replace(folder / jar.file_name)
                return
            problem = "what came does not have the SHA-256 of the lock"
        logger.debug("%s: %s", jar.file_name, problem, extra={"action": "jars.fetch_failed"})
    raise ServerNotStarted(
        f"cannot fetch {jar.file_name} for Kafka: {problem}",
        hint="check the network (HTTPS_PROXY, and REQUESTS_CA_BUNDLE for a proxy's own certificate), then: sesacctl up",
    )


def _root_cause(error: BaseException) -> str:
    """What went wrong at the bottom, without the layers of libraries above it."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return f"{type(error).__name__}: {error}"
