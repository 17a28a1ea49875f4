"""The parts of the storm that need no server: its plan, its proxy, and what it reads."""

from __future__ import annotations

import ast
import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from sesacctl.drill.poison import Sent
from tests.faults import foreign, kinds
from tests.faults.audits import AUDITS, Audited, disagreements
from tests.faults.children import ROOT
from tests.faults.evidence import identify
from tests.faults.ledger_lines import read_ledger
from tests.faults.plan import rounds
from tests.faults.planted import PLANTS, StormPlant
from tests.helpers.proxy import DOWN, UP, Proxy, tcp

COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00Z\x00\x00\x00\x05I"


def _plan(seed: int, count: int = 200) -> list[list[tuple[str, str, float, float]]]:
    found = islice(rounds(seed, kinds.KINDS), count)
    return [[(each.kind.name, each.seed, each.begins, each.ends) for each in planned] for planned in found]


def test_a_seed_has_the_same_faults_again_and_another_has_others() -> None:
    assert _plan(7) == _plan(7)
    assert _plan(7) != _plan(8)


def test_every_kind_has_its_turn_before_one_comes_again() -> None:
    names = [name for planned in _plan(3, 3 * len(kinds.KINDS)) for name, *_ in planned]
    first = names[: 2 * len(kinds.KINDS)]
    assert set(first) == {kind.name for kind in kinds.KINDS}


def test_two_faults_at_once_never_hit_the_same_room() -> None:
    pairs = [planned for planned in rounds_of(9) if len(planned) == 2]
    assert len(pairs) > 20
    assert all(first.partition(".")[0] != second.partition(".")[0] for first, second in pairs)


def test_what_must_be_alone_has_nothing_beside_it() -> None:
    alone = {kind.name for kind in kinds.KINDS if kind.alone}
    assert alone
    assert all(len(names) == 1 for names in rounds_of(11) if alone & set(names))


def test_partitions_need_hosts_and_hosts_have_no_proxies() -> None:
    rooms, on_hosts = ({kind.room for kind in kinds.chosen(on_hosts=where)} for where in (False, True))
    assert "host" not in rooms
    assert "net-postgres" in rooms
    assert {room for room in on_hosts if room.startswith("net-")} == set()
    assert rooms - on_hosts == {"net-postgres", "net-valkey", "net-broker"}


def rounds_of(seed: int) -> list[list[str]]:
    return [[name for name, *_ in planned] for planned in _plan(seed)]


def test_kinds_are_chosen_by_name_or_room() -> None:
    assert {kind.name for kind in kinds.chosen(["broker.kill", "valkey"])} > {"broker.kill", "valkey.set-back"}
    assert all(not kind.own_stack for kind in kinds.chosen(own_stack=False))
    with pytest.raises(KeyError):
        kinds.chosen(["earthquake"])


@pytest.mark.parametrize("planted", PLANTS, ids=lambda planted: planted.plant.name)
def test_a_storms_plant_changes_the_code_as_it_is_now(planted: StormPlant) -> None:
    source = (ROOT / planted.plant.file).read_text("utf-8")
    assert planted.plant.apply(source) != source


@pytest.mark.parametrize("name", ["oracle", "evidence", "ledger_lines", "audits"])
def test_the_oracle_imports_nothing_of_sesacctl(name: str) -> None:
    tree = ast.parse((ROOT / "tests" / "faults" / f"{name}.py").read_text("utf-8"))
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert [module for module in modules if module.partition(".")[0] == "sesacctl"] == []


@contextmanager
def _through(proxy: Proxy) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client's connection through the proxy, and the server's end of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener, closing(proxy):
        proxy.target = tcp(listener.getsockname()[1])
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
            server, _ = listener.accept()
            server.settimeout(10)
            with server:
                yield client, server


def test_the_proxy_passes_everything_on() -> None:
    with _through(Proxy()) as (client, server):
        client.sendall(b"question")
        assert server.recv(100) == b"question"
        server.sendall(b"answer")
        assert client.recv(100) == b"answer"


