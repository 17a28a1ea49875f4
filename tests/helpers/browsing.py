"""What a browser asks of the dashboard, without one: single answers, and streams of looks."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


def ask(port: int, path: str, *, method: str = "GET", **headers: str) -> Answer:
    """One request; `Host` may be given, and names of headers have _ for -."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.putrequest(method, path, skip_host="Host" in given)
        for name, value in given.items():
            connection.putheader(name, value)
        connection.endheaders()
        found = connection.getresponse()
        names = {name.lower(): value for name, value in found.getheaders()}
        return Answer(found.status, names, found.read().decode())
    finally:
        connection.close()


@dataclass(slots=True)
class Stream:
    """Server-sent events as they come."""

    response: http.client.HTTPResponse
    ids: list[int] = field(default_factory=list)

    def next(self) -> dict[str, Any]:
        """The next look; comments are left out."""
        fields: dict[str, str] = {}
        while True:
            line = self.response.readline().decode().rstrip("\r\n")
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields.get("event") == "look":
                self.ids.append(int(fields["id"]))
                found: dict[str, Any] = json.loads(fields["data"])
                return found
            else:
                assert not self.response.isclosed(), "the stream has ended"
                fields = {}

    def until(self, wanted: Any) -> dict[str, Any]:
        """The first look of which `wanted` says yes."""
        while not wanted(look := self.next()):
            pass
        return look

    def event(self, kind: str) -> dict[str, Any]:
        """The first loop event of this kind that comes."""
        while True:
            for each in self.next()["events"]:
                if each["kind"] == kind:
                    found: dict[str, Any] = each
                    return found


@contextmanager
def stream(port: int, *, after: int | None = None, last_event_id: int | None = None) -> Iterator[Stream]:
    """A browser that listens, as long as the block runs."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
    try:
        connection.request("GET", "/events" + ("" if after is None else f"?after={after}"), headers=headers)
        response = connection.getresponse()
        assert response.status == 200, response.status
        assert response.getheader("content-type", "").startswith("text/event-stream")
        yield Stream(response)
    finally:
        connection.close()
