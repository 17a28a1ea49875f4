"""Who may read the dashboard: the rules for every request, before any route sees it, and the headers of every answer.

Nothing here changes anything: only GET and HEAD exist. A page of another site cannot read it, not even by making its
own name point here (DNS rebinding), as the Host header has to name this machine.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

LEAST_TOKEN = 16
"""A shorter token could be guessed."""
_MADE_BYTES = 24
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_METHODS = ("GET", "HEAD")
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{1,5})?")
_POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    ("content-security-policy", _POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
)


def make_token() -> str:
    """One that cannot be guessed."""
    return secrets.token_urlsafe(_MADE_BYTES)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address to listen on."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request gets no answer; `location` is where to go instead, `cookie` what to bring there."""

    status: HTTPStatus
    text: str
    location: str | None = None
    cookie: str | None = None


class Guard:
    """The rules for one address: `token` is what a browser has to show once, None if it need not."""

    def __init__(self, host: str, port: int, token: str | None) -> None:
        self._token = None if token is None else token.encode()
        self._cookie = f"sesacctl-{port}"  # cookies are of a host, whatever the port
        self._hosts = _names(host)
        self._any_address = is_any(host)

    def check(self, method: str, path: str, query: str, headers: Iterable[tuple[str, str]]) -> Refusal | None:
        """Why this request is refused; None if it may be answered. Names of headers are in lower case."""
        found: dict[str, list[str]] = {}
        for name, value in headers:
            found.setdefault(name, []).append(value)
        if method not in _METHODS:
            return Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "the dashboard only reads: GET and HEAD")
        hosts = found.get("host", [])
        if len(hosts) != 1 or not self.is_ours(hosts[0]):
            return Refusal(HTTPStatus.MISDIRECTED_REQUEST, "the Host header does not name this dashboard")
        if problem := _from_elsewhere(found, hosts[0]):
            return Refusal(HTTPStatus.FORBIDDEN, problem)
        return None if self._token is None else self._check_token(path, query, found.get("cookie", []))

    def is_ours(self, host_header: str) -> bool:
        """Whether a Host header names this machine; any port will do, as tunnels have their own."""
        name = _host_of(host_header)
        if name is None:
            return False
        if name in self._hosts:
            return True
        # Nobody can make a browser take an address for another site's name.
        return self._any_address and _is_address(name)

    def _check_token(self, path: str, query: str, cookies: list[str]) -> Refusal | None:
        assert self._token is not None
        shown = [value for name, value in parse_qsl(query, keep_blank_values=True) if name == "token"]
        if any(_equal(self._token, value) for value in shown):
            rest = urlencode([pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] != "token"])
            location = f"/{quote(path.lstrip('/'))}" + (f"?{rest}" if rest else "")  # never of another host
            return Refusal(HTTPStatus.SEE_OTHER, "", location=location, cookie=self._set_cookie())
        if any(_equal(self._pass().encode(), value) for value in self._brought(cookies)):
            return None
        return Refusal(
            HTTPStatus.UNAUTHORIZED, "open the address that sesacctl dashboard has printed: it has the token"
        )

    def _pass(self) -> str:
        """What the cookie holds: not the token itself, which could be typed elsewhere."""
        assert self._token is not None
        return hmac.new(self._token, b"sesacctl dashboard", sha256).hexdigest()

    def _set_cookie(self) -> str:
        return f"{self._cookie}={self._pass()}; Path=/; HttpOnly; SameSite=Strict"

    def _brought(self, cookies: Iterable[str]) -> list[str]:
        values = []
        for header in cookies:
            try:
                values += [morsel.value for name, morsel in SimpleCookie(header).items() if name == self._cookie]
            except CookieError:
                continue
        return values


def _equal(secret: bytes, shown: str) -> bool:
    return hmac.compare_digest(secret, shown.encode("utf-8", "surrogateescape"))


def _from_elsewhere(found: Mapping[str, list[str]], host: str) -> str | None:
    """Why a request is not from our own page, nor typed or followed by a person; None if it is."""
    site = found.get("sec-fetch-site", ["none"])[0]
    if site not in ("same-origin", "none") and found.get("sec-fetch-mode", [""])[0] != "navigate":
        return "another site may not read this"
    for origin in found.get("origin", []):
        if origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            return "another site may not read this"
    return None


def _host_of(header: str) -> str | None:
    """The name in a Host header in lower case, without its port and brackets; None if it has another form."""
    found = _HOST.fullmatch(header.lower())
    return None if found is None else found[1] or found[2].rstrip(".")


def _names(host: str) -> frozenset[str]:
    """What this machine may be called by one who reaches that address."""
    names = {host.lower()}
    if is_loopback(host) or is_any(host):
        names |= {*_LOOPBACK}
    if is_any(host):
        names.add(socket.gethostname().lower())
    return frozenset(names)


def is_any(host: str) -> bool:
    """Whether an address to listen on stands for all of this machine's."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
