"""The dashboard on a port, as long as a block runs. The only part that knows uvicorn."""

from __future__ import annotations

import asyncio
import importlib
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

from sesacctl import installation
from sesacctl.dashboard import guard
from sesacctl.errors import ConfigurationError, UsageError
from sesacctl.settings import Settings

logger = logging.getLogger(__name__)

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8600
_MOST_CONNECTIONS = 512
_END_SECONDS = 2.0
_START_SECONDS = 10.0
_MODULES = ("starlette", "uvicorn", "sse_starlette")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a dashboard is: `url` has the token, if one is needed."""

    host: str
    port: int
    token: str | None

    @property
    def url(self) -> str:
        """What to open in a browser."""
        name = socket.gethostname() if guard.is_any(self.host) else self.host
        host = f"[{name}]" if ":" in name else name
        query = f"?token={quote(self.token, safe='')}" if self.token else ""
        return f"http://{host}:{self.port}/{query}"


def require() -> None:
    """Return if the extra is there.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        for module in _MODULES:
            importlib.import_module(module)
    except ImportError as error:
        raise installation.missing("the dashboard's packages are not installed:", "web", error) from None


@contextmanager
def serving(
    settings: Settings, *, host: str = DEFAULT_HOST, port: int = DEFAULT_PORT, token: str | None = None
) -> Iterator[Address]:
    """Answer browsers as long as the block runs; port 0 is any free one. Its end ends all streams at once.

    Without a `token`, one is made where others than this machine can reach `host`.

    Raises:
        ConfigurationError: the extra is not installed, or the address cannot be used.
        UsageError: the token can be guessed.
    """
    require()
    if token is not None and len(token) < guard.LEAST_TOKEN:
        raise UsageError(
            f"--token has {len(token)} characters, and {guard.LEAST_TOKEN} is the least that cannot be guessed",
            hint="leave --token out: one is made",
        )
    if token is None and not guard.is_loopback(host):
        token = guard.make_token()
    listener = _listen(host, port)
    address = Address(host, listener.getsockname()[1], token)
    server = _Running(settings, address, listener)
    server.start()
    try:
        yield address
    finally:
        server.end()


@contextmanager
def serving_anywhere(settings: Settings) -> Iterator[Address]:
    """As `serving`, on this machine's usual port, or on any that is free; errors as there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((DEFAULT_HOST, DEFAULT_PORT))
            port = DEFAULT_PORT
        except OSError:
            port = 0
    with serving(settings, port=port) as address:
        yield address


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server((str(found[0]), port), family=family, backlog=_MOST_CONNECTIONS)
    except (OSError, UnicodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "that is not a name of a host"
        raise ConfigurationError(
            f"the dashboard cannot be served on {host}:{port}: {words}", hint="another --port or --host"
        ) from None


class _Running:
    """The server in a thread of its own, so that signals stay the command's."""

    def __init__(self, settings: Settings, address: Address, listener: socket.socket) -> None:
        import uvicorn

        from sesacctl.dashboard.clicks import Clicks
        from sesacctl.dashboard.history import History
        from sesacctl.dashboard.hub import Hub
        from sesacctl.dashboard.look import Looker
        from sesacctl.dashboard.web import application

        self._listener = listener
        history = History(settings)
        self._looker = Looker(settings)
        self._hub = Hub(self._looker, on_look=history.add)
        rules = guard.Guard(address.host, address.port, address.token)
        config = uvicorn.Config(
            application(self._hub, Clicks(settings), history, rules),
            access_log=False, log_config=None, lifespan="off", ws="none", server_header=False, proxy_headers=False,
            limit_concurrency=_MOST_CONNECTIONS, timeout_graceful_shutdown=1, loop="asyncio", http="h11",
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="dashboard", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hub.close)
        self._server.should_exit = True
        self._thread.join(_END_SECONDS)
        self._listener.close()
        closing = threading.Thread(target=self._looker.close, name="dashboard-end", daemon=True)
        closing.start()
        closing.join(_END_SECONDS)  # a server that hangs is left to itself

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve(sockets=[self._listener])
