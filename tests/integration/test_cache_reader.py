"""Readers: what they draw, what it costs Redis, and what they say when there is nothing to draw."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from shutil import which
from time import monotonic
from typing import Any

import pytest
from redis import Redis

from sesacctl.cache import client as client_module
from sesacctl.cache import connections
from sesacctl.cache.client import CacheReader, connect, get_redis_client
from sesacctl.cache.rows import Table
from sesacctl.cache.snapshot import publish
from sesacctl.errors import CacheEmpty, ServerRefused, ServerUnreachable
from sesacctl.settings import Settings, load
from tests.helpers.servers import PrivateServer
from tests.helpers.waiting import within

AT = datetime(2026, 11, 22, tzinfo=UTC)
BASE = {"name": "홍길동", "created_at": "2026-11-22T20:00:00+00:00", "join_date": None}
USER = {"gender": "F", "age": 34, "age_group": "30대", "region": "서울"}
PRODUCT = {"category": None, "brand": None, "price": 1, "org_price": None, "discount_rate": 1.5, "stock": 2}


def rows(generation: int, count: int = 1000) -> dict[Table, dict[str, str]]:
    """A generation whose rows say which it is, by their ids."""
    users = {f"{generation}-u{n}": json.dumps({"user_id": f"{generation}-u{n}", **BASE, **USER}) for n in range(count)}
    products = {
        f"{generation}-p{n}": json.dumps({"product_id": f"{generation}-p{n}", **BASE, **PRODUCT}) for n in range(count)
    }
    return {"users": users, "products": products}


def put(redis: Redis, generation: int, count: int = 1000, period: int = 50) -> None:
    publish(redis, rows(generation, count), at=AT + timedelta(seconds=generation), plan={"period": period})


@pytest.fixture
def own(private_valkey: PrivateServer) -> Settings:
    return private_valkey.over(load())


@pytest.fixture
def redis(own: Settings) -> Iterator[Redis]:
    with connect(own) as redis:
        yield redis


def commands(redis: Redis) -> Counter[str]:
    stats: dict[str, Any] = redis.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): entry["calls"] for name, entry in stats.items()})


def test_draws_are_uniform_and_typed(own: Settings, redis: Redis) -> None:
    put(redis, 1)
    reader = CacheReader(connect(own))
    drawn = Counter(reader.get_random_user()["user_id"] for _ in range(200_000))
    assert len(drawn) == 1000
    chi_square = sum((count - 200) ** 2 / 200 for count in drawn.values())
    assert 820 < chi_square < 1210  # for 999 degrees of freedom, each side is passed once in 100,000 runs
    assert reader.get_random_user()["age"] == 34
    assert reader.get_random_product()["price"] == 1
    assert reader.generation == 1


def test_draws_cost_redis_one_command_a_second(own: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    put(redis, 1)
    reader = CacheReader(connect(own))
    reader.is_connected()  # so that the greetings of a new connection are not counted
    before, clock = commands(redis), count(monotonic())
    monkeypatch.setattr(client_module, "monotonic", lambda: next(clock) / 10_000)
    for _ in range(25_000):  # each draw reads the clock once: five seconds
        reader.get_random_user(), reader.get_random_product()
    sent = commands(redis) - before - Counter({"info": 1})
    assert sent["hvals"] == 2
    assert 4 <= sent.total() <= 2 + 5


def test_a_new_generation_is_read_once_and_whole(own: Settings, redis: Redis) -> None:
    put(redis, 1)
    reader = CacheReader(connect(own), look_every=0.0)
    assert reader.generation is None
    for generation in range(2, 6):
        before = commands(redis)
        for _ in range(3):
            assert {row["user_id"].split("-")[0] for row in reader.users()} == {str(generation - 1)}
        assert commands(redis)["hvals"] - before["hvals"] == 2
        assert reader.generation == generation - 1
        put(redis, generation)


def test_a_generation_written_during_a_look_is_read_next(
    own: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the two it read first: rows must not be taken for those of a generation that came after them."""
    put(redis, 1)
    reader = CacheReader(connect(own), look_every=0.0)
    rows_of, written = client_module._unless_no_hash, threading.Event()

    def then_write(table: Table, reply: Any) -> list[bytes]:
        if not written.is_set():
            written.set()
            put(redis, 2)
        return rows_of(table, reply)

    monkeypatch.setattr(client_module, "_unless_no_hash", then_write)
    reader.users()
    assert {row["user_id"].split("-")[0] for row in reader.users()} == {"2"}


