"""Hosts that consume as one group share its work, whoever was there first."""

from __future__ import annotations

from pathlib import Path

from sesacctl.broker import topics
from sesacctl.events import ORDERS, PARTITIONS
from sesacctl.pipeline.watch.lag import LagMeter
from sesacctl.pipeline.watch.top import Top
from sesacctl.settings import Settings
from tests.helpers.consumers import check, has_stored
from tests.helpers.events import add_parents, many_orders, send
from tests.helpers.hosts import Host, hosts
from tests.helpers.waiting import wait_until


def shares(settings: Settings, *found: Host) -> list[list[int]]:
    """How many partitions of each topic each host has, fewest first."""
    return [sorted(host.owned(settings.topic(kind)) for host in found) for kind in PARTITIONS]


def check_shown_owners(settings: Settings, found: list[Host]) -> None:
    """Kafka, `lag` and `top` name the owners that the hosts themselves report."""
    lines = [line for host in found for line in host.reports[-1].instances]
    owned = {line.member: set(line.partitions) for line in lines}
    places = LagMeter(settings, window=0.1, first=0.1).read(lambda _: None).places
    assert {place.member: {f"{topic}-{number}" for topic, number in place.partitions} for place in places} == owned
    hosts = Top(settings).run_once().hosts
    assert hosts is not None
    assert [share.members for share in hosts] == [3, 3]
    orders = settings.topic("orders")
    assert sorted(share.partitions[orders] for share in hosts) == [4, 5]
    assert {share.host for share in hosts} == {member.rpartition("-")[0] for member in owned}


def test_a_second_host_takes_its_share_and_gives_it_back(settings: Settings, tmp_path: Path) -> None:
    topics.init(settings)
    add_parents(settings, users=100)
    with hosts(settings, tmp_path / "first") as [first]:
        wait_until(lambda: shares(settings, first) == [[9], [3], [3]], message="the first has all")
        with hosts(settings, tmp_path / "second") as [second]:
            halves = [[4, 5], [1, 2], [1, 2]]
            wait_until(lambda: shares(settings, first, second) == halves, message="they share")
            check_shown_owners(settings, [first, second])
            send(settings, ORDERS, many_orders(500))
            wait_until(lambda: has_stored(settings, 500), message="they store")
            wait_until(
                lambda: all(host.reports[-1].totals.stored for host in (first, second)), message="each has a part"
            )
        wait_until(lambda: shares(settings, first) == [[9], [3], [3]], message="the first has all again")
        send(settings, ORDERS, many_orders(500))
        wait_until(lambda: has_stored(settings, 1_000), message="the first stores all")
    check(settings, 1_000)
