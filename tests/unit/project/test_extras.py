"""Without extras every module can be imported, and a command that needs one says which and how to get it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.documents import ROOT
from tests.helpers.servers import clean_environment

MODULES = ROOT / "tests" / "release" / "modules.py"
# A command of each extra but `msk`, which only a setting asks for.
COMMANDS = [("up", "local"), ("demo", "local"), ("metrics --once", "metrics"), ("dashboard", "web")]
COMMANDS += [("produce --metrics-port 1 --yes", "metrics"), ("consume --metrics-port 1 --yes", "metrics")]
COMMANDS += [("cache refresh --loop 50 --metrics-port 1 --yes", "metrics"), ("demo --dashboard", "web")]


def test_modules_need_no_extra_but_the_one_that_they_name() -> None:
    done = subprocess.run([sys.executable, MODULES, "--hide-extras"], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1].endswith(" modules")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stdout + done.stderr


@pytest.mark.parametrize(("command", "extra"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_a_command_without_its_extra_names_it_in_one_line(command: str, extra: str, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(MODULES.parent)!r}); import modules;"
        f"modules.hide_extras(); sys.argv = ['sesacctl', *{command.split()!r}];"
        "from sesacctl.cli.app import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=clean_environment(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", POSTGRES_PORT="1", REDIS_PORT="1"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    [error, hint] = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert error.endswith(f"(extra: {extra})")
    assert re.fullmatch(rf"next: .*install .*\[{extra}\]'?", hint)
    assert list(tmp_path.iterdir()) == []
