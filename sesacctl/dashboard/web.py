"""The dashboard as an ASGI application: the routes, and the guard before them. Needs the extra `web`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from sesacctl.dashboard import clicks, plain
from sesacctl.dashboard.clicks import Clicks
from sesacctl.dashboard.guard import HEADERS, Guard, Refusal
from sesacctl.dashboard.history import History
from sesacctl.dashboard.hub import Hub, in_thread

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
_SLOW_SECONDS = 10.0
_NO_STORE = {"cache-control": "no-store"}
Endpoint = Callable[["Request"], Awaitable[Response]]


def application(hub: Hub, clicked: Clicks, history: History, guard: Guard) -> ASGIApp:
    """All routes, behind the guard."""

    async def page(_request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def look(_request: Request) -> Response:
        return _json(await hub.newest())

    async def events(request: Request) -> Response:
        after = request.headers.get("last-event-id") or request.query_params.get("after") or ""
        since = int(after) if after.isascii() and after.isdigit() and len(after) < 20 else None
        stream = hub.stream(since)
        return EventSourceResponse(stream, ping=0, send_timeout=_SLOW_SECONDS, headers=_NO_STORE)

    async def past(_request: Request) -> Response:
        return _json(msgspec.json.encode(await in_thread(history.read, "history")))

    async def table(_request: Request) -> Response:
        return HTMLResponse(plain.render(msgspec.json.decode(await hub.newest(all_events=True))), headers=_NO_STORE)

    async def letters(request: Request) -> Response:
        return _document(await clicked.answer(clicked.letters(dict(request.query_params))))

    async def letter(request: Request) -> Response:
        return _document(await clicked.answer(clicked.letter(request.path_params["id"])))

    async def parked(request: Request) -> Response:
        return _document(await clicked.answer(clicked.parked(dict(request.query_params))))

    async def trace(request: Request) -> Response:
        return _document(await clicked.answer(clicked.trace(dict(request.query_params))))

    routes: dict[str, Endpoint] = {
        "/": page, "/look": look, "/events": events, "/history": past, "/plain": table, "/dead-letters": letters,
        "/dead-letters/{id}": letter, "/parked": parked, "/trace": trace,
    }  # fmt: skip
    starlette = Starlette(
        routes=[
            *(Route(path, _answering(endpoint)) for path, endpoint in routes.items()),
            Mount("/static", StaticFiles(directory=STATIC, check_dir=False)),
        ]
    )
    return _Guarded(starlette, guard)


def _answering(endpoint: Endpoint) -> Endpoint:
    """An error is an answer in JSON; what a request was about is in no log."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Exception as error:
            status, body = clicks.problem(error)
            return _json(msgspec.json.encode(body), status)

    return answer


def _document(body: dict[str, Any]) -> Response:
    return _json(msgspec.json.encode(body))


def _json(body: bytes, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(body, status, media_type="application/json", headers=_NO_STORE)


class _Guarded:
    """Asks the guard before each request, and adds its headers to each answer."""

    def __init__(self, inside: ASGIApp, guard: Guard) -> None:
        self._inside, self._guard = inside, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # a WebSocket: there is none
            await send({"type": "websocket.close", "code": 1008})
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _with_ours(message.get("headers", ()))
            await send(message)

        headers = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        query = scope["query_string"].decode("latin-1")
        refusal = self._guard.check(scope["method"], scope["path"], query, headers)
        answer = self._inside if refusal is None else _refused(refusal)
        await answer(scope, receive, guarded)


def _with_ours(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Headers of an answer with ours; a browser asks each time whether a file of the page has changed."""
    given = list(headers)
    if not any(name.lower() == b"cache-control" for name, _ in given):
        given.append((b"cache-control", b"no-cache"))
    return [*given, *((name.encode(), value.encode()) for name, value in HEADERS)]


def _refused(refusal: Refusal) -> Response:
    headers = dict(_NO_STORE)
    if refusal.location is not None:
        headers["location"] = refusal.location
    if refusal.cookie is not None:
        headers["set-cookie"] = refusal.cookie
    if refusal.status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers["allow"] = "GET, HEAD"
    return PlainTextResponse(f"{refusal.text}\n", refusal.status, headers=headers)
