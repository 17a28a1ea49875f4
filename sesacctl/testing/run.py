"""The servers of one run of pytest, which its workers share, in a folder that is gone at its end."""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import warnings
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sesacctl.errors import UsageError
from sesacctl.testing.folders import available_bytes

HOME = ".sesac"
_BESIDE_HEAP_MB = 180
"""What a broker holds beside its heap, measured with Kafka 4.4 after some hundred topics."""
_OTHERS_MB = 400


class SmallMachine(UserWarning):
    """The servers may not have the memory that they need."""


@dataclass(frozen=True, slots=True)
class Options:
    """Of the brokers: how many (1 to 5), which version (empty: the newest), and how large each one's heap may be."""

    brokers: int = 3
    kafka: str = ""
    heap_mb: int = 384

    def __post_init__(self) -> None:
        """See that they can be had.

        Raises:
            UsageError: they cannot.
        """
        if not 1 <= self.brokers <= 5:
            raise UsageError(f"sesac_brokers is {self.brokers}", hint="from 1 to 5")
        if not 192 <= self.heap_mb <= 8192:
            raise UsageError(f"sesac_heap_mb is {self.heap_mb}", hint="from 192 to 8192")

    @property
    def need_mb(self) -> int:
        """Memory that the servers take, about."""
        return self.brokers * (self.heap_mb + _BESIDE_HEAP_MB) + _OTHERS_MB


class Run:
    """What the processes of a run know of each other: `folder`, and the pid of the one that ends last.

    `shared`: whether other workers test at the same time.
    """

    def __init__(self, folder: Path, controller: int, options: Options, *, shared: bool, home: str = HOME) -> None:
        self.folder = folder
        self.home = folder / home
        self.options = options
        self.shared = shared
        self._controller = controller
        self._started = set[str]()
        self.alone = not shared
        """Whether the test that runs now has the servers for itself."""
        self.broken = False
        """Whether it has stopped, killed or paused one."""

    def begin(self) -> None:
        """Make the folder, and have a guardian for it; once in a run.

        Raises:
            ConfigurationError: the servers are not installed.
        """
        from sesacctl.stack.filelock import file_lock
        from sesacctl.stack.process import require
        from sesacctl.testing import guardian

        require("psutil")
        self.folder.mkdir(mode=0o711, exist_ok=True)
        with file_lock(self.folder / "begin.lock", on_wait=lambda: None):
            noted = self.folder / "guarded"
            if not noted.exists():
                guardian.watch(self.folder, self._controller)
                noted.touch()

    def start(self, kinds: Collection[str]) -> None:
        """Start what does not run of these servers.

        Raises:
            ServerNotStarted: one did not start.
            ConfigurationError: the servers are not installed.
        """
        from sesacctl.stack import jars, stack
        from sesacctl.stack.layout import Layout, State

        self.begin()
        layout = Layout(self.home)
        with layout.own(on_wait=lambda: None):
            if not layout.load().cluster_id:
                self._look_at_memory()
                version = jars.newest(self.options.kafka) if self.options.kafka else ""
                layout.save(State(brokers=self.options.brokers, kafka=version, heap_mb=self.options.heap_mb))
        stack.up(self.home, kinds=kinds, mirror=os.environ.get("SESAC_MAVEN_MIRROR", ""))
        self._started.update(kinds)

    def _look_at_memory(self) -> None:
        available = available_bytes()
        if available is not None and available >> 20 < self.options.need_mb:
            warnings.warn(
                f"the servers take about {self.options.need_mb} MB and {available >> 20} MB are available: "
                "if they are slow or end, set sesac_brokers = 1 or a smaller sesac_heap_mb (not below 192)",
                SmallMachine,
                stacklevel=2,
            )

    def break_servers(self) -> None:
        """Called before one is stopped, killed or paused.

        Raises:
            UsageError: tests of other workers use them now.
        """
        if not self.alone:
            raise UsageError(
                "tests of other workers use these servers too", hint="mark this test: @pytest.mark.breaks_servers"
            )
        self.broken = True

    def mend(self) -> None:
        """Have all servers run again that this run has started."""
        from sesacctl.stack.layout import Layout
        from sesacctl.stack.process import send
        from sesacctl.stack.servers import Servers

        layout = Layout(self.home)
        for program in Servers(layout, layout.load()).programs:
            send(program, signal.SIGCONT)
        self.start(self._started)
        self.broken = False

    @contextmanager
    def turn(self, *, alone: bool) -> Iterator[None]:
        """A test's turn: beside those of other workers, or `alone`, when these have ended and before others begin."""
        if not self.shared:
            yield
            return
        self.begin()
        with ExitStack() as held:
            with _locked(self.folder / "queue.lock", fcntl.LOCK_EX):  # so that one who waits to be alone is not passed
                held.enter_context(_locked(self.folder / "turn.lock", fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
            self.alone = alone
            held.callback(setattr, self, "alone", False)
            yield

    @contextmanager
    def another(self, options: Options) -> Iterator[Run]:
        """Servers of a test's own for a while, in the same folder."""
        from sesacctl.testing import guardian

        own = Run(self.folder, self._controller, options, shared=False, home=f"own-{secrets.token_hex(3)}")
        try:
            yield own
        finally:
            guardian.end_servers(own.home)

    def close(self) -> None:
        """Stop all servers, and delete the folder."""
        if self.folder.exists():
            from sesacctl.testing import guardian

            guardian.clear(self.folder)


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
