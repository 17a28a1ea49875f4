"""deploy/systemd: what systemd itself says of the units, and that their commands, exit codes and settings are ours."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sesacctl.errors import CheckFailed, ConfigurationError, SchemaNotAtHead, ServerUnreachable, UsageError
from sesacctl.settings import Settings
from tests.helpers.command_line import problem
from tests.helpers.documents import ROOT

SYSTEMD = ROOT / "deploy" / "systemd"
PROGRAM = "/opt/sesacctl/bin/sesacctl"
SERVICES = {path.stem: path.read_text("utf-8") for path in sorted(SYSTEMD.glob("*.service"))}
DRAIN_SECONDS = 10
# Of 10: the service is confined as far as it can be and still reach its servers.
MOST_EXPOSED = 20

each_service = pytest.mark.parametrize("name", SERVICES)


def test_there_is_a_unit_for_each_part_of_the_loop() -> None:
    assert set(SERVICES) == {f"sesacctl-{part}" for part in ("cache", "consumers", "metrics", "producer", "setup")}
    assert (SYSTEMD / "sesacctl.target").is_file()


@each_service
def test_unit_runs_a_real_command(name: str) -> None:
    commands = [shlex.split(line) for line in _values(name, "ExecStart")]
    assert commands
    for program, *arguments in commands:
        assert program == PROGRAM
        assert problem(arguments) is None
    assert all(line.partition("=")[0].lower() in Settings.model_fields for line in _values(name, "Environment"))


@each_service
def test_unit_restarts_only_where_that_can_help(name: str) -> None:
    never = {int(code) for code in _values(name, "RestartPreventExitStatus")[0].split()}
    assert _values(name, "Restart") == ["on-failure"]
    assert {error.exit_code for error in (UsageError, ConfigurationError, CheckFailed, SchemaNotAtHead)} == never
    assert ServerUnreachable.exit_code not in never


@each_service
def test_unit_lets_the_loop_drain(name: str) -> None:
    assert int(_values(name, "TimeoutStopSec")[0]) > DRAIN_SECONDS
    # Instances are their supervisor's: a signal to all of them at once would not be its drain.
    assert _values(name, "KillMode") == ["mixed"]


def test_ports_of_units_are_their_own() -> None:
    ports = [port for text in SERVICES.values() for port in re.findall(r"port (\d+)", text)]
    assert len(ports) == len(set(ports)) == 4


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """With the program of this checkout, for systemd looks whether it is there."""
    for path in SYSTEMD.iterdir():
        text = path.read_text("utf-8").replace(PROGRAM, str(Path(sys.executable).with_name("sesacctl")))
        (tmp_path / path.name).write_text(text)
    units = sorted(tmp_path.iterdir())
    verified = _systemd_analyze("verify", "--man=no", *map(str, units))
    assert (verified.returncode, verified.stderr) == (0, "")
    services = [str(path) for path in units if path.suffix == ".service"]
    secured = _systemd_analyze("security", "--offline=yes", f"--threshold={MOST_EXPOSED}", *services)
    assert secured.returncode == 0, secured.stdout


def _values(name: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", SERVICES[name], re.MULTILINE)


def _systemd_analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)
