"""What a process answers over HTTP: `/metrics` for Prometheus, and `/livez` and `/readyz`, which ask no server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from sesacctl.errors import ConfigurationError
from sesacctl.heartbeat import own_pulses
from sesacctl.pipeline.watch.exporter import Collect, Family, build_info, registry

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

Problem = Callable[[], str | None]
_SLOW_SECONDS = 10.0
_OK, _NOT_FOUND, _UNAVAILABLE = "200 OK", "404 Not Found", "503 Service Unavailable"


class Page:
    """A loop's latest figures, and why it is not ready, as its own thread sets them."""

    def __init__(self) -> None:
        self._collect: Collect = list
        self._problem: Problem = lambda: "it is starting"

    def publish(self, families: Iterable[Family]) -> None:
        """Show these figures from now on."""
        latest = list(families)
        self._collect = lambda: latest

    def show(self, collect: Collect) -> None:
        """Ask `collect` from now on, in any thread, at each scrape."""
        self._collect = collect

    def wait_for(self, what: str) -> None:
        """Be unready from now on: `what` is missing."""
        self._problem = lambda: f"waiting: {what}"

    def ready_unless(self, problem: Problem) -> None:
        """Ask `problem` from now on, in any thread, whenever somebody wants to know: None is ready."""
        self._problem = problem

    def families(self) -> list[Family]:
        """The latest figures."""
        return [*self._collect(), build_info()]

    def problem(self) -> str | None:
        """Why the loop is not ready; None if it is."""
        return self._problem()


@contextmanager
def page(port: int | None, *, host: str) -> Iterator[Page]:
    """For `--metrics-port`: what a loop shows as long as the block runs; without a port nobody sees it.

    with page(metrics_port, host=settings.sesac_metrics_host) as shown:
        supervisor.run(stop, on_report=lambda report: shown.publish(of_consume(report)))

    Raises:
        ConfigurationError: the extra is not installed, or the address cannot be used.
    """
    shown = Page()
    if port is None:
        yield shown
        return
    with serve(port, shown.families, host=host, problem=shown.problem):
        yield shown


@contextmanager
def serve(port: int, collect: Collect, *, host: str, problem: Problem = lambda: None) -> Iterator[None]:
    """Answer on `http://HOST:PORT/` as long as the block runs, each request in a thread of its own.

    `problem` returns why `/readyz` is to say no; `/livez` says no while a loop of this process is overdue.

    Raises:
        ConfigurationError: the extra is not installed, or the address cannot be used.
    """
    made = registry(collect)
    from prometheus_client import make_wsgi_app

    try:
        server = make_server(host, port, _routes(make_wsgi_app(made), problem), _server(host), _Handler)
    except OSError as error:
        raise ConfigurationError(
            f"metrics cannot be served on {host}:{port}: {error.strerror}", hint="another --port or --metrics-port"
        ) from None
    thread = threading.Thread(target=server.serve_forever, name="pages", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False  # a scraper that reads slowly does not hold up the end

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is not worth a word."""


class _Handler(WSGIRequestHandler):
    timeout = _SLOW_SECONDS

    def log_message(self, format: str, *args: object) -> None:
        """A request is not worth a line."""


def _server(host: str) -> type[_Server]:
    class Server(_Server):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    return Server


def _routes(metrics: WSGIApplication, problem: Problem) -> WSGIApplication:
    def answer(environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environment.get("PATH_INFO")
        if path == "/metrics":
            return metrics(environment, start)
        if path == "/livez":
            return _say(start, _late())
        if path == "/readyz":
            return _say(start, problem())
        return _say(start, "there are /metrics, /livez and /readyz", _NOT_FOUND)

    return answer


def _late() -> str | None:
    late = [pulse for pulse in own_pulses() if not pulse.alive]
    return ", ".join(f"no heartbeat from {pulse.name} for {-pulse.seconds_left:.0f} s too long" for pulse in late)


def _say(start: StartResponse, problem: str | None, status: str = _UNAVAILABLE) -> list[bytes]:
    body = f"{problem or 'ok'}\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    start(status if problem else _OK, headers)
    return [body]
