"""The folder of a local stack: where everything is, what was chosen, and who may read it."""

from __future__ import annotations

import json
import logging
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sesacctl.errors import ConfigurationError
from sesacctl.stack import leftovers
from sesacctl.stack.filelock import file_lock
from sesacctl.stack.process import Account

logger = logging.getLogger(__name__)

STATE = "stack.json"
ENVIRONMENT = "stack.env"
LOCK = "stack.lock"
_OURS = ("data", "logs", "run", "socket", ENVIRONMENT, LOCK, STATE)  # the last one marks the folder as a stack's
# A socket's path has at most 107 bytes on Linux and 103 on macOS; PostgreSQL adds `/.s.PGSQL.5432.lock`.
_SOCKET_FOLDER_BYTES = 84
# libpq splits hosts at commas; people read `stack.env` into a shell.
_AWKWARD = frozenset(",$'\"\\\n")


@dataclass(slots=True)
class State:
    """What was chosen at the first start and is kept: ports (0 = not chosen yet), the socket's folder, Kafka's id.

    `kafka` is the version of the brokers (empty: the one that this sesacctl is made with), `heap_mb` each one's memory.
    """

    cluster_id: str = ""
    valkey_port: int = 0
    kafka_ports: list[list[int]] = field(default_factory=list)
    """[broker, controller] of each broker."""
    socket_folder: str = ""
    brokers: int = 3
    kafka: str = ""
    heap_mb: int = 384


class Layout:
    """Paths below the stack's folder. Nothing is created before `own` or `create`."""

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.data = self.home / "data"
        self.logs = self.home / "logs"
        self.run = self.home / "run"
        self.own_socket_folder = self.home / "socket"
        self.lock = self.home / LOCK
        self.environment = self.home / ENVIRONMENT
        self._state = self.home / STATE

    @property
    def exists(self) -> bool:
        """Whether a stack was ever started here."""
        return self._state.exists()

    @contextmanager
    def own(self, on_wait: Callable[[], None]) -> Iterator[None]:
        """Make the folders and hold the stack's lock; `on_wait` is called if another command has it.

        Raises:
            ConfigurationError: they cannot be made, or the folder is something else.
        """
        with ExitStack() as held:
            try:
                self.home.mkdir(parents=True, exist_ok=True)
                held.enter_context(file_lock(self.lock, on_wait=on_wait))
                self.create()
            except OSError as error:
                raise ConfigurationError(
                    f"cannot keep the servers' state in {self.home}: {error.strerror or error}",
                    hint="SESAC_HOME=A_FOLDER_YOU_MAY_WRITE sesacctl up",
                ) from None
            yield

    def create(self) -> None:
        """Make the folders, for this user only (root's PostgreSQL runs as another user, who may pass through)."""
        self.home.mkdir(parents=True, exist_ok=True)
        if not self.exists:
            if any((self.home / name).exists() for name in ("data", "logs", "run")):
                raise ConfigurationError(
                    f"{self.home} holds folders that are not sesacctl's", hint="SESAC_HOME=ANOTHER_FOLDER sesacctl up"
                )
            self.save(State())
        self.home.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for folder in (self.data, self.logs, self.run):
            folder.mkdir(exist_ok=True, mode=0o711)

    def load(self) -> State:
        """The state; a damaged file counts as missing, since everything in it can be chosen again."""
        try:
            return State(**json.loads(self._state.read_text()))
        except (OSError, ValueError, TypeError):
            return State()

    def save(self, state: State) -> None:
        """Keep it, whole or not at all; what is as usual is left out, as older versions know nothing of it."""
        usual = asdict(State())
        kept = {name: value for name, value in asdict(state).items() if value != usual[name]}
        _write(self._state, json.dumps(kept, indent=2) + "\n")

    def write_environment(self, values: Mapping[str, str]) -> None:
        """`stack.env`, which `Settings` reads."""
        _write(self.environment, "".join(f"{name}='{value}'\n" for name, value in values.items()))

    def read_environment(self) -> dict[str, str]:
        """What `write_environment` wrote; empty when no stack runs."""
        if not self.environment.exists():
            return {}
        lines = (line.partition("=") for line in self.environment.read_text().splitlines() if line)
        return {name: value.strip("'") for name, _, value in lines}

    def choose_socket_folder(self, chosen: str) -> str:
        """A folder for PostgreSQL's socket: the stack's own, or, if its path is too long, a new temporary one.

        `chosen` is the one of the last time, kept if it is still there.
        """
        own = self.own_socket_folder
        if len(os.fsencode(own)) <= _SOCKET_FOLDER_BYTES and not _AWKWARD & set(str(own)):
            return str(own)
        return chosen if chosen and Path(chosen).is_dir() else tempfile.mkdtemp(prefix="sesacctl-")

    def unfinished(self, server: str) -> Path:
        """Where a server's data folder is prepared, to be renamed when it is complete; leftovers of others are removed.

        The name is this process's own: a killed command may have left a program that still writes to its folder.
        """
        for left_over in self.data.glob(f"{server}.new-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        return self.data / f"{server}.new-{os.getpid()}"

    def purge(self) -> list[Path]:
        """Delete what `create`, the servers and loops made, and the folder if nothing else is in it.

        Returns what stays, as a loop that runs on this machine uses it.

        Raises:
            ConfigurationError: something cannot be deleted.
        """
        try:
            for path in (*(self.home / name for name in _OURS), Path(self.load().socket_folder or self.run)):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            left = leftovers.clear(self.home)
            if not any(self.home.iterdir()):
                self.home.rmdir()
            return left
        except OSError as error:
            raise ConfigurationError(f"cannot delete {self.home}: {error}", hint="sesacctl down --purge") from error


def server_account() -> Account | None:
    """The account that PostgreSQL runs as: this user, or, as PostgreSQL refuses root, an account without rights."""
    if os.geteuid() != 0:
        return None
    for name in ("pgserver", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise ConfigurationError("PostgreSQL does not run as root, and there is no user 'nobody'", hint="useradd pgserver")


def make_traversable(path: Path) -> None:
    """Let other users pass the folders above `path` (not list them)."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
            logger.info("other users can now traverse %s", folder, extra={"action": "stack.make_traversable"})


def _write(path: Path, text: str) -> None:
    """Atomically, for this user only."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)
