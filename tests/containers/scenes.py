"""What is done to the containers, in order; each scene is a function that raises `Failed`."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sesacctl.events import ORDERS, PARTITIONS
from tests.containers.project import LEDGER_CONTAINER, NETWORK, Failed, Project
from tests.helpers import documents
from tests.helpers.documents import ROOT

Say = Callable[[str], None]

UP_SECONDS = 180.0
# Of the machine's processors; on a busier one, `up` is not held against its seconds.
_MOST_BUSY = 2.0
_TURN_SECONDS = 600.0
_CUT_SECONDS = 15.0
_SOME = 100
_MANY = 500
_HOSTS = 3
_SECOND_TAG = "sesacctl:next"
_OURS = ("cache-worker", "producer", "consumers")
# A JVM ends with 128 + SIGTERM.
_DRAINED = {"kafka": (0, 143)}

# The parts of the seed guide that are not in docs/deploy.md, as they stand there.
_GUIDE = r"""
docker exec python_dev python -m database.init_db
docker exec python_dev python -c "
from database import database, crud, models
db = database.SessionLocal()
crud.create_user(db, {
    'user_id': 'U_001', 'name': 'Hong Gil Dong', 'gender': 'M', 'age': 30, 'address': 'Seoul Gangnam-gu ...'
})
crud.create_product(db, {'product_id': 'P1001', 'name': 'MacBook Pro', 'category': 'Electronics', 'price': 3000000})
crud.create_order(db, {'user_id': 'U_001', 'product_id': 'P1001', 'quantity': 1, 'total_amount': 3000000})
db.close()
"
docker exec python_dev python -c "
from cache.client import get_redis_client
redis_client = get_redis_client()
assert redis_client.is_connected()
print(redis_client.get_random_user(), redis_client.get_random_product())
"
docker exec local_redis redis-cli hlen cache:products
docker exec local_postgres psql -U postgres -d sesac_db -c "
SELECT * FROM users WHERE last_cached_at IS NULL LIMIT 5;
SELECT * FROM users WHERE last_cached_at IS NOT NULL ORDER BY last_cached_at ASC LIMIT 5;
UPDATE users SET last_cached_at = NOW() WHERE user_id IN ('U_001');
SELECT COUNT(*) FROM users WHERE last_cached_at IS NULL;
SELECT COUNT(*) FROM products WHERE last_cached_at IS NULL;
UPDATE users SET last_cached_at = NULL;
"
"""
# Run in python_dev: partitions of `orders` and of all topics by the host that has them.
_SHARES = """
import collections, json
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment
from sesacctl.broker.clients import admin_client
from sesacctl.broker.groups import group_members
from sesacctl.settings import load
settings, hosts = load(), collections.defaultdict(list)
with admin_client(settings) as client:
    for member in group_members(client, settings.kafka_group):
        given = member.member_assignment
        for topic in ConsumerProtocolAssignment.decode(given).assigned_partitions if given else ():
            hosts[member.client_host] += [topic.topic] * len(topic.partitions)
print(json.dumps({host: [topics.count('orders'), len(topics)] for host, topics in hosts.items()}))
"""


def up(project: Project, say: Say) -> None:
    """From nothing to a loop that turns."""
    began, load = time.monotonic(), os.getloadavg()[0]
    project.compose("up", "-d")
    project.wait_rise(_SOME, _TURN_SECONDS)
    seconds = time.monotonic() - began
    say(f"the loop turns after {seconds:.0f} s, begun at a load of {load:.0f}")
    if seconds > UP_SECONDS and load < _MOST_BUSY * (os.cpu_count() or 1):
        raise Failed(f"{seconds:.0f} s are more than {UP_SECONDS:.0f}")
    project.wait_all_healthy(_TURN_SECONDS)
    say(f"all are healthy after {time.monotonic() - began:.0f} s")
    # With the port that the service's health check asks.
    arguments = ("produce", "--rate", "50", "--ledger", "/ledger/orders", "--metrics-port", "9464")
    project.compose(
        "run", "-d", "--no-deps", "--name", LEDGER_CONTAINER, "-v", f"{project.ledger}:/ledger", "producer", *arguments
    )
    project.wait_for("a ledger", lambda: any(project.ledger.iterdir()), _TURN_SECONDS)


def guide(project: Project, say: Say) -> None:
    """The seed guide's commands, as docs/deploy.md has them and as the guide itself has the rest."""
    text = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    block = next(each.content for each in documents.blocks(text) if "pg_isready" in each.content)
    for script in (block, _GUIDE):
        project.on_terminal(script)
    say(f"{len(re.findall(r'^docker', block + _GUIDE, re.MULTILINE))} commands")
    project.wait_rise(_SOME, _TURN_SECONDS)