def test_the_answer_of_a_commit_is_lost_and_nothing_else() -> None:
    proxy = Proxy()
    with _through(proxy) as (client, server):
        proxy.commits_to_lose = 1
        server.sendall(b"C\x00\x00\x00\x0aBEGIN\x00")
        assert client.recv(100) == b"C\x00\x00\x00\x0aBEGIN\x00"
        server.sendall(COMMITTED[:5])
        assert client.recv(100) == COMMITTED[:5]
        server.sendall(COMMITTED[5:])  # a piece of it may have gone before
        assert client.recv(100) == b""
        assert proxy.commits_to_lose == 0


def test_what_is_held_back_arrives_when_the_network_heals() -> None:
    proxy = Proxy()
    with _through(proxy) as (client, server):
        client.sendall(b"a")
        assert server.recv(1) == b"a"
        proxy.hold(UP)
        client.sendall(b"b")
        server.settimeout(0.3)
        with pytest.raises(TimeoutError):
            server.recv(1)
        server.sendall(b"c")
        assert client.recv(1) == b"c"
        server.settimeout(10)
        proxy.heal()
        assert server.recv(1) == b"b"


def test_one_direction_can_end_alone() -> None:
    proxy = Proxy()
    with _through(proxy) as (client, server):
        client.sendall(b"a")
        assert server.recv(1) == b"a"
        proxy.half_close(DOWN)
        assert client.recv(1) == b""
        client.sendall(b"b")
        assert server.recv(1) == b"b"


def test_a_ledger_with_a_torn_end_is_read_up_to_it(tmp_path: Path) -> None:
    ledger = tmp_path / "l.jsonl"
    lines = ['{"sent":"orders","id":"a"}', '{"sent":"orders","id":"b"}', '{"acked":"orders","id":"a"}', '{"acked":"ord']
    ledger.write_text("\n".join(lines))
    found = read_ledger(ledger)
    assert (found.sent["orders"], found.acknowledged["orders"], found.problems) == ({"a", "b"}, {"a"}, [])


def test_an_acknowledgement_of_what_was_never_sent_is_a_problem(tmp_path: Path) -> None:
    ledger = tmp_path / "l.jsonl"
    ledger.write_text('{"acked":"orders","id":"a"}\nnot json\n')
    assert len(read_ledger(ledger).problems) == 2


def test_a_body_is_the_same_however_it_is_written() -> None:
    row = {"order_id": "o1", "user_id": "u", "product_id": "p", "quantity": 1, "total_amount": 2}
    event = {"event_type": "order_created", "timestamp": "2026-11-22T20:00:00Z", "order": row}
    same = row | {"shipping_cost": 0, "created_at": "2026-11-22T21:00:00+01:00"}
    other = row | {"quantity": 2, "created_at": "2026-11-22T20:00:00Z"}
    found = [identify("orders", json.dumps(value).encode()) for value in (event, same, other)]
    assert {row_id for row_id, _ in found} == {"o1"}
    assert found[0] == found[1] != found[2]
    assert identify("orders", b"{") == identify("orders", None) == (None, 0)


def test_hostile_messages_are_those_of_their_seed() -> None:
    def some(seed: int) -> list[Sent]:
        return list(islice(foreign.hostile(Random(seed), ["u1"], ["p1"]), 300))

    found = some(1)
    assert [key for key, _ in found] == [key for key, _ in some(1)]
    assert len({value for _, value in found}) > 200
    assert any(value is None for _, value in found)
    assert any(value is not None and identify("orders", value)[0] for _, value in found)


@pytest.mark.parametrize(("codes", "clean", "wrong"), [((0, 0), True, 0), ((5, 0), True, 1), ((5, 0), False, 1)])
def test_an_audit_that_disagrees_with_the_oracle_is_named(codes: tuple[int, ...], clean: bool, wrong: int) -> None:
    audited = [Audited(name, code, "") for name, code in zip(AUDITS, codes, strict=False)]
    assert len(disagreements(audited, clean=clean)) == wrong
