"""Ports are chosen among those that a server can have."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from sesacctl.errors import ServerNotStarted
from sesacctl.stack import ports


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind((ports.HOST, 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def test_a_listening_port_is_not_free(taken: int) -> None:
    assert not ports.is_free(taken)
    assert ports.answers(taken)


def test_a_port_is_free_again_after_its_server_ended() -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Valkey and Java do
        listener.bind((ports.HOST, 0))
        listener.listen()
        port = int(listener.getsockname()[1])
        client = socket.create_connection((ports.HOST, port))
        listener.accept()[0].close()  # the server's side closes first, so that the port is left in TIME_WAIT
        client.close()
    assert ports.is_free(port)
    assert not ports.answers(port)


def test_taken_ports_are_passed_over(taken: int) -> None:
    free = next(port for port in ports.CANDIDATES if ports.is_free(port))
    assert ports.choose(1, [taken, free]) == [free]


def test_a_full_range_is_one_clear_error(taken: int) -> None:
    with pytest.raises(ServerNotStarted, match=f"2 free ports are needed .* 0 of {taken}-{taken} are free") as raised:
        ports.choose(2, [taken])
    assert raised.value.exit_code == 4
    assert "sesacctl up" in str(raised.value.hint)


def test_ports_are_distinct() -> None:
    assert len(set(ports.choose(7))) == 7
