"""No password and no event is ever in a log, an error or a file: canaries are planted, failures forced, all searched.

What a command is asked to show is another matter: `dlq show` shows an event.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from sesacctl.cache.client import connect
from sesacctl.events import ORDERS, USERS, uuid7
from sesacctl.settings import Settings, is_secret, load
from tests.conftest import Cli
from tests.helpers import servers
from tests.helpers.cache_data import fill, fill_up, postgres
from tests.helpers.command_line import ARGUMENTS, commands
from tests.helpers.events import add_parents, message, order, send, user
from tests.helpers.listeners import listener
from tests.helpers.postgres_cluster import cluster
from tests.helpers.servers import PrivateServer, RunningStack
from tests.helpers.topics import make_topics

ROOT = Path(__file__).parents[2]
CANARY = "c4nary"
PASSWORD = f"{CANARY}-p@ss:w/rd%"
# With what an address needs to be one.
SHAPES = {
    "supabase_direct_url": f"postgresql://postgres:{quote(PASSWORD, safe='')}@127.0.0.1:1/postgres",
    "redis_url": f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:1/0",
}
SECRETS = {
    name.upper(): SHAPES.get(name, PASSWORD) for name, field in Settings.model_fields.items() if is_secret(field)
}
# They start servers of their own, without any password.
LEFT_OUT = ("up", "demo")


def every_command() -> Iterator[tuple[str, list[str]]]:
    """Each command there is, with a command line of it whose log is at its most talkative."""
    for name, _ in commands():
        if name not in LEFT_OUT:
            yield name, [*name.split(), *ARGUMENTS.get(name, []), "--log-level", "debug"]


def run_all(folder: Path, **variables: str) -> dict[str, int]:
    """Run every command in `folder`; the exit codes by command. What they print is left in `printed`."""
    lines = dict(every_command())
    printed = folder / "printed"
    printed.mkdir(parents=True)
    environment = servers.clean_environment(**variables, PYTHONPATH=str(ROOT), SESAC_HOME=str(folder / "home"))
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.every_command", str(printed)],
        input="".join(json.dumps(line) + "\n" for line in lines.values()),
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    codes = dict(zip(lines, map(int, done.stdout.split()[::2]), strict=True))
    assert [name for name, code in codes.items() if code == 1] == []  # a traceback shows what no error would
    return codes


def found_in(*folders: Path) -> list[str]:
    """Files that hold a canary, and the line of the first one."""
    found = []
    for folder in folders:
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            content = path.read_bytes()
            at = content.find(CANARY.encode())
            if at >= 0:
                found.append(f"{path.name}: {content[max(0, at - 150) : at + 50]!r}")
    return found


def test_secrets_of_servers_that_refuse_them(tmp_path: Path, private_valkey: PrivateServer) -> None:
    with cluster() as postgres, listener(b"\x00\x00\x00\x04what") as broker:
        postgres.start()
        wrong = {
            "POSTGRES_HOST": "127.0.0.1",
            "POSTGRES_PORT": str(postgres.port),
            "POSTGRES_PASSWORD": PASSWORD,
            **private_valkey.environment,
            "REDIS_PASSWORD": PASSWORD,
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{broker.port}",
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_SASL_MECHANISM": "PLAIN",
            "KAFKA_SASL_USERNAME": "somebody",
            "KAFKA_SASL_PASSWORD": PASSWORD,
        }
        redis = connect(load(**{name.lower(): value for name, value in private_valkey.environment.items()}))
        redis.config_set("requirepass", "another")
        try:
            codes = run_all(tmp_path, **wrong)
        finally:
            redis.config_set("requirepass", "")
            redis.close()
        log = postgres.folder / "log"
        assert "password authentication failed" in log.read_text()
        assert CANARY not in log.read_text()
    assert codes["db check"] == codes["cache sample"] == codes["topics describe"] == codes["lag"] == 4
    assert codes["config show"] == 0
    assert found_in(tmp_path) == []


@pytest.mark.parametrize(
    "variables",
    [
        {**SECRETS, "DB_TYPE": "rds", "RDS_HOST": "127.0.0.1", "RDS_PORT": "1", "RDS_USER": "u", "RDS_DB": "d"},
        {
            **SECRETS,
            "DB_TYPE": "supabase",
            "SUPABASE_DIRECT_URL": f"postgresql://u:{PASSWORD}@h:port",
            "REDIS_URL": f"redis://:{PASSWORD}@[x",
        },
    ],
    ids=["away", "malformed"],
)
def test_secrets_of_servers_that_cannot_be_reached(variables: dict[str, str], tmp_path: Path) -> None:
    codes = run_all(tmp_path, **{"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", **variables})
    assert codes["config show"] == 0
    assert codes["db check"] == codes["lag"] == codes["produce"] == (3 if variables["DB_TYPE"] == "supabase" else 4)
    assert found_in(tmp_path) == []


def test_rows_are_in_no_error_of_a_full_redis(settings: Settings, sesacctl: Cli, private_valkey: PrivateServer) -> None:
    fill(settings, users=1000, products=1000)
    with postgres(settings) as cursor:
        cursor.execute("UPDATE users SET name = %s", (f"{CANARY} 홍길동",))
    with connect(private_valkey.over(settings)) as redis:
        sesacctl.environment |= private_valkey.environment
        worker = sesacctl.start("cache", "refresh", "--loop", "0.1", "-o", "jsonl")
        assert worker.stdout is not None
        worker.stdout.readline()
        fill_up(redis)
        assert worker.stderr is not None
        logged = [next(line for line in worker.stderr if "refresh.waiting" in line)]
        worker.send_signal(signal.SIGTERM)
        logged += worker.communicate(timeout=60)
        once = sesacctl("cache", "refresh", "--log-level", "debug")
    assert (once.returncode, worker.returncode) == (4, 0)
    for said in (once.stdout + once.stderr, "".join(logged)):
        assert f"Redis at 127.0.0.1:{private_valkey.environment['REDIS_PORT']} is full: command not allowed" in said
        assert CANARY not in said


def test_events_are_in_no_log(settings: Settings, sesacctl: Cli, stack: RunningStack) -> None:
    make_topics(settings)
    add_parents(settings, users=3)
    name = {"name": f"{CANARY} 홍길동"}
    send(settings, USERS, [message(user(900, **name)), (CANARY.encode(), CANARY.encode())])
    send(
        settings,
        ORDERS,
        [
            message(order(1, payment_method=CANARY)),
            message(order(1, payment_method=CANARY, quantity=2)),  # the same id, and another order
            message(order(2, user_id=f"{CANARY}-nobody")),
            (b"u1", f'{{"event_type": "{CANARY}"}}'.encode()),
            (CANARY.encode(), message(order(3))[1]),
            (b"u1", f'{{"order": {{"order_id": "{uuid7()}", "quantity": "{CANARY}"}}}}'.encode()),
            (b"u1", None),
        ],
    )
    folder, home = sesacctl.folder, Path(sesacctl.environment["SESAC_HOME"])
    lines = [
        ["cache", "refresh"],
        ["produce", "--count", "20", "--ledger", "ledger.jsonl"],
        ["consume", "-n", "1", "--until-empty"],
        ["dlq", "replay", "--all"],
        ["audit", "--deep"],
    ]
    for number, line in enumerate(lines):
        done = sesacctl(*line, "--log-level", "debug", "--log-format", ("json", "text")[number % 2])
        assert done.returncode in (0, 5), done.stderr
        shown = "" if line[0] == "dlq" else done.stdout  # dead letters are what it was asked for
        (folder / f"{number}.printed").write_text(shown + done.stderr)
    dead = sesacctl("dlq", "list", "-o", "json")
    assert len(json.loads(dead.stdout)["items"]) >= 5
    (folder / "probe").write_text(dead.stdout)
    assert [found.partition(":")[0] for found in found_in(folder)] == ["probe"]
    (folder / "probe").unlink()
    assert found_in(folder, home, stack.home / "logs") == []
