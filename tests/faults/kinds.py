"""All kinds of faults."""

from __future__ import annotations

from collections.abc import Sequence

from tests.faults import clients, clocks, data, disks, limits, network, partitions, processes, servers
from tests.faults.fault import Kind

KINDS: tuple[Kind, ...] = (
    *processes.KINDS, *servers.KINDS, *data.KINDS, *network.KINDS, *clients.KINDS, *limits.KINDS, *clocks.KINDS,
    *disks.KINDS, *partitions.KINDS,
)  # fmt: skip


def chosen(
    only: Sequence[str] = (), *, own_stack: bool = True, repeats: bool = True, on_hosts: bool = False
) -> list[Kind]:
    """Those whose names are, or begin with, one of `only` (all if it is empty) and that can be had here.

    `own_stack`: the servers have no other users. `repeats`: the same order may come twice, as there is a primary key.
    `on_hosts`: the loop is on several hosts, and no proxy is between them.

    Raises:
        KeyError: one of `only` is none.
    """
    for name in only:
        if not any(_is(kind, name) for kind in KINDS):
            raise KeyError(name)
    found = [kind for kind in KINDS if not kind.missing and (not only or any(_is(kind, name) for name in only))]
    found = [kind for kind in found if (kind not in network.KINDS if on_hosts else not kind.on_hosts)]
    return [kind for kind in found if (own_stack or not kind.own_stack) and (repeats or not kind.repeats)]


def missing() -> dict[str, str]:
    """Those that cannot be had on this machine, each with the reason."""
    return {kind.name: kind.missing for kind in KINDS if kind.missing}


def _is(kind: Kind, name: str) -> bool:
    return name in (kind.name, kind.room)
