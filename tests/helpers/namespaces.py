"""Another host on this machine: a network namespace with a link to it that can be cut."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


class Host:
    """A namespace; `server` is the address at which it reaches this machine."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._ours, self._theirs = f"{name}-o", f"{name}-t"
        network = f"10.{random.randrange(200, 250)}.{random.randrange(256)}"
        self.server, self._address = f"{network}.1", f"{network}.2"

    def command(self, *words: str) -> list[str]:
        """A command line that runs on that host."""
        return ["ip", "netns", "exec", self.name, *words]

    def create(self) -> None:
        """Make it, with its link."""
        _ip("netns", "add", self.name)
        _ip("link", "add", self._ours, "type", "veth", "peer", "name", self._theirs, "netns", self.name)
        _ip("address", "add", f"{self.server}/24", "dev", self._ours)
        _ip("link", "set", self._ours, "up")
        self._within("address", "add", f"{self._address}/24", "dev", self._theirs)
        self._within("link", "set", self._theirs, "up")

    def cut(self) -> None:
        """What is sent gets lost, without a word to either side."""
        self._within("link", "set", self._theirs, "down")

    def delete(self) -> None:
        """Delete it with its link; its processes must have ended."""
        subprocess.run(["ip", "netns", "delete", self.name], check=False, stderr=subprocess.DEVNULL)

    def _within(self, *words: str) -> None:
        _ip("-n", self.name, *words)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextmanager
def other_host() -> Iterator[Host]:
    """A host, deleted in the end; the test is skipped where this process may not make one."""
    host = Host(f"sesac{random.randrange(16**5):05x}")
    try:
        try:
            host.create()
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"network namespaces cannot be made: {getattr(error, 'stderr', None) or error}")
        yield host
    finally:
        host.delete()
