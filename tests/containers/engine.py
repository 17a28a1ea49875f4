"""A Docker Engine: the one that runs, or one of our own for as long as it is needed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sesacctl.waiting import wait_until

_START_SECONDS = 60.0
_END_SECONDS = 60.0
_NEEDED = ("docker", "dockerd", "iptables", "debootstrap")


class NoEngine(Exception):
    """There is none, and none can be started; says what is missing."""


@contextmanager
def engine(folder: Path) -> Iterator[Mapping[str, str]]:
    """The environment in which `docker` and `docker-compose` reach an engine; `folder` keeps our own one's images.

    Raises:
        NoEngine: there is nothing to reach or to start.
    """
    # Debian's own programs first; `docker compose` under the name that the documents use.
    programs = folder / "bin"
    environment = {**os.environ, "PATH": f"{programs}:/usr/bin:{os.environ['PATH']}", "COMPOSE_HTTP_TIMEOUT": "180"}
    if not shutil.which("docker", path=environment["PATH"]):
        raise NoEngine("docker is not installed")
    programs.mkdir(parents=True, exist_ok=True)
    _name_compose(programs, environment)
    if _answers(environment):
        yield environment
        return
    missing = [name for name in _NEEDED if not shutil.which(name, path=f"{environment['PATH']}:/usr/sbin")]
    if missing or os.geteuid() != 0:
        raise NoEngine(f"no engine answers, and to start one takes root and {', '.join(missing or _NEEDED)}")
    environment["DOCKER_HOST"] = f"unix://{folder}/docker.sock"
    with (folder / "dockerd.log").open("w") as log:
        daemon = subprocess.Popen(
            [
                *("dockerd", "--data-root", folder / "root", "--exec-root", folder / "exec"),
                *("-H", environment["DOCKER_HOST"], "--pidfile", folder / "docker.pid"),
            ],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        started = wait_until(lambda: _answers(environment) or daemon.poll() is not None, _START_SECONDS)
        if not started or daemon.poll() is not None:
            raise NoEngine(f"dockerd does not start: {folder / 'dockerd.log'}")
        yield environment
    finally:
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()


def _name_compose(programs: Path, environment: Mapping[str, str]) -> None:
    shim = programs / "docker-compose"
    shim.unlink(missing_ok=True)
    if not shutil.which("docker-compose", path=environment["PATH"]):
        shim.write_text('#!/bin/sh\nexec docker compose "$@"\n')
        shim.chmod(0o755)


def _answers(environment: Mapping[str, str]) -> bool:
    asked = subprocess.run(["docker", "info"], env=environment, capture_output=True, timeout=30, check=False)
    return asked.returncode == 0