def restarts(project: Project, say: Say) -> None:
    """Each service."""
    for service in project.services:
        with _timed(say, f"{service} restarted, the loop turns"):
            project.compose("restart", service)
            _wait_back(project, service)
            project.wait_rise(_SOME, _TURN_SECONDS)
    project.wait_all_healthy(_TURN_SECONDS)


def kills(project: Project, say: Say) -> None:
    """Each container, by a SIGKILL that nobody has asked for: the engine starts it again."""
    for service in project.services:
        (container,) = project.containers(service)
        before = project.inspect(container)["RestartCount"]
        with _timed(say, f"{service} killed, back, the loop turns"):
            project.crash(container)
            project.wait_for(
                f"{service} started again",
                lambda one=container, count=before: project.inspect(one)["RestartCount"] > count,
                _TURN_SECONDS,
            )
            _wait_back(project, service)
            project.wait_rise(_SOME, _TURN_SECONDS)
    project.wait_all_healthy(_TURN_SECONDS)


def _wait_back(project: Project, service: str) -> None:
    """A broker has to answer before the next one goes: two of three are the majority."""
    back = project.healthy if service.startswith("kafka") else project.running
    project.wait_for(f"{service} back", lambda: back(service), _TURN_SECONDS)


def scale(project: Project, say: Say) -> None:
    """Three hosts of consumers."""
    project.compose("up", "-d", "--no-recreate", "--scale", f"consumers={_HOSTS}")
    project.wait_for(f"{_HOSTS} hosts", lambda: len(project.containers("consumers")) == _HOSTS, _TURN_SECONDS)
    project.wait_for("consumers healthy", lambda: project.healthy("consumers"), _TURN_SECONDS)
    project.wait_rise(_MANY, _TURN_SECONDS)
    shares: dict[str, list[int]] = {}

    def even() -> bool:
        text = project.docker("exec", "python_dev", "python", "-c", _SHARES, check=False)
        shares.clear()
        shares.update(json.loads(text or "{}"))
        orders = [share[0] for share in shares.values()]
        return len(orders) == _HOSTS and sum(orders) == PARTITIONS[ORDERS] and max(orders) - min(orders) <= 1

    project.wait_for("`orders` shared by the hosts", even, _TURN_SECONDS)
    say(f"partitions of orders, and of all, by host: {', '.join(f'{a} of {b}' for a, b in shares.values())}")


def cuts(project: Project, say: Say) -> None:
    """A broker, one host of consumers, and PostgreSQL are off the network for a while."""
    for service, turns in (("kafka2", True), ("consumers", True), ("postgres", False)):
        container = project.containers(service)[0]
        with _timed(say, f"{service} cut off for {_CUT_SECONDS:.0f} s or more, back, the loop turns"):
            before = project.stored()
            with _cut(project, container, service):
                time.sleep(_CUT_SECONDS)  # the length of the fault
                if turns:
                    project.wait_rise(_SOME, _TURN_SECONDS)
                elif project.stored() > before + _MANY:
                    raise Failed("PostgreSQL is cut off, and orders come in")
            project.wait_rise(_MANY, _TURN_SECONDS)
    project.compose("up", "-d", "--no-recreate", "--scale", "consumers=1")
    project.wait_all_healthy(_TURN_SECONDS)