def test_threads_share_a_reader_through_200_generations(own: Settings, redis: Redis) -> None:
    put(redis, 0)
    reader = CacheReader(connect(own), look_every=0.001)
    problems: list[object] = []
    stop = threading.Event()

    def draw() -> None:
        while not stop.wait(0.001):
            users, products = (
                [row["user_id"] for row in reader.users()],
                [row["product_id"] for row in reader.products()],
            )
            for found in (users, products):
                if len(found) != 50 or len({key.split("-")[0] for key in found}) != 1:
                    problems.append(found)

    put(redis, 1, 50)
    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for generation in range(2, 202):
        put(redis, generation, 50)
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == []


def test_a_sample_has_different_rows(own: Settings, redis: Redis) -> None:
    put(redis, 1, 10)
    reader = CacheReader(connect(own))
    assert len({row["user_id"] for row in reader.sample("users", 4)}) == 4
    assert len(reader.sample("products", 50)) == 10


def test_an_empty_cache_says_so_and_names_the_next_command(own: Settings, redis: Redis) -> None:
    reader = CacheReader(connect(own))
    for draw in (reader.get_random_user, reader.get_random_product, reader.users):
        with pytest.raises(CacheEmpty, match=str(own.redis_port)) as caught:
            draw()
        assert caught.value.hint == "sesacctl cache refresh"
    before = commands(redis)
    for _ in range(1000):
        with pytest.raises(CacheEmpty):
            reader.get_random_user()
    assert (commands(redis) - before).total() <= 4
    assert reader.is_connected()


def test_an_empty_cache_is_found_filled(own: Settings, redis: Redis) -> None:
    reader = CacheReader(connect(own), look_every=0.0)
    with pytest.raises(CacheEmpty):
        reader.users()
    put(redis, 1)
    assert len(reader.users()) == 1000


