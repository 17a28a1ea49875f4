"""Who may read the dashboard."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from sesacctl.dashboard import guard
from sesacctl.dashboard.guard import Guard

TOKEN = "correct-horse-battery"
LOCAL = Guard("127.0.0.1", 8600, None)
OPEN = Guard("0.0.0.0", 8600, TOKEN)
SHOP = Guard("shop.internal", 8600, TOKEN)


def ask(rules: Guard, *headers: tuple[str, str], method: str = "GET", path: str = "/look", query: str = "") -> int:
    """The status of a refusal; 200 if there is none."""
    found = rules.check(method, path, query, headers)
    return HTTPStatus.OK if found is None else found.status


@pytest.mark.parametrize("host", ["127.0.0.1:8600", "localhost:8600", "LOCALHOST", "[::1]:8600", "localhost.:9000"])
def test_this_machine_is_known_by_its_names_on_any_port(host: str) -> None:
    assert ask(LOCAL, ("host", host)) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8600", "127.0.0.1.evil.example", "localhost:8600@evil.example", "", "[::1", ":8600",
     "192.168.0.7:8600", "127.0.0.1:8600:8600", "localhost evil.example", "0x7f.1", "127.1"],
)  # fmt: skip
def test_another_name_in_the_host_header_is_refused(host: str) -> None:
    assert ask(LOCAL, ("host", host)) == 421


def test_a_request_names_its_host_exactly_once() -> None:
    assert ask(LOCAL) == 421
    assert ask(LOCAL, ("host", "localhost"), ("host", "evil.example")) == 421


def test_an_open_address_is_known_by_any_address_of_it() -> None:
    assert OPEN.is_ours("192.168.0.7:8600")
    assert OPEN.is_ours("[fe80::1]:8600")
    assert not OPEN.is_ours("evil.example")


def test_a_name_to_listen_on_is_the_only_one() -> None:
    assert SHOP.is_ours("shop.internal:8600")
    assert not SHOP.is_ours("localhost:8600")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get"])
def test_only_get_and_head_exist(method: str) -> None:
    assert ask(LOCAL, ("host", "localhost"), method=method) == 405


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_another_site_reads_no_data(site: str) -> None:
    assert ask(LOCAL, ("host", "localhost"), ("sec-fetch-site", site), ("sec-fetch-mode", "cors")) == 403
    assert ask(LOCAL, ("host", "localhost"), ("sec-fetch-site", site)) == 403


def test_a_link_from_another_site_may_be_followed() -> None:
    headers = (("host", "localhost"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"))
    assert ask(LOCAL, *headers) == 200


def test_an_origin_that_is_not_ours_is_refused() -> None:
    assert ask(LOCAL, ("host", "localhost:8600"), ("origin", "http://evil.example")) == 403
    assert ask(LOCAL, ("host", "localhost:8600"), ("origin", "null")) == 403
    assert ask(LOCAL, ("host", "localhost:8600"), ("origin", "http://localhost:3000")) == 403
    assert ask(LOCAL, ("host", "localhost:8600"), ("origin", "http://localhost:8600")) == 200


def test_without_the_token_nothing_is_shown() -> None:
    for path in ("/", "/look", "/events", "/static/main.js", "/dead-letters/1"):
        assert ask(OPEN, ("host", "10.0.0.1"), path=path) == 401
    assert ask(OPEN, ("host", "10.0.0.1"), query="token=wrong") == 401
    assert ask(OPEN, ("host", "10.0.0.1"), query="token=") == 401
    assert ask(OPEN, ("host", "10.0.0.1"), ("cookie", f"sesacctl-8600={TOKEN}")) == 401
    assert ask(OPEN, ("host", "10.0.0.1"), ("cookie", 'sesacctl-8600="; x=\x80')) == 401


def test_the_token_is_shown_once_and_leaves_the_address() -> None:
    found = OPEN.check("GET", "/trace", f"order_id=7&token={TOKEN}", [("host", "10.0.0.1")])
    assert found is not None
    assert (found.status, found.location) == (303, "/trace?order_id=7")
    assert found.cookie is not None
    cookie, *attributes = found.cookie.split("; ")
    assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Strict"]
    assert TOKEN not in cookie
    assert ask(OPEN, ("host", "10.0.0.1"), ("cookie", f"other=1; {cookie}")) == 200


def test_the_redirect_stays_on_this_host() -> None:
    found = OPEN.check("GET", "//evil.example/", f"token={TOKEN}", [("host", "10.0.0.1")])
    assert found is not None
    assert found.location == "/evil.example/"


def test_cookies_of_two_dashboards_on_a_host_differ() -> None:
    other = Guard("0.0.0.0", 8601, TOKEN).check("GET", "/", f"token={TOKEN}", [("host", "10.0.0.1")])
    assert other is not None
    assert other.cookie is not None
    assert other.cookie.startswith("sesacctl-8601=")


def test_a_made_token_is_long_enough_and_never_the_same() -> None:
    made = {guard.make_token() for _ in range(100)}
    assert len(made) == 100
    assert min(map(len, made)) >= 32


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.1", False), ("shop.internal", False)],
)  # fmt: skip
def test_loopback_addresses_are_told_from_others(host: str, loopback: bool) -> None:
    assert guard.is_loopback(host) is loopback


def test_the_policy_allows_nothing_inline_and_no_other_host() -> None:
    policy = dict(guard.HEADERS)["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert "unsafe" not in policy
    assert "http" not in policy
