"""The dashboard on a real port, with a loop that is made up."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from sesacctl.dashboard import server
from sesacctl.dashboard.server import Address, serving
from sesacctl.errors import ConfigurationError, UsageError
from sesacctl.pipeline.watch.observation import Observation
from sesacctl.pipeline.watch.observer import Observer
from sesacctl.settings import load
from tests.helpers.browsing import ask, stream
from tests.helpers.looks import Counted
from tests.helpers.observations import GOOD, without

TOKEN = "correct-horse-battery"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Stands for the servers: PostgreSQL is away at every second look."""
    made = Counted(lambda number: GOOD if number % 2 else without("Redis"))

    def observe(_self: Observer) -> Observation:
        return made()

    monkeypatch.setattr(Observer, "observe", observe)
    return made


@pytest.fixture
def port(counted: Counted) -> Iterator[int]:
    with serving(load(), port=0) as address:
        assert not counted.asked  # nobody looks yet
        yield address.port


def test_every_answer_has_the_headers(port: int) -> None:
    for path in ("/", "/look", "/plain", "/history", "/static/style.css", "/nothing", "/static/../server.py"):
        found = ask(port, path)
        assert "default-src 'none'" in found.headers["content-security-policy"], path
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["referrer-policy"] == "no-referrer"
        assert "server" not in found.headers


def test_data_is_never_stored_and_files_are_asked_for_again(port: int) -> None:
    for path in ("/look", "/history", "/plain"):
        assert ask(port, path).headers["cache-control"] == "no-store"
    assert ask(port, "/static/style.css").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["/", "/look", "/events", "/dead-letters", "/nothing", "/static/style.css"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(port: int, path: str, method: str) -> None:
    found = ask(port, path, method=method)
    assert (found.status, found.headers["allow"]) == (405, "GET, HEAD")


def test_head_has_no_body_and_does_not_stream(port: int) -> None:
    for path in ("/", "/look", "/events"):
        found = ask(port, path, method="HEAD")
        assert (found.status, found.text) == (200, ""), path


def test_files_outside_of_the_page_are_not_there(port: int) -> None:
    for path in ("/static/../server.py", "/static/%2e%2e/server.py", "/static//etc/passwd", "/server.py"):
        assert ask(port, path).status == 404, path


def test_another_host_header_is_refused_on_the_wire(port: int) -> None:
    assert ask(port, "/look", Host="evil.example").status == 421
    assert ask(port, "/look", Sec_Fetch_Site="cross-site").status == 403
    assert ask(port, "/look", Origin="http://evil.example").status == 403


def test_ten_browsers_share_their_looks(port: int, counted: Counted) -> None:
    with ExitStack() as open_streams:
        browsers = [open_streams.enter_context(stream(port)) for _ in range(10)]
        for _ in range(3):
            for each in browsers:
                each.next()
        seen = {number for each in browsers for number in each.ids}
        assert counted.asked <= max(seen) - min(seen) + 3
        assert all(each.ids == sorted(set(each.ids)) for each in browsers)


def test_a_browser_that_comes_again_has_missed_no_event(port: int) -> None:
    with stream(port) as first:
        for _ in range(2):
            look = first.next()
    with stream(port, last_event_id=first.ids[0]) as again, stream(port, after=first.ids[0]) as other:
        for each in (again.next(), other.next()):
            kinds = [event["kind"] for event in each["events"]]
            assert kinds[: len(look["events"])] == [event["kind"] for event in look["events"]]
            assert kinds


@pytest.mark.parametrize("after", ["x", "-1", "9" * 40, "1; x"])
def test_an_id_that_makes_no_sense_is_none(port: int, after: str) -> None:
    assert ask(port, f"/events?after={after.replace(' ', '%20')}", method="HEAD").status == 200


def test_the_plain_page_is_a_page(port: int) -> None:
    found = ask(port, "/plain")
    assert found.headers["content-type"].startswith("text/html")
    assert "<table>" in found.text


@pytest.mark.usefixtures("counted")
def test_the_token_is_asked_for_and_remembered() -> None:
    with serving(load(), port=0, token=TOKEN) as address:
        assert address.url.endswith(f":{address.port}/?token={TOKEN}")
        assert ask(address.port, "/look").status == 401
        first = ask(address.port, f"/?token={TOKEN}")
        assert (first.status, first.headers["location"], first.text.strip()) == (303, "/", "")
        cookie = first.headers["set-cookie"].partition(";")[0]
        assert ask(address.port, "/look", Cookie=cookie).status == 200


@pytest.mark.usefixtures("counted")
def test_another_address_has_a_token_without_being_asked() -> None:
    with serving(load(), host="0.0.0.0", port=0) as address:
        assert address.token is not None
        assert ask(address.port, "/look").status == 401


def test_a_token_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(UsageError, match="4 characters"), serving(load(), port=0, token="shop"):
        pass


def test_a_port_that_is_taken_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{taken}: Address already in use"):
            serving(load(), port=taken).__enter__()


@pytest.mark.parametrize("host", ["192.0.2.1", "x" * 300, "\udcff"])
def test_an_address_that_is_not_ours_is_said_so(host: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be served"):
        serving(load(), host=host, port=0).__enter__()


def test_a_missing_package_names_the_command_that_adds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sse_starlette", None)
    with pytest.raises(ConfigurationError, match="not installed") as caught:
        server.require()
    assert "[web]" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (Address("127.0.0.1", 8600, None), "http://127.0.0.1:8600/"),
        (Address("::1", 8600, "a b/c+d=="), "http://[::1]:8600/?token=a%20b%2Fc%2Bd%3D%3D"),
    ],
)
def test_the_address_can_be_opened(address: Address, url: str) -> None:
    assert address.url == url
