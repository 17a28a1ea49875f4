"""The plugin: fixtures for real servers, started when the first test of a run asks for one.

Needs the extra `testing`. Nothing of sesacctl is imported before that: pytest loads this module wherever sesacctl is
installed.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from sesacctl.testing.cluster import KafkaCluster
    from sesacctl.testing.database import Database, PostgresServer
    from sesacctl.testing.keys import KeyDatabase, ValkeyServer
    from sesacctl.testing.loop import Loop
    from sesacctl.testing.run import Run

MARK = "breaks_servers"
_RUN = pytest.StashKey["Run"]()
_FOLDER, _CONTROLLER = "sesac_folder", "sesac_controller"
_FIXTURES = frozenset({"kafka_cluster", "postgres", "valkey", "sesac_servers"})


class _Node(Protocol):
    """A worker of pytest-xdist that is about to start."""

    config: pytest.Config
    workerinput: dict[str, object]


def pytest_addoption(parser: pytest.Parser) -> None:
    """The brokers' shape."""
    parser.addini("sesac_brokers", "brokers of kafka_cluster, from 1 to 5", default="3")
    parser.addini("sesac_kafka", "version of Kafka, as 3.9; default: the one that sesacctl is made with", default="")
    parser.addini("sesac_heap_mb", "memory of each broker's heap in MB, from 192 on", default="384")


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the mark, so that --strict-markers knows it, and of warnings that are for nobody."""
    config.addinivalue_line("markers", f"{MARK}: this test stops servers, so no other worker tests meanwhile")
    # kafka-python's, on Python 3.11 and 3.12: not about the tests that show them
    config.addinivalue_line("filterwarnings", "ignore:(read|open)_text is deprecated:DeprecationWarning")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: _Node) -> None:
    """Have the workers of pytest-xdist share the servers of this run."""
    run = run_of(node.config)
    node.workerinput[_FOLDER], node.workerinput[_CONTROLLER] = str(run.folder), os.getpid()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers when all workers are done, whatever came of the tests."""
    if _RUN in config.stash and not hasattr(config, "workerinput"):
        config.stash[_RUN].close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test that uses servers runs beside those of other workers, or without them if it is marked."""
    if not _FIXTURES & set(getattr(item, "fixturenames", ())):
        return (yield)
    with run_of(item.config).turn(alone=item.get_closest_marker(MARK) is not None):
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Start again what the test has stopped, before its fixtures are cleaned up."""
    run = item.config.stash.get(_RUN, None)
    if run is not None and run.broken:
        run.mend()


def run_of(config: pytest.Config) -> Run:
    """The run of this process, and of the workers whose controller it is."""
    if _RUN not in config.stash:
        from sesacctl.errors import SesacctlError
        from sesacctl.testing.folders import parent
        from sesacctl.testing.run import Options, Run

        try:
            options = Options(
                brokers=int(config.getini("sesac_brokers")),
                kafka=config.getini("sesac_kafka"),
                heap_mb=int(config.getini("sesac_heap_mb")),
            )
        except (SesacctlError, ValueError) as error:
            raise pytest.UsageError(str(error)) from None
        given: dict[str, object] = getattr(config, "workerinput", {})
        folder = Path(str(given[_FOLDER])) if given else parent() / f"sesac-{secrets.token_hex(4)}"
        config.stash[_RUN] = Run(folder, int(str(given.get(_CONTROLLER, os.getpid()))), options, shared=bool(given))
    return config.stash[_RUN]


@pytest.fixture(scope="session")
def kafka_cluster(pytestconfig: pytest.Config) -> KafkaCluster:
    """Three brokers (`sesac_brokers`), which a test may kill: `kafka_cluster.bootstrap_servers`, `.kill(2)`."""
    from sesacctl.testing.cluster import KafkaCluster

    return KafkaCluster(run_of(pytestconfig))


@pytest.fixture
def kafka_prefix(kafka_cluster: KafkaCluster) -> Iterator[str]:
    """What the names of this test's topics begin with; these are deleted after it."""
    from sesacctl.testing.topics import delete_topics

    prefix = f"t{secrets.token_hex(6)}-"
    yield prefix
    delete_topics(kafka_cluster.bootstrap_servers, prefix)


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> PostgresServer:
    """PostgreSQL 18 on a Unix socket: `.restart()`, `.terminate_backends()`."""
    from sesacctl.testing.database import PostgresServer

    return PostgresServer(run_of(pytestconfig))


@pytest.fixture(scope="session")
def postgres_prepare() -> Callable[[Database], object]:
    """Fills the database that each test gets a copy of, once in a run; override it to make your tables."""
    return str  # leaves it empty


@pytest.fixture
def postgres_database(postgres: PostgresServer, postgres_prepare: Callable[[Database], object]) -> Iterator[Database]:
    """This test's own database: `.url`, or `connect(**postgres_database.parameters)`."""
    with postgres.copy(postgres_prepare) as database:
        yield database


@pytest.fixture(scope="session")
def valkey(pytestconfig: pytest.Config) -> ValkeyServer:
    """A Valkey, which is a Redis: `.restart()`."""
    from sesacctl.testing.keys import ValkeyServer

    return ValkeyServer(run_of(pytestconfig))


@pytest.fixture
def valkey_database(valkey: ValkeyServer) -> Iterator[KeyDatabase]:
    """This test's own empty numbered database: `.url`, `.client()`."""
    with valkey.share() as database:
        yield database


@pytest.fixture(scope="session")
def sesac_servers(pytestconfig: pytest.Config) -> Run:
    """All three kinds, started at once: `sesac_servers.home` is the stack's folder."""
    from sesacctl.stack.servers import KINDS
    from sesacctl.testing.database import PostgresServer

    run = run_of(pytestconfig)
    run.start(KINDS)
    PostgresServer(run)
    return run


@pytest.fixture
def sesac_loop(sesac_servers: Run, tmp_path: Path) -> Iterator[Loop]:
    """This test's own loop, with tables and topics: `sesac_loop.run("consume", "--until-empty")`."""
    from sesacctl.broker import topics
    from sesacctl.testing.loop import Loop, part_of

    with part_of(sesac_servers.home) as part:
        topics.init(part.settings)
        loop = Loop(part, tmp_path, sesac_servers.folder)
        yield loop
        loop.close()
