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

from sesacctl.errors import JarsMissing, ServerNotStarted, SesacctlError, UsageError
from sesacctl.stack.process import require

logger = logging.getLogger(__name__)

LOCK = "kafka.lock.toml"
_OTHERS = "locks"
_THREADS = 6
_STEP = 5
_NAMED = 3  # of those that are missing
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
            if not path.is_file():  # the end of a pipe may never come
                return False
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except OSError:
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
"""Brings one jar to somewhere below the folder and returns where; any error means it did not work."""


def from_repository(mirror: str = "") -> Fetch:
    """Downloads by jgo, from Maven Central or the `mirror` of it at this address."""
    places = {"mirror": mirror.rstrip("/")} if mirror else None

    def fetch(jar: Jar, folder: Path) -> Path:
        maven = require("jgo.maven").MavenContext(repo_cache=folder, local_repos=[], remote_repos=places)
        artifact: Any = maven.project(jar.group, jar.artifact).at_version(jar.version).artifact()
        return Path(artifact.resolve())

    return fetch


def from_folder(source: Path, otherwise: Fetch) -> Fetch:
    """Takes what is whole in `source`, and has the others fetched."""

    def fetch(jar: Jar, folder: Path) -> Path:
        if not jar.is_whole(source / jar.file_name):
            return otherwise(jar, folder)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / jar.file_name
        try:
            path.hardlink_to(source / jar.file_name)  # nothing writes into a jar: a second copy would only take room
        except OSError:
            shutil.copyfile(source / jar.file_name, path)
        return path

    return fetch


def from_nowhere(jar: Jar, _folder: Path) -> Path:
    """Brings none: nothing is taken from the network.

    Raises:
        JarsMissing: always.
    """
    raise JarsMissing(f"{jar.file_name} is not here, and nothing is taken from the network")


def missing(folder: Path, lock: Lock) -> list[Jar]:
    """Those that are not in the folder, or not as the lock has them."""
    return [jar for jar in lock.jars if not jar.is_whole(folder / jar.file_name)]


def require_all(folder: Path, lock: Lock, *, hint: str | None = None) -> None:
    """Return if all are in the folder and whole.

    Raises:
        JarsMissing: some are not; names them.
    """
    if gone := missing(folder, lock):
        names = ", ".join(jar.file_name for jar in gone[:_NAMED])
        if len(gone) > _NAMED:
            names += f" and {len(gone) - _NAMED} more"
        raise JarsMissing(
            f"{len(gone)} of Kafka's {len(lock.jars)} jars are missing or damaged in {folder}: {names}", hint=hint
        )


def ensure(
    folder: Path,
    lock: Lock,
    *,
    on_step: Callable[[str], None],
    cancel: threading.Event,
    fetch: Fetch | None = None,
) -> list[Path]:
    """All jars of the lock, whole, in the lock's order; a missing or damaged one is fetched again.

    The caller holds a lock on `folder`. Without `fetch` they come from Maven Central.

    Raises:
        ServerNotStarted: one could not be fetched, or came with a different checksum twice.
    """
    for left_over in folder.glob(f"{_PARTIAL}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    if wanted := missing(folder, lock):
        _fetch_all(wanted, folder, on_step, cancel, fetch or from_repository())
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
        except (ServerNotStarted, KeyboardInterrupt):
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch_one(jar: Jar, folder: Path, partial: Path, fetch: Fetch) -> None:
    problem = "no attempt was made"
    for attempt in range(2):
        try:
            path = fetch(jar, partial / str(attempt))
        except SesacctlError:
            raise
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
        hint="check the network (HTTPS_PROXY, REQUESTS_CA_BUNDLE for a proxy's own certificate, or SESAC_MAVEN_MIRROR),"
        " then: sesacctl up",
    )


def _root_cause(error: BaseException) -> str:
    """What went wrong at the bottom, without the layers of libraries above it."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return f"{type(error).__name__}: {error}"
