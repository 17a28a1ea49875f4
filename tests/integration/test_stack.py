"""`up` and `down` on real servers that are killed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import psycopg2
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from redis import Redis

from sesacctl.stack import jars, ports, stack
from sesacctl.stack.valkey import Valkey
from tests.conftest import Cli
from tests.helpers.servers import RunningStack, clean_environment, run_sesacctl

TOPIC = "kept"


def run(stack: RunningStack, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(SESAC_HOME=str(stack.home))
    return run_sesacctl(*arguments, env=environment, cwd=stack.home.parent, timeout=180)


def up(stack: RunningStack) -> list[str]:
    """The servers that were started."""
    done = run(stack, "up", "-o", "json")
    assert done.returncode == 0, done.stderr
    stack.environment = json.loads(done.stdout)["environment"]
    return list(json.loads(done.stdout)["started"])


def connect(stack: RunningStack) -> psycopg2.extensions.connection:
    connection = psycopg2.connect(host=stack.environment["POSTGRES_HOST"], user="postgres", dbname="sesac_db")
    connection.autocommit = True
    return connection


def redis(stack: RunningStack) -> Redis:
    return Redis(host=stack.environment["REDIS_HOST"], port=int(stack.environment["REDIS_PORT"]), decode_responses=True)


def write(stack: RunningStack) -> None:
    """Something in each server, replaced at each call."""
    with connect(stack) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        cursor.execute("INSERT INTO kept VALUES (1)")
    connection.close()
    with redis(stack) as client:
        client.incr(TOPIC)
    servers = stack.environment["KAFKA_BOOTSTRAP_SERVERS"]
    admin = KafkaAdminClient(bootstrap_servers=servers)
    if TOPIC not in admin.list_topics():
        admin.create_topics([NewTopic(TOPIC, 3, 3)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True)
    futures = [producer.send(TOPIC, b"x", partition=number % 3) for number in range(300)]
    for future in futures:
        future.get(60)
    producer.close()


def read(stack: RunningStack) -> tuple[int, int, int]:
    """Rows, the counter, records."""
    connection = connect(stack)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM kept")
        [(rows,)] = cursor.fetchall()
    connection.close()
    with redis(stack) as client:
        counter = int(str(client.get(TOPIC)))
    consumer = KafkaConsumer(bootstrap_servers=stack.environment["KAFKA_BOOTSTRAP_SERVERS"], enable_auto_commit=False)
    records = sum(consumer.end_offsets([TopicPartition(TOPIC, number) for number in range(3)]).values())
    consumer.close()
    return rows, counter, records


def processes_of(home: Path) -> list[str]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        command = process.info["cmdline"] or []
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(str(home) in word for word in command):
            found.append(" ".join(command))
    return found


def test_up_twice_starts_nothing_the_second_time(private_stack: RunningStack) -> None:
    before = dict(private_stack.environment)
    assert up(private_stack) == []
    assert private_stack.environment == before


@pytest.mark.parametrize(
    "killed",
    [["postgres", "valkey", "kafka-2"], ["postgres", "valkey", "kafka-1", "kafka-2", "kafka-3"]],
    ids=["one of each", "all"],
)
def test_up_resumes_after_kill_9_with_the_data(private_stack: RunningStack, killed: list[str]) -> None:
    write(private_stack)
    before, addresses = read(private_stack), dict(private_stack.environment)
    # Valkey writes its log once a second.
    with redis(private_stack) as client:
        assert client.waitaof(1, 0, 5000)[0] == 1
    for server in killed:
        private_stack.kill(server)
    down = run(private_stack, "stack", "status", "-o", "json")
    assert down.returncode == 5
    assert {item["server"] for item in json.loads(down.stdout)["items"] if item["state"] == "down"} == set(killed)
    assert up(private_stack) == killed
    assert read(private_stack) == before
    assert private_stack.environment == addresses
    assert run(private_stack, "stack", "status").returncode == 0


def test_up_starts_postgres_despite_a_stale_reused_pid(private_stack: RunningStack) -> None:
    private_stack.kill("postgres")
    stranger = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        (private_stack.home / "run" / "postgres.json").write_text(json.dumps({"pid": stranger.pid}))
        lock = private_stack.home / "data" / "postgres" / "postmaster.pid"
        lines = lock.read_text().splitlines()
        lock.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        assert up(private_stack) == ["postgres"]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_port_that_another_program_took_is_replaced(private_stack: RunningStack) -> None:
    before = int(private_stack.environment["REDIS_PORT"])
    private_stack.kill("valkey")
    assert ports.becomes_free(before, 10)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((ports.HOST, before))
        other.listen()
        assert up(private_stack) == ["valkey"]
    assert int(private_stack.environment["REDIS_PORT"]) != before
    with redis(private_stack) as client:
        assert client.ping()


def test_a_port_taken_during_a_server_start_is_replaced(
    private_stack: RunningStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = int(private_stack.environment["REDIS_PORT"])
    private_stack.kill("valkey")
    assert ports.becomes_free(before, 10)
    start, said = Valkey.start, list[str]()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def start_late(server: Valkey, cancel: threading.Event) -> None:
            if server.port == before:
                other.bind((ports.HOST, before))
                other.listen()
            start(server, cancel)

        monkeypatch.setattr(Valkey, "start", start_late)
        result = stack.up(private_stack.home, on_step=said.append)
    assert result.started == ["valkey"]
    assert "port taken by another program, retrying" in said
    assert int(result.environment["REDIS_PORT"]) != before
    private_stack.environment = result.environment
    with redis(private_stack) as client:
        assert client.ping()


def test_a_failing_server_shows_its_log_and_the_others_start(private_stack: RunningStack) -> None:
    write(private_stack)
    private_stack.kill("valkey")
    broken = private_stack.home / "data" / "valkey" / "appendonlydir"
    away = broken.with_name("away")
    broken.rename(away)
    broken.write_text("in the way")
    failed = run(private_stack, "up")
    assert failed.returncode == 4
    assert "error: valkey ended while it was starting" in failed.stderr
    assert "AOF" in failed.stderr or "append" in failed.stderr
    assert private_stack.pid("postgres")
    assert private_stack.pid("kafka-1")
    broken.unlink()
    away.rename(broken)
    assert up(private_stack) == ["valkey"]


def test_env_lines_can_be_evaluated(private_stack: RunningStack) -> None:
    lines = run(private_stack, "stack", "env").stdout
    shown = subprocess.run(
        ["sh", "-c", f'{lines}\nprintf %s "$POSTGRES_HOST"'], capture_output=True, text=True, check=True
    )
    assert shown.stdout == private_stack.environment["POSTGRES_HOST"]


def test_logs_of_one_and_of_no_server(private_stack: RunningStack) -> None:
    assert len(run(private_stack, "stack", "logs", "kafka-1", "-n", "1").stdout.splitlines()) == 1
    unknown = run(private_stack, "stack", "logs", "mysql")
    assert unknown.returncode == 2
    assert "kafka-1" in unknown.stderr


def test_down_ends_everything_and_nothing_else(private_stack: RunningStack) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        (private_stack.home / "run" / "kafka-3.json").write_text(json.dumps({"pid": bystander.pid}))
        done = run(private_stack, "down", "-o", "json")
        assert sorted(json.loads(done.stdout)["stopped"]) == ["kafka-1", "kafka-2", "kafka-3", "postgres", "valkey"]
        assert processes_of(private_stack.home) == []
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    assert not (private_stack.home / "stack.env").exists()
    assert run(private_stack, "stack", "env").returncode == 4
    assert json.loads(run(private_stack, "down", "-o", "json").stdout)["stopped"] == []


def test_a_half_downloaded_jar_without_network_is_one_clear_line(bare_sesacctl: Cli, short_path: Path) -> None:
    cache = short_path / "cache" / "sesacctl" / "jars"
    shutil.copytree(jars.cache_folder(), cache, copy_function=os.symlink)
    damaged = cache / f"kafka-clients-{jars.read_lock().kafka}.jar"  # those of other versions may be there
    whole = damaged.read_bytes()
    damaged.unlink()
    damaged.write_bytes(whole[: len(whole) // 2])
    places = {"XDG_CACHE_HOME": str(short_path / "cache"), "SESAC_HOME": str(short_path / "home")}
    try:
        failed = bare_sesacctl("up", timeout=180, HTTPS_PROXY="http://127.0.0.1:9", **places)
        assert failed.returncode == 4
        assert f"error: cannot fetch {damaged.name} for Kafka: ConnectionRefusedError" in failed.stderr
        assert "check the network" in failed.stderr
        assert "Traceback" not in failed.stderr
        states = json.loads(bare_sesacctl("stack", "status", "-o", "json", timeout=60, **places).stdout)["items"]
        assert [item["state"] for item in states] == ["running", "running", "down", "down", "down"]
    finally:
        assert bare_sesacctl("down", "--purge", "--yes", timeout=120, **places).returncode == 0
    assert processes_of(short_path) == []
    assert not (short_path / "home").exists()


def test_an_unwritable_folder_is_exit_3(bare_sesacctl: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = bare_sesacctl("up", SESAC_HOME=str(tmp_path / "file" / "home"))
    assert done.returncode == 3
    assert "cannot keep the servers' state" in done.stderr
    assert "SESAC_HOME" in done.stderr


def test_purge_asks_first(bare_sesacctl: Cli) -> None:
    assert bare_sesacctl("down", "--purge").returncode == 2


def test_a_killed_up_does_no_harm_to_the_next(bare_sesacctl: Cli, short_path: Path) -> None:
    home = {"SESAC_HOME": str(short_path / "home")}
    try:
        process = bare_sesacctl.start("up", **home)
        assert process.stderr is not None
        while "ready" not in (line := process.stderr.readline()):
            assert line, "ended before anything was ready"
        process.kill()
        process.wait()
        done = bare_sesacctl("up", timeout=180, **home)
        assert done.returncode == 0, done.stderr
    finally:
        assert bare_sesacctl("down", "--purge", "--yes", timeout=120, **home).returncode == 0
    assert processes_of(short_path) == []
