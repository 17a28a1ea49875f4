"""An instance that gets no connection to PostgreSQL gives its partitions away, and comes back when it has one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient

from sesacctl.broker import clients, topics
from sesacctl.broker.groups import read_members
from sesacctl.events import ORDERS
from sesacctl.pipeline.audit.until_empty import UntilEmpty
from sesacctl.pipeline.consume import instance as consume
from sesacctl.pipeline.supervise import prerequisites
from sesacctl.pipeline.supervise.supervisor import Supervisor
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import check, has_stored, running
from tests.helpers.events import add_parents, many_orders, query, send
from tests.helpers.waiting import wait_until


class Door:
    """A folder with PostgreSQL's socket in it, or not: to those who come through it, the server is away."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._name = f".s.PGSQL.{settings.postgres_port}"
        self._socket = Path(str(settings.postgres_host)) / self._name
        self._folder = folder
        self._database = settings
        self.settings = settings.model_copy(update={"postgres_host": str(folder)})

    def open(self) -> None:
        (self._folder / self._name).symlink_to(self._socket)

    def close(self) -> None:
        """For those who are in, too."""
        (self._folder / self._name).unlink()
        query(
            self._database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'sesacctl/consume%'",
        )


@pytest.fixture
def door(settings: Settings, short_path: Path) -> Door:
    topics.init(settings)
    add_parents(settings, users=100)
    return Door(short_path, settings)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consume, "AWAY_SECONDS", 1.0)


@pytest.fixture
def admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=settings.brokers)
    yield client
    client.close()


def members(admin: KafkaAdminClient, settings: Settings) -> int:
    [group] = admin.describe_groups([settings.kafka_group]).values()
    return len(group["members"])


@pytest.mark.usefixtures("hasty")
def test_an_unconnected_instance_gives_its_partitions_away(door: Door, settings: Settings) -> None:
    with running(door.settings) as away, running(settings) as there:
        wait_until(
            lambda: away.errors or there.errors or len(there.instance._status.partitions) == 15,
            message="the partitions are not given away",
        )
        send(settings, ORDERS, many_orders(90))
        wait_until(lambda: there.errors or has_stored(settings, 90), message="the orders wait for one that is away")
        assert away.instance._status.waiting_for == "PostgreSQL"
        door.open()
        wait_until(lambda: away.errors or away.instance._status.partitions, message="it does not come back")
        send(settings, ORDERS, many_orders(90))
        wait_until(lambda: away.errors or there.errors or has_stored(settings, 180), message="not everything is stored")
    check(settings, 180)


@pytest.mark.usefixtures("hasty")
def test_an_instance_that_is_stopped_while_it_is_away_ends(door: Door) -> None:
    with running(door.settings) as away:
        wait_until(lambda: away.errors or away.instance._postgres.away_since, message="it does not try")
        wait_until(lambda: away.errors or not away.instance._member.joined, message="it does not leave")
        wait_until(lambda: away.errors or not away.instance._member.joined)


def test_an_instance_that_is_away_has_left_the_group(
    door: Door, settings: Settings, admin: KafkaAdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A static member that only closes keeps its partitions for its session, which is a long one here."""
    monkeypatch.setattr(clients, "SESSION_TIMEOUT_MS", 300_000)

    def own_members() -> int:
        return read_members(admin, settings.kafka_group).own

    with running(door.settings) as away:
        wait_until(lambda: away.errors or own_members() == 1, message="it does not join")
        monkeypatch.setattr(consume, "AWAY_SECONDS", 0.0)
        wait_until(lambda: away.errors or own_members() == 0, message="it keeps its place")


def test_all_instances_leave_and_return_without_a_restart(
    door: Door, settings: Settings, sesacctl: Cli, admin: KafkaAdminClient
) -> None:
    door.open()
    send(settings, ORDERS, many_orders(50))
    run = sesacctl.start("consume", "-n", 2, "-o", "jsonl", POSTGRES_HOST=door.settings.postgres_host)
    wait_until(lambda: has_stored(settings, 50), message="the first orders are not stored")
    door.close()
    wait_until(lambda: members(admin, settings) == 0, timeout=90, message="they stay in the group")
    send(settings, ORDERS, many_orders(50))
    door.open()
    wait_until(lambda: has_stored(settings, 100), message="they do not come back")
    run.terminate()
    out, log = run.communicate(timeout=60)
    assert run.returncode == 0, log
    last = json.loads(out.splitlines()[-1])
    assert last["restarts"] == 0
    check(settings, 100)


def test_until_empty_ends_when_all_have_left_and_come_back(
    door: Door, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.open()
    send(settings, ORDERS, many_orders(50))
    done = UntilEmpty(door.settings)
    (Path(str(door.settings.postgres_host)) / door._name).unlink()
    reports: list[object] = []
    monkeypatch.setattr(prerequisites, "require", lambda _: None)  # it was there at the start
    supervisor = Supervisor(door.settings, instances=2, done=done)
    run = threading.Thread(target=lambda: reports.append(supervisor.run(threading.Event())))
    run.start()
    wait_until(lambda: all(line.state == "waiting" for line in supervisor.report().instances), message="nobody waits")
    wait_until(
        lambda: supervisor.report().seconds > consume.AWAY_SECONDS + 5 and run.is_alive(), message="it has ended"
    )
    door.open()
    run.join(60)
    assert not run.is_alive()
    [report] = reports
    assert (report.totals.stored, report.restarts) == (50, 0)  # type: ignore[attr-defined]
    check(settings, 50)