def upgrade(project: Project, say: Say) -> None:
    """To a second tag, one `up` with a file that names it."""
    project.docker("build", "-q", "--label", "release=next", "-f", "Dockerfile", "-t", _SECOND_TAG, "..")
    names = ("migrate", "topics", *_OURS)
    override = {"services": {name: {"image": _SECOND_TAG} for name in names}}
    (project.folder / "deploy" / "next.yml").write_text(json.dumps(override))
    with _timed(say, "upgraded, the loop turns"):
        files = ("-f", "docker-compose.yml", "-f", "next.yml")
        project.compose(*files, "up", "-d", "--no-build", *_OURS)
        project.wait_rise(_SOME, _TURN_SECONDS)
    wanted = json.loads(project.docker("image", "inspect", _SECOND_TAG))[0]["Id"]
    for service in _OURS:
        for container in project.containers(service):
            if project.inspect(container)["Image"] != wanted:
                raise Failed(f"{service} does not run {_SECOND_TAG}")
    for service in _OURS:
        project.wait_for(f"{service} healthy", lambda name=service: project.healthy(name), _TURN_SECONDS)


def memory(project: Project, say: Say) -> None:
    """Every container has its limit, and none was killed for it."""
    used = {}
    for line in project.docker("stats", "--no-stream", "--format", "{{.ID}} {{.MemPerc}}").splitlines():
        name, percent = line.split()
        used[name] = float(percent.rstrip("%"))
    lines = []
    for service in project.services:
        for container in project.containers(service):
            found = project.inspect(container)
            if not found["HostConfig"]["Memory"] or found["State"]["OOMKilled"]:
                raise Failed(f"{service}: limit {found['HostConfig']['Memory']}, {found['State']}")
            lines.append(f"{service} {used[container[:12]]:.0f} %")
    say(f"of their limits: {', '.join(lines)}")


def audit(project: Project, say: Say) -> None:
    """Nothing that the ledger knows is missing or there twice."""
    project.docker("stop", "-t", "30", LEDGER_CONTAINER)
    project.compose("stop", "producer")
    codes = [project.inspect(each)["State"]["ExitCode"] for each in (LEDGER_CONTAINER, *project.containers("producer"))]
    if any(codes):
        raise Failed(f"producers ended with {codes}")
    inside = ("exec", "python_dev", "sesacctl")
    project.wait_for(
        "no lag", lambda: json.loads(project.docker(*inside, "lag", "-o", "json"))["lag"] == 0, _TURN_SECONDS
    )
    ledger = ("-v", f"{project.ledger}:/ledger:ro", "--entrypoint", "sesacctl", "python_dev")
    text = project.compose(
        "run", "--rm", "--no-deps", *ledger, "audit", "--deep", "--ledger", "/ledger/orders", "-o", "json"
    )
    result = json.loads(text[text.index("{") :])
    say(json.dumps({key: value for key, value in result.items() if isinstance(value, int | str)}))
    project.docker(*inside, "health")


def stop(project: Project, say: Say) -> None:
    """All drain, and exit 0."""
    began = time.monotonic()
    found = {service: project.containers(service) for service in project.services}
    project.compose("stop")
    for service, containers in found.items():
        for container in containers:
            state = project.inspect(container)["State"]
            right = _DRAINED.get(service.rstrip("123"), (0,))
            if service != "python_dev" and state["ExitCode"] not in right:
                raise Failed(f"{service} ended with {state['ExitCode']}")
    say(f"drained within {time.monotonic() - began:.0f} s")


SCENES = (up, guide, restarts, kills, scale, cuts, upgrade, memory, audit, stop)


@contextmanager
def _timed(say: Say, what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - began:.0f} s")


@contextmanager
def _cut(project: Project, container: str, service: str) -> Iterator[None]:
    project.docker("network", "disconnect", NETWORK, container)
    try:
        yield
    finally:
        # Compose gives a container its service's name; by hand, that has to be asked for.
        project.docker("network", "connect", "--alias", service, NETWORK, container)
