"""The storm's own servers: killed, stopped and started again one at a time, each behind a proxy."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path

import psutil
import psycopg2
from confluent_kafka.admin import AdminClient

from sesacctl.stack import stack
from sesacctl.stack.control import BROKERS, POSTGRES, SERVERS, VALKEY, ServerControl
from sesacctl.stack.layout import Layout
from sesacctl.stack.ports import HOST
from sesacctl.stack.postgres import PORT
from tests.faults.children import ROOT, bare_environment
from tests.faults.hosts import Hosts
from tests.faults.tmpfs import SmallDisk, why_not
from tests.helpers.cut_logs import CHECKPOINTS
from tests.helpers.proxy import Proxy, tcp, unix
from tests.helpers.waiting import wait_until

_UP_SECONDS = 120.0
_FAILING_SECONDS = 2.0
_TICK_SECONDS = 0.05


class OwnStack:
    """A stack in `home`, made for one storm and deleted after it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.proxies = {name: Proxy() for name in SERVERS}
        self._control: ServerControl | None = None
        self._ports: list[list[int]] = []
        self.disks: dict[str, SmallDisk] = {}
        self.hosts: Hosts | None = None
        self.versions: dict[str, str] = {}

    def up(self) -> None:
        """Start all servers, and let the proxies through."""
        for number, name in enumerate(BROKERS):  # brokers come through their proxies before `up` has ended
            self.proxies[name].target = partial(self._connect_to_broker, number)
        ports = [str(self.proxies[name].port) for name in BROKERS]
        self.home.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.up", str(self.home), *ports],
            env=bare_environment({"SESAC_HOME": str(self.home)}),
            cwd=ROOT,
            timeout=_UP_SECONDS,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self._control = ServerControl(self.home)
        self._ports = Layout(self.home).load().kafka_ports
        self.postgres_folder = str(self.servers.postgres.socket_folder)
        self.valkey_port = self.servers.valkey.port
        self.proxies[POSTGRES].target = unix(f"{self.postgres_folder}/.s.PGSQL.{PORT}")
        self.proxies[VALKEY].target = tcp(self.valkey_port)
        if not why_not():
            self._use_disks()
        self.versions = self.version()

    def _use_disks(self) -> None:
        """Brokers and PostgreSQL's write-ahead log get disks of their own."""
        data = self.home / "data"
        for name in (POSTGRES, *BROKERS):
            self.stop(name)
            self.disks[name] = SmallDisk(data / name / "pg_wal" if name == POSTGRES else data / name)
            self.disks[name].mount()
            self.start(name)
        wait_until(lambda: all(self.version().get(name, "?") != "?" for name in BROKERS), _UP_SECONDS)

    def spread(self, hosts: Hosts) -> None:
        """Have each broker on a host of its own, and PostgreSQL and Valkey where all hosts reach them."""
        for name in (POSTGRES, *BROKERS):
            self.stop(name)
        self.hosts = hosts
        for name in BROKERS:
            settings = self.home / "run" / f"{name}.properties"
            text = settings.read_text()
            for other, address, ports in zip(BROKERS, hosts.addresses, self._ports, strict=True):
                text = text.replace(f"{HOST}:{self.proxies[other].port}", f"{address}:{ports[0]}")
                for port in ports:
                    text = text.replace(f"{HOST}:{port}", f"{address}:{port}")
            settings.write_text(text)
        data = self.home / "data" / POSTGRES
        with (data / "postgresql.conf").open("a") as file:
            file.write(f"listen_addresses = '{hosts.server}'\n")
        with (data / "pg_hba.conf").open("a") as file:
            file.write("host all all samenet trust\n")
        self.proxies[VALKEY].close()
        self.proxies[VALKEY] = Proxy(tcp(self.valkey_port), address=hosts.server)
        for name in (POSTGRES, *BROKERS):
            self.start(name)
        admin = AdminClient({"bootstrap.servers": self.brokers, "log_level": 0})
        wanted = set(hosts.addresses)
        wait_until(
            lambda: {each.host for each in admin.list_topics(timeout=_UP_SECONDS).brokers.values()} == wanted,
            _UP_SECONDS,
            "the brokers are not on their hosts",
        )

    @property
    def brokers(self) -> str:
        """Their addresses for clients."""
        if self.hosts is not None:
            return ",".join(f"{at}:{port}" for at, (port, _) in zip(self.hosts.addresses, self._ports, strict=True))
        return ",".join(f"{HOST}:{self.proxies[name].port}" for name in BROKERS)

    def _connect_to_broker(self, number: int) -> socket.socket:
        port, _ = self._ports[number] if self._ports else Layout(self.home).load().kafka_ports[number]
        return tcp(port)()

    @property
    def servers(self) -> ServerControl:
        """What starts and signals them; they are up."""
        assert self._control is not None
        return self._control

    def process(self, name: str) -> psutil.Process | None:
        """The running server."""
        return self.servers.process(name)

    def send(self, name: str, how: signal.Signals) -> None:
        """A signal to a server; after SIGKILL, return when it is gone."""
        self.servers.send(name, how)

    def start(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        """Start a server that is down, as it was started first; it answers later."""
        with self.hosts.within(BROKERS.index(name)) if self.hosts and name in BROKERS else nullcontext():
            self.servers.start(name, environment)

    def start_if_it_fails(self, name: str) -> None:
        """Start a server that has ended, or does within some seconds; one that answers goes on."""
        deadline = time.monotonic() + _FAILING_SECONDS
        while self.process(name) is not None and time.monotonic() < deadline:
            threading.Event().wait(_TICK_SECONDS)
        self.start(name)

    def stop(self, name: str) -> None:
        """End a server in order."""
        self.servers.stop(name)

    def complete(self) -> None:
        """Have every server run again."""
        for name in SERVERS:
            self.send(name, signal.SIGCONT)
            self.start(name)

    def cut_logs(self, partitions: str, *, share: float) -> None:
        """Kill all brokers, keep only the first `share` of the logs of these partitions (a pattern), start them."""
        for name in BROKERS:
            self.send(name, signal.SIGKILL)
        for name in BROKERS:
            data = self.home / "data" / name
            for log in data.glob(f"{partitions}/*.log"):
                with log.open("r+b") as file:
                    file.truncate(int(log.stat().st_size * share))
            for index in (*data.glob(f"{partitions}/*.index"), *data.glob(f"{partitions}/*.timeindex")):
                index.unlink()
            for checkpoint in CHECKPOINTS:
                (data / checkpoint).unlink(missing_ok=True)
        for name in BROKERS:
            self.start(name)
        wait_until(lambda: all(self.version().get(name, "?") != "?" for name in BROKERS), _UP_SECONDS)

    def create_database(self, name: str) -> None:
        """One more, empty."""
        connection = psycopg2.connect(host=self.postgres_folder, user="postgres", dbname="postgres")
        connection.autocommit = True
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")

    def version(self) -> dict[str, str]:
        """What answers."""
        return {one.server: one.version or "?" for one in stack.status(self.home)}

    def close(self) -> None:
        """End everything, and delete the data."""
        for name in SERVERS:
            if self._control is not None:
                self.send(name, signal.SIGCONT)
        for proxy in self.proxies.values():
            proxy.close()
        stack.down(self.home, on_step=lambda _text: None)
        if self.hosts is not None:
            self.hosts.delete()
        for disk in self.disks.values():
            disk.unmount()
        stack.down(self.home, purge=True, on_step=lambda _text: None)
