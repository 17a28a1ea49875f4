"""Kafka brokers that are their own controllers (KRaft); three, unless a test asks for others."""

from __future__ import annotations

import base64
import signal
import threading
import uuid
from collections.abc import Callable, Sequence

from sesacctl.stack import broker_settings, jar_folder, jars, java, ports
from sesacctl.stack.cluster import members
from sesacctl.stack.java import Java
from sesacctl.stack.layout import Layout, State
from sesacctl.stack.process import Program, stop, wait_ready

BROKERS = (1, 2, 3)
"""Of a stack that people start."""
_READY_SECONDS = 120.0
_STOP_SECONDS = 15.0
_LAST_SECONDS = 2.0


class Kafka:
    """The brokers: they are set up, started and stopped together."""

    def __init__(self, layout: Layout, state: State) -> None:
        self._layout = layout
        self._state = state
        self._lock = jars.read_lock(state.kafka)
        self.numbers = tuple(range(1, state.brokers + 1))
        self.programs = tuple(self._program(number, Java([], None, state.heap_mb)) for number in self.numbers)

    @property
    def addresses(self) -> list[str]:
        """`host:port` of each broker."""
        return [f"{ports.HOST}:{broker}" for broker, _ in self._state.kafka_ports]

    @property
    def version(self) -> str:
        """As in the lock."""
        return self._lock.kafka

    def start(
        self, missing: Sequence[str], on_step: Callable[[str], None], cancel: threading.Event, fetch: jars.Fetch
    ) -> None:
        """Fetch what is needed, format new folders, start the `missing` brokers, wait until all answer.

        Raises:
            ConfigurationError: the jars' folder cannot be written.
            ServerNotStarted: a jar cannot be fetched, or a broker ended or does not answer.
        """
        self.spawn(missing, on_step, cancel, fetch)
        self.wait_ready(cancel)

    def spawn(
        self, missing: Sequence[str], on_step: Callable[[str], None], cancel: threading.Event, fetch: jars.Fetch
    ) -> None:
        """As `start`, without waiting for an answer."""
        virtual_machine = self._java(on_step, cancel, fetch)
        broker_settings.write_logging(self._layout.home / java.LOGGING)
        self._format(virtual_machine, on_step)
        for number in self.numbers:
            self._write(number, f"kafka-{number}")
        on_step("Kafka: starting brokers")
        for number in self.numbers:
            program = self._program(number, virtual_machine)
            if program.name in missing:
                program.spawn(virtual_machine.environment)

    def wait_ready(self, cancel: threading.Event) -> None:
        """Wait until each broker answers and sees all.

        Raises:
            ServerNotStarted: one ended, or they do not.
        """
        waiting = list(self.addresses)

        def ready() -> bool:
            while waiting and members(waiting[0]) == set(self.numbers):
                waiting.pop(0)
            return not waiting

        wait_ready(self.programs, ready, seconds=_READY_SECONDS, cancel=cancel)

    def stop(self) -> list[str]:
        """Stop the brokers that run; returns their names.

        A broker asks the controllers before it shuts down. The last one has none left to ask, so it gets little time:
        what it stored is safe.
        """
        return stop(self.programs, signal.SIGTERM, seconds=_STOP_SECONDS, last_seconds=_LAST_SECONDS)

    def _java(self, on_step: Callable[[str], None], cancel: threading.Event, fetch: jars.Fetch) -> Java:
        folder = jars.cache_folder()
        with jar_folder.held(folder, on_step):
            class_path = jars.ensure(folder, self._lock, on_step=on_step, cancel=cancel, fetch=fetch)
            cache = java.ensure_cache(folder, self.version, class_path, on_step=on_step, cancel=cancel)
            return Java(class_path, cache, self._state.heap_mb)

    def _program(self, number: int, virtual_machine: Java) -> Program:
        name = f"kafka-{number}"
        marker = f"-Dsesacctl.server={self._layout.home}/{name}"
        return Program(
            name=name,
            argv=virtual_machine.command(java.SERVER, f"run/{name}.properties", options=[marker]),
            marker=marker,
            cwd=self._layout.home,
            log=self._layout.logs / f"{name}.log",
            record=self._layout.run / f"{name}.json",
        )

    def _write(self, number: int, folder: str) -> str:
        settings = f"run/{folder}.properties"
        path = self._layout.home / settings
        broker_settings.write_broker(path, number, self._state.kafka_ports, f"data/{folder}")
        return settings

    def _format(self, virtual_machine: Java, on_step: Callable[[str], None]) -> None:
        """Make the folders of new brokers: formatted elsewhere and then renamed, so that each is complete."""
        data = self._layout.data
        new = [program for program in self.programs if not (data / program.name).exists()]
        if not new:
            return
        on_step("Kafka: formatting the brokers' folders")
        running = []
        for program in new:
            folder = self._layout.unfinished(program.name)
            settings = self._write(self.programs.index(program) + 1, folder.name)
            process = virtual_machine.format(self._layout.home, settings, self._state.cluster_id, program.log)
            running.append((program, folder, process))
        for program, folder, process in running:
            if process.wait():
                raise program.failed("could not be set up (formatting its folder failed)")
            folder.rename(data / program.name)
            (self._layout.run / f"{folder.name}.properties").unlink()


def new_cluster_id() -> str:
    """A random id in the form that Kafka takes; like Kafka's own never with a dash first: that would be an option."""
    while (made := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return made
