"""How loops start: they wait for what is not there yet, and say over HTTP and in JSON what they wait for."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.settings import Settings
from sesacctl.stack import ports
from tests.conftest import Cli
from tests.helpers.cache_data import fill
from tests.helpers.servers import NOWHERE
from tests.helpers.topics import make_topics
from tests.helpers.waiting import BUSY_SECONDS, wait_until
from tests.helpers.web import ask

JSON = {"SESAC_LOG_FORMAT": "json"}


def is_ready(port: int) -> bool:
    return ask(port, "/readyz")[0] == 200


def waits_for(port: int, words: str) -> bool:
    status, text = ask(port, "/readyz")
    return status == 503 and words in text


def finish(process: subprocess.Popen[str]) -> list[dict[str, object]]:
    """End it by SIGTERM: it ends well, and its stderr is JSON alone."""
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=10 + BUSY_SECONDS)
    assert process.returncode == 0, errors
    return documents(errors)


def documents(errors: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in errors.splitlines()]
    assert all(isinstance(document, dict) and document["level"] and document["action"] for document in found), errors
    return found


def test_loops_wait_for_what_comes_after_them(settings: Settings, sesacctl: Cli) -> None:
    """Started before rows, topics and cache, as by an orchestrator: each is alive, then ready, and none has ended."""
    sesacctl.environment |= JSON | {"SESAC_WAIT": "5m"}
    redis_away = {"REDIS_PORT": "1"}
    consume, produce, refresh = ports.choose(3)
    started = {
        "produce": sesacctl.start("produce", "--rate", "20", "--metrics-port", produce),
        "consume": sesacctl.start("consume", "-n", "2", "--metrics-port", consume, **redis_away),
        "refresh": sesacctl.start(
            "cache", "refresh", "--loop", "50", "--metrics-port", refresh, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1"
        ),
    }
    wait_until(lambda: waits_for(produce, "The cache is empty"), message="the producer waits for rows")
    wait_until(lambda: waits_for(consume, "does not exist"), message="consumers wait for topics")
    wait_until(lambda: is_ready(refresh), message="the cache worker does not need Kafka")
    assert [ask(port, "/livez") for port in (consume, produce, refresh)] == [(200, "ok\n")] * 3
    assert "consume (process" in sesacctl("health", "--live").stdout
    make_topics(settings)
    wait_until(lambda: is_ready(consume), message="consumers do not need Redis")
    fill(settings, users=20, products=20)
    with Refresher(settings) as refresher:
        refresher.run_once()
    wait_until(lambda: is_ready(produce), message="the producer has rows")
    said = {name: finish(process) for name, process in started.items()}
    for name in ("produce", "consume"):
        assert any(str(line["action"]) == f"{name}.waiting" for line in said[name])
    assert any(line["action"] == "next" for line in said["produce"]), "hints are JSON, too"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("consume", "--foo"), 2),
        (("audit",), 4),
        (("health", "--live"), 5),
        (("produce", "--count", "1"), 4),
        (("offsets", "reset", "--to", "nonsense"), None),
    ],
)
def test_errors_and_hints_are_json(bare_sesacctl: Cli, arguments: tuple[str, ...], code: int | None) -> None:
    bare_sesacctl.environment |= JSON | NOWHERE
    done = bare_sesacctl(*arguments)
    assert code is None or done.returncode == code
    assert documents(done.stderr)[-1]["level"] == "error"


def test_the_option_speaks_json_like_the_variable(bare_sesacctl: Cli) -> None:
    bare_sesacctl.environment |= NOWHERE
    done = bare_sesacctl("audit", "--log-format", "json")
    [said] = documents(done.stderr)
    assert (said["action"], said["exit_code"]) == ("error", 4)
    assert said["next"] == "start that server, or set POSTGRES_HOST and POSTGRES_PORT"


def test_waiting_ends_with_the_error_of_what_is_missing(bare_sesacctl: Cli) -> None:
    bare_sesacctl.environment |= NOWHERE
    done = bare_sesacctl("cache", "refresh", "--wait", "--timeout", "1s")
    assert done.returncode == 4
    assert "cannot be reached" in done.stderr
    done = bare_sesacctl("produce", "--timeout", "1s")
    assert (done.returncode, "sesacctl produce --wait --timeout 2m" in done.stderr) == (2, True)
