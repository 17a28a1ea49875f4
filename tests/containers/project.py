"""The Compose project: a copy of the checkout with an `.env` of its own, and questions to what runs."""

from __future__ import annotations

import errno
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sesacctl.waiting import wait_until
from tests.helpers.documents import ROOT

NETWORK = "deploy_default"
LEDGER_CONTAINER = "sesac_ledger"
_COMMAND_SECONDS = 600.0
# What .dockerignore lets into the build, and Compose's own file.
_CONTEXT = ("pyproject.toml", "README.md", "LICENSE", ".dockerignore", "migrations", "sesacctl", "deploy")
_LONG_RUNNING = (
    "postgres",
    "redis",
    "kafka1",
    "kafka2",
    "kafka3",
    "cache-worker",
    "producer",
    "consumers",
    "python_dev",
)


class Failed(Exception):
    """A step did not come to what it should; says what it came to."""


class Project:
    """Runs commands in `folder`/deploy as a person would; nothing of the checkout itself is written to."""

    services = _LONG_RUNNING

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder, self.environment = folder, environment
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in _CONTEXT:
            source, ignored = ROOT / name, shutil.ignore_patterns("__pycache__")
            if source.is_dir():
                shutil.copytree(source, folder / name, symlinks=True, ignore=ignored)
            else:
                shutil.copyfile(source, folder / name)
        program = Path(sys.executable).with_name("sesacctl")
        subprocess.run([program, "config", "init"], cwd=folder, check=True, capture_output=True)
        self.ledger = folder / "ledger"
        self.ledger.mkdir()
        self.ledger.chmod(0o777)  # the image's user writes it

    def run(self, *command: str, check: bool = True, seconds: float = _COMMAND_SECONDS) -> str:
        """What a command prints; without `check`, whatever it exits with."""
        done = subprocess.run(
            command,
            cwd=self.folder / "deploy",
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check and done.returncode:
            output = (done.stdout + done.stderr).strip()[-1500:]
            raise Failed(f"{' '.join(command)}: exit code {done.returncode}: {output}")
        return done.stdout

    def compose(self, *arguments: str, check: bool = True) -> str:
        """docker-compose."""
        return self.run("docker-compose", *arguments, check=check)

    def docker(self, *arguments: str, check: bool = True) -> str:
        """docker."""
        return self.run("docker", *arguments, check=check)

    def on_terminal(self, script: str) -> str:
        """What a script of shell lines prints to somebody at a terminal; the first that fails ends it."""
        ours, theirs = pty.openpty()
        command = ["bash", "-euo", "pipefail", "-c", script]
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        output = b""
        try:
            while read := os.read(ours, 65536):
                output += read
        except OSError as error:
            if error.errno != errno.EIO:  # the terminal's other end is closed
                raise
        os.close(ours)
        if code := process.wait(_COMMAND_SECONDS):
            raise Failed(f"{script.splitlines()[-1]}: exit code {code}: {output.decode()[-1500:]}")
        return output.decode()

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers, stopped ones too; not those of `docker-compose run`."""
        labels = {"project": "deploy", "service": service, "oneoff": "False"}
        filters = [
            word for name, value in labels.items() for word in ("-f", f"label=com.docker.compose.{name}={value}")
        ]
        return self.docker("ps", "-aq", *filters).split()

    def inspect(self, container: str) -> dict[str, Any]:
        """All that the engine knows of a container."""
        found: dict[str, Any] = json.loads(self.docker("inspect", container))[0]
        return found

    def healthy(self, service: str) -> bool:
        """Whether all containers of a service are."""
        states = [self.inspect(each)["State"] for each in self.containers(service)]
        return bool(states) and all(
            each.get("Health", {"Status": each["Status"]})["Status"] in ("healthy", "running") for each in states
        )

    def running(self, service: str) -> bool:
        """Whether all containers of a service are."""
        states = [self.inspect(each)["State"] for each in self.containers(service)]
        return bool(states) and all(each["Status"] == "running" for each in states)

    def stored(self) -> int:
        """Orders in PostgreSQL; -1 while it does not answer."""
        query = "SELECT count(*) FROM orders"
        text = self.docker(
            "exec", "local_postgres", "psql", "-U", "postgres", "-d", "sesac_db", "-tAc", query, check=False
        )
        return int(text) if text.strip().isdigit() else -1

    def wait_for(self, what: str, condition: object, seconds: float) -> None:
        """Return when `condition` is true; raises `Failed` after `seconds`, with the state of the containers."""
        assert callable(condition)
        if not wait_until(condition, seconds, every=0.5):
            raise Failed(f"not within {seconds:.0f} s: {what}\n{self.docker('ps', '-a')}")

    def wait_rise(self, by: int, seconds: float) -> None:
        """Return when `by` more orders are stored than now."""
        before = max(self.stored(), 0)
        self.wait_for(f"{by} more orders than {before}", lambda: self.stored() >= before + by, seconds)

    def wait_all_healthy(self, seconds: float) -> None:
        """Return when every service is."""
        for service in self.services:
            self.wait_for(f"{service} healthy", lambda name=service: self.healthy(name), seconds)

    def crash(self, container: str) -> None:
        """SIGKILL for its first process, from outside: unlike `docker kill`, nobody has asked for it."""
        pid = self.inspect(container)["State"]["Pid"]
        try:
            os.kill(pid, signal.SIGKILL)
        except PermissionError:
            self.run("sudo", "-n", "kill", "-KILL", str(pid))
