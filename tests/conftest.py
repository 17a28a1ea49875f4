"""Fixtures: real servers, started once per run, and an environment that holds nothing of the developer's own.

`SESAC_TEST_HOME` may name the folder of a running stack (`sesacctl up`) to use instead of starting one.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from sesacctl import log
from sesacctl.settings import Settings
from sesacctl.testing.folders import make_folder
from sesacctl.testing.loop import Part
from sesacctl.testing.plugin import run_of
from tests.helpers import servers
from tests.helpers.prefork import Prefork
from tests.helpers.servers import PrivateServer, RunningStack

_GIVEN_HOME = "SESAC_TEST_HOME"
hypothesis.settings.register_profile("busy", deadline=None)  # a busy machine may hold up any example
hypothesis.settings.load_profile("busy")


def pytest_configure(config: pytest.Config) -> None:
    """Have the run's guardian end whatever its tests start: it finds the run's folder in their PATH."""
    if not hasattr(config, "workerinput"):
        run = run_of(config)
        run.begin()
        os.environ["PATH"] += f"{os.pathsep}{run.folder}"


@pytest.fixture(autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty current folder and none of our variables: no test reads the developer's `.env` or `.sesac`."""
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))
    for name in servers.VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _terminal_signals() -> Iterator[None]:
    """Programs start with signals as a terminal gives them: nohup ignores SIGHUP, and a shell's `&` SIGINT."""
    wanted: dict[signal.Signals, Any] = {signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """What a command sets up in this process is not there for the next test: its stderr is closed by then."""
    loggers = [logging.root, *map(logging.getLogger, ("sesacctl", "kafka"))]
    levels = [each.level for each in loggers]
    yield
    logging.root.handlers[:] = [each for each in logging.root.handlers if not isinstance(each, log._StderrHandler)]
    for each, level in zip(loggers, levels, strict=True):
        each.setLevel(level)


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[RunningStack]:
    """The stack of this run: PostgreSQL, Valkey and three Kafka brokers. Tests must leave it running."""
    given = os.environ.get(_GIVEN_HOME)
    running = RunningStack(Path(given) if given else request.getfixturevalue("sesac_servers").home)
    yield running
    running.close()


@pytest.fixture
def part(stack: RunningStack) -> Iterator[Part]:
    """This test's own database (migrated, empty), Redis database, topic prefix and consumer group."""
    with stack.slice() as own:
        yield own


@pytest.fixture
def settings(part: Part) -> Settings:
    """This test's own part of the stack, as settings."""
    return part.settings


@pytest.fixture
def environment(part: Part, tmp_path: Path) -> dict[str, str]:
    """This test's own part of the stack, as all the environment variables of a command."""
    return servers.clean_environment(**part.environment, SESAC_HOME=str(tmp_path / ".sesac"))


@pytest.fixture(scope="session")
def prefork() -> Iterator[Prefork]:
    """Runs short commands of this worker."""
    runner = Prefork(servers.clean_environment())
    yield runner
    runner.close()


class Cli:
    """Runs the real command line in an empty folder."""

    def __init__(self, folder: Path, environment: dict[str, str], prefork: Prefork | None = None) -> None:
        self.folder = folder
        self.environment = environment
        self._prefork = prefork
        self.stdin: int = subprocess.DEVNULL
        self.own_session = False
        self._running: list[subprocess.Popen[str]] = []

    def __call__(
        self, *arguments: object, timeout: float = 60.0, input: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end; keywords are further environment variables."""
        env = {**self.environment, **environment}
        as_python_starts = any(name.startswith("PYTHON") for name in env)
        run: Any = servers.run_sesacctl if self._prefork is None or as_python_starts else self._prefork.run
        done: subprocess.CompletedProcess[str] = run(
            *map(str, arguments), env=env, cwd=self.folder, timeout=timeout, input=input
        )
        return done

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        """Start and go on; standard output and error are pipes. Killed at the end of the test if it still runs."""
        process = subprocess.Popen(
            [sys.executable, "-m", "sesacctl", *map(str, arguments)],
            env={**self.environment, **environment},
            cwd=self.folder,
            stdin=self.stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=self.own_session,
        )
        self._running.append(process)
        return process

    def close(self) -> None:
        """End what `start` started."""
        for process in self._running:
            process.kill()
            process.communicate()


@pytest.fixture
def sesacctl(environment: dict[str, str], tmp_path: Path, prefork: Prefork) -> Iterator[Cli]:
    """The command line, pointed to this test's own part of the stack."""
    folder = tmp_path / "work"
    folder.mkdir()
    cli = Cli(folder, environment, prefork)
    yield cli
    cli.close()


@pytest.fixture
def bare_sesacctl(tmp_path: Path, prefork: Prefork) -> Iterator[Cli]:
    """The command line without any server or setting."""
    folder = tmp_path / "bare"
    folder.mkdir()
    cli = Cli(folder, servers.clean_environment(SESAC_HOME=str(tmp_path / ".sesac")), prefork)
    yield cli
    cli.close()


@pytest.fixture(scope="module")
def _private_home() -> Iterator[Path]:
    home = make_folder() / ".sesac"
    try:
        servers.up(home)
        yield home
    finally:
        if home.exists():
            servers.down(home)
        shutil.rmtree(home.parent)


@pytest.fixture
def private_stack(_private_home: Path) -> Iterator[RunningStack]:
    """A stack whose servers a test may kill; shared by the module's tests, complete again for each."""
    running = servers.up(_private_home)
    yield running
    running.close()


@pytest.fixture
def private_valkey(short_path: Path) -> Iterator[PrivateServer]:
    """An empty Valkey that a test may kill."""
    with servers.private_valkey(short_path / "valkey") as server:
        yield server


@pytest.fixture
def private_postgres(short_path: Path) -> Iterator[PrivateServer]:
    """A PostgreSQL with a migrated, empty database, that a test may kill."""
    with servers.private_postgres(short_path / "postgres") as server:
        yield server


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder with a path that is short enough for a socket's."""
    path = make_folder()
    yield path
    shutil.rmtree(path)
