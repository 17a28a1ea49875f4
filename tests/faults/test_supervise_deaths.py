"""Processes of ours that are killed or fail: instances, their fork server, Python's resource tracker."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess

import psutil
import pytest

from sesacctl.broker import topics
from sesacctl.errors import CannotKeepAlive, ServerRefused
from sesacctl.events import ORDERS
from sesacctl.pipeline.audit.report import audit
from sesacctl.pipeline.supervise.member import ConsumeReport
from sesacctl.pipeline.supervise.supervisor import DRAIN_SECONDS, SAME_FAILURES, Supervisor
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import check, consuming, has_stored, instances, stored
from tests.helpers.events import add_parents, many_orders, query, send
from tests.helpers.waiting import BUSY_SECONDS, wait_until


@pytest.fixture
def ready(settings: Settings) -> Settings:
    """Topics, users and a product."""
    topics.init(settings)
    add_parents(settings, users=100)
    return settings


def helper(supervisor: int, name: str) -> int:
    """The pid of the supervisor's `forkserver` or `resource_tracker`."""
    [found] = [each for each in psutil.Process(supervisor).children() if f"{name} import" in " ".join(each.cmdline())]
    return int(found.pid)


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def kill_fork_server(process: subprocess.Popen[str]) -> None:
    kill(helper(process.pid, "forkserver"))


def kill_fork_server_and_instances(process: subprocess.Popen[str]) -> None:
    kill(*instances(process.pid), helper(process.pid, "forkserver"))


def kill_fork_server_before_an_instance(process: subprocess.Popen[str]) -> None:
    victim, _ = instances(process.pid)
    kill(helper(process.pid, "forkserver"))
    kill(victim)


def kill_resource_tracker_and_an_instance(process: subprocess.Popen[str]) -> None:
    kill(helper(process.pid, "resource_tracker"), instances(process.pid)[0])


def kill_fork_server_while_it_is_asked(process: subprocess.Popen[str]) -> None:
    server, supervisor = helper(process.pid, "forkserver"), psutil.Process(process.pid)
    before = supervisor.num_fds()
    victim = instances(process.pid)[0]
    os.kill(server, signal.SIGSTOP)
    kill(victim)
    wait_until(lambda: supervisor.num_fds() > before + 2, message="it waits for the fork server")
    kill(server)


@pytest.mark.parametrize(
    "strike",
    [
        kill_fork_server,
        kill_fork_server_and_instances,
        kill_fork_server_before_an_instance,
        kill_fork_server_while_it_is_asked,
        kill_resource_tracker_and_an_instance,
    ],
    ids=lambda strike: strike.__name__,
)
def test_killing_any_process_lets_the_others_continue(
    ready: Settings, sesacctl: Cli, strike: Callable[[subprocess.Popen[str]], None]
) -> None:
    query(ready, "ALTER TABLE orders DROP CONSTRAINT orders_pkey")
    process = sesacctl.start("consume", "-n", 2)
    send(ready, ORDERS, many_orders(500))
    wait_until(lambda: has_stored(ready, 500), message="both run")
    family = psutil.Process(process.pid).children(recursive=True)
    strike(process)
    send(ready, ORDERS, many_orders(1_000))
    wait_until(lambda: has_stored(ready, 1_500), message="everything is stored")
    family += psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=DRAIN_SECONDS + BUSY_SECONDS)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert "identity" not in errors
    assert "died with exit code" not in errors or strike is not kill_fork_server, "it is not needed for what runs"
    wait_until(lambda: not any(each.is_running() for each in family), message="none is left behind")
    check(ready, 1_500)


def test_a_fork_server_death_mid_request_may_leave_a_process(ready: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    start, asked = ForkServerProcess.start, iter(("dead", "made, and not named"))

    def die(process: ForkServerProcess) -> None:
        how = next(asked, None)
        if how == "dead":
            raise ConnectionRefusedError
        start(process)
        if how:
            raise EOFError

    monkeypatch.setattr(ForkServerProcess, "start", die)
    with consuming(ready, instances=1) as reports:
        send(ready, ORDERS, many_orders(100))
        wait_until(lambda: has_stored(ready, 100), message="the one without a name stores")
        unnamed = wait_until(lambda: reports[0].instances[0].pid)
        assert unnamed
        assert reports[0].restarts == 1
        kill(unnamed)
        send(ready, ORDERS, many_orders(100))
        wait_until(lambda: has_stored(ready, 200), message="another one takes its place")
        wait_until(lambda: reports[0].restarts == 2)
    check(ready, 200)


def test_a_repeated_fault_ends_consume_with_the_reason(ready: Settings, caplog: pytest.LogCaptureFixture) -> None:
    reports: list[ConsumeReport] = []
    send(ready, ORDERS, many_orders(900))
    supervisor = Supervisor(ready, instances=2, fail_at="before commit")
    reason = r"RuntimeError: planted before commit \(process\.py:\d+\)"
    with pytest.raises(CannotKeepAlive, match=f"instance 0 failed {SAME_FAILURES} times in a row: {reason}"):
        supervisor.run(threading.Event(), on_report=reports.append, interval=0.1)
    assert supervisor.report().restarts == SAME_FAILURES - 1
    assert any("planted before commit" in (line.error or "") for line in reports[-1].instances)
    shown = [record for record in caplog.records if record.exc_info]
    assert [record.levelno for record in shown] == [logging.ERROR]
    assert "in checkpoint" in str(shown[0].exc_info and shown[0].exc_info[1]), "the traceback of the instance"
    assert stored(ready) > 0, "the healthy one has stored what it polled"
    assert audit(ready).missing == 0


def test_an_unexpected_postgresql_error_stops_consume_once(ready: Settings, sesacctl: Cli) -> None:
    query(
        ready,
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'index is corrupted' USING ERRCODE = 'XX000'; END $$;"
        "CREATE TRIGGER broken BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION broken()",
    )
    send(ready, ORDERS, many_orders(300))
    done = sesacctl("consume", "-n", 3)
    assert done.returncode == ServerRefused.exit_code
    assert "index is corrupted" in done.stderr
    assert "Traceback" not in done.stderr
    assert "starting it again" not in done.stderr
    assert stored(ready) == 0
