"""Three hosts on this machine, each with a broker and some of the loop, and partitions between them.

Each host is a network namespace on one bridge, whose own address is where PostgreSQL and Valkey are. Packets are
dropped without a word, as a broken network does.
"""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

COUNT = 3
_CLONE_NEWNET = 0x40000000
TO, FROM = "OUTPUT", "INPUT"


class Hosts:
    """The namespaces; `server` is the address of what is on none of them, `addresses` are theirs."""

    def __init__(self) -> None:
        self._name = f"sesac{random.randrange(16**4):04x}"
        network = f"10.{random.randrange(200, 250)}.{random.randrange(256)}"
        self.server = f"{network}.254"
        self.addresses = [f"{network}.{number}" for number in range(1, COUNT + 1)]

    def create(self) -> None:
        """Make them.

        Raises:
            CalledProcessError, OSError: this process may not.
        """
        _run("ip", "link", "add", self._name, "type", "bridge")
        _run("ip", "address", "add", f"{self.server}/24", "dev", self._name)
        _run("ip", "link", "set", self._name, "up")
        _run(*self._forwarding("-I"))  # a container engine drops what it does not know
        for number, address in enumerate(self.addresses):
            name, ours = self._namespace(number), f"{self._name}-{number}"
            _run("ip", "netns", "add", name)
            _run("ip", "link", "add", ours, "type", "veth", "peer", "name", "eth0", "netns", name)
            _run("ip", "link", "set", ours, "master", self._name, "up")
            _run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                _run("ip", "-n", name, "link", "set", device, "up")

    def delete(self) -> None:
        """Take them away; their processes must have ended."""
        for number in range(COUNT):
            subprocess.run(["ip", "netns", "delete", self._namespace(number)], check=False, capture_output=True)
        for words in (self._forwarding("-D"), ("ip", "link", "delete", self._name)):
            subprocess.run(words, check=False, capture_output=True)

    @contextmanager
    def within(self, number: int) -> Iterator[None]:
        """What this thread starts meanwhile runs on that host."""
        with _namespace_file(Path("/proc/thread-self/ns/net")) as before:
            with _namespace_file(Path("/run/netns") / self._namespace(number)) as there:
                _enter(there)
            try:
                yield
            finally:
                _enter(before)

    def drop(self, number: int, chain: str, other: str | None) -> None:
        """Have a host lose what it sends (OUTPUT) or gets (INPUT); of `other` alone, or of everybody."""
        direction = "-d" if chain == TO else "-s"
        which = (direction, other) if other else ("!", direction, self.addresses[number])
        self._iptables(number, "-A", chain, *which, "-j", "DROP")

    def heal(self) -> None:
        """Drop nothing any more."""
        for number in range(COUNT):
            self._iptables(number, "-F")

    def _iptables(self, number: int, *words: str) -> None:
        _run("ip", "netns", "exec", self._namespace(number), "iptables", "-w", *words)

    def _forwarding(self, verb: str) -> tuple[str, ...]:
        return ("iptables", "-w", verb, "FORWARD", "-i", self._name, "-o", self._name, "-j", "ACCEPT")

    def _namespace(self, number: int) -> str:
        return f"{self._name}n{number}"


@cache
def why_not() -> str:
    """Why this process can have none; empty if it can."""
    if missing := [name for name in ("ip", "iptables") if not shutil.which(name)]:
        return f"{' and '.join(missing)} cannot be found: install iproute2 and iptables"
    hosts = Hosts()
    try:
        hosts.create()
        hosts.drop(0, FROM, None)
        hosts.heal()
        with hosts.within(0):
            pass
    except (OSError, subprocess.CalledProcessError):
        return "network namespaces with a bridge and iptables cannot be made"
    finally:
        hosts.delete()
    return ""


@contextmanager
def _namespace_file(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        with suppress(OSError):
            os.close(descriptor)


def _enter(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
