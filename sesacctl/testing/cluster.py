"""A cluster of Kafka for tests: brokers that can be killed, stopped and paused one by one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sesacctl.errors import ServerNotStarted, UsageError
from sesacctl.stack import jars
from sesacctl.stack.cluster import members
from sesacctl.stack.kafka import Kafka
from sesacctl.stack.layout import Layout
from sesacctl.testing.run import Options, Run
from sesacctl.testing.server import ServerProcess
from sesacctl.waiting import wait_until

logger = logging.getLogger(__name__)

_READY_SECONDS = 120.0
KAFKA = ("Kafka",)


class KafkaCluster:
    """The brokers of a run, numbered from 1 on; all run again when the test that stopped one is over.

    Topics have as many replicas as there are brokers, three at most, and all but one of them have to be in sync.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._start()

    def _start(self) -> None:
        self._run.start(KAFKA)
        layout = Layout(self._run.home)
        self._kafka = Kafka(layout, layout.load())
        programs = zip(self._kafka.numbers, self._kafka.programs, strict=True)
        self._processes = {number: ServerProcess(program, self._run.break_servers) for number, program in programs}

    @property
    def brokers(self) -> tuple[int, ...]:
        """Their numbers."""
        return self._kafka.numbers

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` of each broker, with commas between."""
        return ",".join(self._kafka.addresses)

    @property
    def version(self) -> str:
        """Of Kafka."""
        return self._kafka.version

    def address(self, number: int) -> str:
        """`host:port` of one broker."""
        self._broker(number)
        return self._kafka.addresses[number - 1]

    def pid(self, number: int) -> int:
        """Of a broker that runs."""
        return self._broker(number).pid

    def kill(self, number: int) -> None:
        """SIGKILL; returns when the broker is gone, which the others notice 4 s later at most."""
        self._broker(number).kill()

    def stop(self, number: int) -> None:
        """Shut a broker down in order: it hands its partitions over first."""
        self._broker(number).stop()

    def pause(self, number: int) -> None:
        """SIGSTOP: its connections stay, and it does not answer."""
        self._broker(number).pause()

    def resume(self, number: int) -> None:
        """SIGCONT."""
        self._broker(number).resume()

    def restart(self, number: int | None = None) -> None:
        """Start all brokers that are down; or stop one in order and start it again. Returns when they answer.

        Raises:
            ServerNotStarted: one ended, or does not answer.
        """
        if number is None:
            for process in self._processes.values():
                process.resume()
            self._start()
            return
        self._broker(number).stop()
        self._kafka.spawn([f"kafka-{number}"], logger.info, threading.Event(), jars.from_nowhere)
        address = self.address(number)
        if not wait_until(lambda: number in members(address), _READY_SECONDS):
            raise ServerNotStarted(f"broker {number} did not answer within {_READY_SECONDS:.0f} s")

    @contextmanager
    def versions(self, version: str, *, brokers: int = 1) -> Iterator[KafkaCluster]:
        """A cluster of another version for a while, as `3.9`; its jars are fetched at the first time.

        Raises:
            UsageError: this sesacctl knows no such version.
        """
        options = Options(brokers=brokers, kafka=jars.newest(version), heap_mb=self._run.options.heap_mb)
        with self._run.another(options) as own:
            yield KafkaCluster(own)

    def _broker(self, number: int) -> ServerProcess:
        if number not in self._processes:
            raise UsageError(f"there is no broker {number}", hint=f"from 1 to {len(self._processes)}")
        return self._processes[number]
