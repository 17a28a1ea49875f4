"""`consume --wait`: what it needs may come later than itself."""

from __future__ import annotations

import signal
import subprocess

import pytest

from sesacctl.events import ORDERS
from sesacctl.pipeline.supervise.supervisor import DRAIN_SECONDS
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import check, has_stored
from tests.helpers.events import add_parents, many_orders, query, send
from tests.helpers.listeners import listener
from tests.helpers.servers import NOWHERE, PrivateServer
from tests.helpers.topics import make_topics
from tests.helpers.waiting import BUSY_SECONDS, wait_until


def say(process: subprocess.Popen[str], text: str) -> None:
    """Return when it has said so."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    pytest.fail(f"it ended without saying {text}: {process.wait()}")


def finish(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=DRAIN_SECONDS + BUSY_SECONDS)
    assert process.returncode == 0, errors


def test_postgresql_is_started_after_the_command(
    settings: Settings, sesacctl: Cli, private_postgres: PrivateServer
) -> None:
    own = private_postgres.over(settings)
    make_topics(own)
    add_parents(own, users=100)
    send(own, ORDERS, many_orders(300))
    private_postgres.stop()
    process = sesacctl.start("consume", "-n", 2, "--wait", **private_postgres.environment)
    say(process, "waiting: PostgreSQL at ")
    private_postgres.start()
    wait_until(lambda: has_stored(own, 300), message="everything is stored")
    finish(process)
    check(own, 300)


def test_schema_and_topics_come_after_the_command(settings: Settings, sesacctl: Cli) -> None:
    query(settings, "ALTER TABLE sesacctl_version RENAME TO hidden")
    process = sesacctl.start("consume", "-n", 1, "--wait")
    say(process, "waiting: ")
    query(settings, "ALTER TABLE hidden RENAME TO sesacctl_version")
    say(process, "topic")
    make_topics(settings)
    add_parents(settings, users=100)
    send(settings, ORDERS, many_orders(50))
    wait_until(lambda: has_stored(settings, 50), message="everything is stored")
    finish(process)


@pytest.mark.usefixtures("settings")
def test_a_signal_ends_the_wait_at_once(sesacctl: Cli) -> None:
    with listener() as silent:
        process = sesacctl.start(
            "consume", "--wait", "--timeout", "10m", KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{silent.port}"
        )
        wait_until(lambda: silent.used, message="it waits for an answer")
        process.send_signal(signal.SIGTERM)
        assert process.wait(3 + BUSY_SECONDS) == 0


def test_waiting_ends(bare_sesacctl: Cli) -> None:
    bare_sesacctl.environment |= NOWHERE
    done = bare_sesacctl("consume", "--wait", "--timeout", "1s")
    assert done.returncode == 4
    assert "cannot be reached" in done.stderr


def test_a_timeout_without_wait_is_a_slip(bare_sesacctl: Cli) -> None:
    done = bare_sesacctl("consume", "--timeout", "1s", "--yes")
    assert (done.returncode, "--timeout requires --wait" in done.stderr) == (2, True)
