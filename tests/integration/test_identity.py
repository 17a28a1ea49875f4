"""Two hosts with one identity, because SESAC_HOME was copied: one stops and says why, the other one goes on."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from sesacctl.errors import IdentityInUse
from sesacctl.events import ORDERS
from sesacctl.pipeline.supervise import supervisor as supervise
from sesacctl.pipeline.supervise.member_ids import Identity
from sesacctl.settings import Settings
from tests.helpers.consumers import check, has_stored
from tests.helpers.events import add_parents, many_orders, send
from tests.helpers.hosts import Host, hosts
from tests.helpers.topics import make_topics
from tests.helpers.waiting import wait_until


@pytest.fixture
def homes(tmp_path: Path) -> list[Path]:
    """Two folders with the same identity."""
    first, second = tmp_path / "first", tmp_path / "second"
    with Identity(first) as original:
        identity = original.id
    (second / "supervisors").mkdir(parents=True)
    (second / "supervisors" / "0.id").write_text(identity)
    return [first, second]


@pytest.fixture
def ready(settings: Settings) -> Settings:
    """Topics, users and a product."""
    make_topics(settings)
    add_parents(settings, users=100)
    return settings


def check_end(host: Host, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert isinstance(host.error, IdentityInUse)
    assert (host.error.exit_code, host.error.retriable) == (3, False)
    assert str(home / "supervisors" / "0.id") in str(host.error)
    assert "delete" in str(host.error.hint)
    assert not [record for record in caplog.records if "died" in record.getMessage()]


def test_a_copied_identity_stops_only_the_older_host(
    ready: Settings, homes: list[Path], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hosts(ready, homes[0]) as [old]:
        send(ready, ORDERS, many_orders(200))
        wait_until(lambda: has_stored(ready, 200), message="the first one runs")
        left: list[object] = []
        monkeypatch.setattr(supervise, "leave_group", lambda *arguments, **_: left.append(arguments))
        with hosts(ready, homes[1]) as [new]:
            old.thread.join(60)
            check_end(old, homes[0], caplog)
            assert not left, "it removes nobody from the group"
            send(ready, ORDERS, many_orders(500))
            wait_until(lambda: has_stored(ready, 700), message="the other one stores everything")
            assert (new.error, new.has_restarted(0)) == (None, True), "and was not disturbed"
    check(ready, 700)


def test_of_two_that_start_at_once_exactly_one_stops(
    ready: Settings, homes: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    with hosts(ready, *homes) as both:
        send(ready, ORDERS, many_orders(200))
        wait_until(lambda: any(host.error for host in both), message="one stops")
        [stopped], [other] = ([h for h in both if bool(h.error) is ended] for ended in (True, False))
        check_end(stopped, homes[both.index(stopped)], caplog)
        stopped.thread.join(60)
        send(ready, ORDERS, many_orders(500))
        wait_until(lambda: has_stored(ready, 700), message="the other one stores everything")
        wait_until(lambda: all(line.partitions for line in other.reports[-1].instances), message="with all instances")
        assert other.error is None
    check(ready, 700)


def test_a_restarted_instance_is_not_mistaken_for_another_host(ready: Settings, homes: list[Path]) -> None:
    with hosts(ready, homes[0]) as [host]:
        for number in range(1, 4):
            send(ready, ORDERS, many_orders(100))
            wait_until(partial(has_stored, ready, 100 * number), message="it runs")
            pid = host.reports[-1].instances[0].pid
            assert pid
            os.kill(pid, signal.SIGKILL)
            wait_until(partial(host.has_restarted, number), message="it is started again")
        send(ready, ORDERS, many_orders(100))
        wait_until(lambda: has_stored(ready, 400), message="it runs on")
        assert host.error is None
    check(ready, 400)


def test_a_name_takes_the_place_of_a_kept_identity(ready: Settings, tmp_path: Path) -> None:
    """As in a pod without a volume: another folder, the same member."""
    named = ready.model_copy(update={"sesac_member": "consumers-0"})
    for number, home in enumerate((tmp_path / "first", tmp_path / "second"), start=1):
        with hosts(named, home) as [host]:
            send(ready, ORDERS, many_orders(100))
            wait_until(partial(has_stored, ready, 100 * number), message="it runs")
            assert host.error is None
            with pytest.raises(IdentityInUse, match="SESAC_MEMBER consumers-0"):
                Identity(home, "consumers-0")
            assert not list(home.glob("supervisors/*.id"))
    check(ready, 200)


def test_two_hosts_of_one_name_are_told_apart(ready: Settings, tmp_path: Path) -> None:
    named = ready.model_copy(update={"sesac_member": "consumers-0"})
    with hosts(named, tmp_path / "first") as [old]:
        send(ready, ORDERS, many_orders(100))
        wait_until(partial(has_stored, ready, 100), message="the first one runs")
        with hosts(named, tmp_path / "second"):
            old.thread.join(60)
            assert isinstance(old.error, IdentityInUse)
            assert "the same SESAC_MEMBER, consumers-0" in str(old.error)
            assert old.error.hint == "give each host a SESAC_MEMBER of its own, then sesacctl consume"
