"""What a drill refuses, and what it explains; drills themselves are in tests/faults."""

from __future__ import annotations

import json
import signal

from tests.conftest import Cli
from tests.helpers.servers import RunningStack


def test_a_drill_of_other_servers_is_refused(sesacctl: Cli, stack: RunningStack) -> None:
    sesacctl.environment["SESAC_HOME"] = str(stack.home)
    done = sesacctl("drill", "broker", REDIS_HOST="redis.example.com")
    assert done.returncode == 3
    assert "REDIS_HOST (environment)" in done.stderr
    assert "unset REDIS_HOST, then sesacctl drill broker" in done.stderr
    assert done.stdout == ""


def test_a_drill_without_a_stack_names_up(bare_sesacctl: Cli) -> None:
    done = bare_sesacctl("drill", "redis")
    assert done.returncode == 4
    assert "sesacctl up" in done.stderr


def test_an_end_before_the_fault_starts_nothing(sesacctl: Cli, stack: RunningStack) -> None:
    sesacctl.environment["SESAC_HOME"] = str(stack.home)
    for how in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process = sesacctl.start("drill", "redis")
        assert process.stderr is not None
        while "looking whether a loop turns" not in (line := process.stderr.readline()):
            assert line, "it has ended"
        process.send_signal(how)
        _, said = process.communicate(timeout=120)
        assert (process.returncode, "starting:" in said) == (130, False), said
        assert said.splitlines()[-1].startswith("interrupted: ")


def test_the_list_needs_no_server_and_no_kind(bare_sesacctl: Cli) -> None:
    assert bare_sesacctl("drill").returncode == 2
    english = json.loads(bare_sesacctl("drill", "--list", "-o", "json").stdout)["items"]
    korean = json.loads(bare_sesacctl("drill", "--list", "--lang", "ko", "-o", "json").stdout)["items"]
    assert [each["kind"] for each in english] == [each["kind"] for each in korean]
    assert len(english) == 7
    assert "컨슈머" in korean[0]["sees"]
    narrow = bare_sesacctl("drill", "--list", COLUMNS="40")
    assert all(len(line) <= 40 for line in narrow.stdout.splitlines())