def test_lost_rows_are_served_until_the_next_refresh_is_overdue(
    own: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(redis, 1, period=300)
    reader = CacheReader(connect(own), look_every=0.0)
    reader.users()
    redis.flushall()
    now = monotonic()
    monkeypatch.setattr(client_module, "monotonic", lambda: now + 302)
    assert len(reader.users()) == len(reader.products()) == 1000
    monkeypatch.setattr(client_module, "monotonic", lambda: now + 312)
    with pytest.raises(CacheEmpty):
        reader.users()
    put(redis, 1, 7)  # the generation's number starts over
    assert len(reader.users()) == 7


def test_one_hash_evicted_alone_is_kept_too(own: Settings, redis: Redis) -> None:
    put(redis, 1)
    reader = CacheReader(connect(own), look_every=0.0)
    reader.users()
    redis.delete("cache:products", "cache:meta")
    assert len(reader.products()) == len(reader.users()) == 1000


def test_rows_written_by_another_program_are_read(own: Settings, redis: Redis) -> None:
    values: dict[Any, str] = rows(1, 5)["users"]
    redis.hset("cache:users", mapping=values)
    reader = CacheReader(connect(own))
    assert len(reader.users()) == 5
    assert reader.generation is None


def test_redis_killed_is_named_and_found_again_with_its_rows(
    own: Settings, redis: Redis, private_valkey: PrivateServer
) -> None:
    put(redis, 1)
    redis.bgrewriteaof()
    reader = CacheReader(connect(own), look_every=0.0)
    reader.users()
    private_valkey.kill()
    for _ in range(2):
        with pytest.raises(ServerUnreachable, match=f"127.0.0.1:{own.redis_port}") as caught:
            reader.get_random_user()
        assert "set REDIS_URL, or REDIS_HOST and REDIS_PORT" in str(caught.value.hint)
    assert not reader.is_connected()
    private_valkey.start()
    assert len(reader.users()) == 1000
    assert reader.is_connected()


def test_a_draw_overtaken_by_recovery_reports_the_outage(
    own: Settings, redis: Redis, private_valkey: PrivateServer
) -> None:
    class Overtaken(CacheReader):
        def _raise_missing(self, *arguments: Any) -> Any:
            """Before this draw goes on, another one finds Redis again."""
            private_valkey.start()
            put(redis, 1)
            assert len(self.users()) == 1000
            return super()._raise_missing(*arguments)

    private_valkey.kill()
    with pytest.raises(ServerUnreachable):
        Overtaken(connect(own), look_every=0.0).users()


def test_a_stopped_redis_is_given_up_in_bounded_time(
    own: Settings, redis: Redis, private_valkey: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 0.5)
    put(redis, 1)
    reader = CacheReader(connect(own), look_every=0.0)
    reader.users()
    private_valkey.suspend()
    with within(5):
        with pytest.raises(ServerUnreachable):
            reader.users()
        assert not reader.is_connected()
        assert not CacheReader(connect(own)).is_connected()
    private_valkey.resume()
    assert len(reader.users()) == 1000


def test_acl_users_and_passwords(own: Settings, redis: Redis) -> None:
    put(redis, 1)
    password = "p@ss:w/rd?#[한글]"
    commands = ["+hvals", "+hmget", "+ping"]
    redis.acl_setuser("reader", enabled=True, passwords=[f"+{password}"], keys=["cache:*"], commands=commands)
    user = own.model_dump(exclude_none=True) | {"redis_username": "reader"}
    assert len(CacheReader(connect(load(**user, redis_password=password))).users()) == 1000
    with pytest.raises(ServerRefused, match="refused") as caught:
        CacheReader(connect(load(**user, redis_password="canary"))).users()
    assert "canary" not in str(caught.value)
    assert "REDIS_PASSWORD" in str(caught.value.hint)
    redis.acl_setuser("reader", enabled=True, commands=["-hvals"])
    with pytest.raises(ServerRefused):
        CacheReader(connect(load(**user, redis_password=password))).users()


def test_another_service_on_the_port_is_not_taken_for_redis(own: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with suppress(OSError):  # closed at the end of the test
                while True:
                    connection, _ = server.accept()
                    connection.recv(1000)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    connection.close()

        threading.Thread(target=answer, daemon=True).start()
        port = server.getsockname()[1]
        with pytest.raises((ServerRefused, ServerUnreachable), match=str(port)):
            CacheReader(connect(own.model_copy(update={"redis_port": port}))).users()


@pytest.mark.skipif(which("openssl") is None, reason="needs Debian's openssl to make a certificate")
def test_rediss_checks_the_certificate(own: Settings, redis: Redis, tmp_path: Path) -> None:
    put(redis, 1)
    with tls_proxy(tmp_path, own.redis_port) as (port, ca):
        url = f"rediss://localhost:{port}/0"
        trusted = CacheReader(connect(load(redis_url=f"{url}?ssl_ca_certs={ca}")))
        assert len(trusted.users()) == 1000
        with pytest.raises(ServerUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
            CacheReader(connect(load(redis_url=url))).users()


@contextmanager
def tls_proxy(folder: Path, target: int) -> Iterator[tuple[int, Path]]:
    """TLS in front of Valkey, which was built without it: port, and the certificate to trust."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def carry(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            return

    def serve(server: socket.socket) -> None:
        while True:
            try:
                plain, _ = server.accept()
                client = context.wrap_socket(plain, server_side=True)
            except ssl.SSLError:
                continue
            except OSError:
                return
            upstream = socket.create_connection(("127.0.0.1", target))
            threading.Thread(target=carry, args=(client, upstream), daemon=True).start()
            threading.Thread(target=carry, args=(upstream, client), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        yield server.getsockname()[1], certificate
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.usefixtures("own")
def test_the_library_call_of_the_guide(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, private_valkey: PrivateServer
) -> None:
    put(redis, 1)
    for name, value in private_valkey.environment.items():
        monkeypatch.setenv(name, value)
    get_redis_client.cache_clear()
    redis_client = get_redis_client()
    assert redis_client is get_redis_client()
    assert redis_client.get_random_user()["user_id"].startswith("1-u")
    assert redis_client.get_random_product()["product_id"].startswith("1-p")
    assert redis_client.is_connected()
    get_redis_client.cache_clear()
