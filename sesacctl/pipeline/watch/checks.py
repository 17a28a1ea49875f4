"""What was seen of servers and loop, judged: a verdict, its evidence, and the command to run next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from sesacctl import formatting
from sesacctl.database import row_security
from sesacctl.database.refusals import READ_ONLY_HINT
from sesacctl.errors import ServerRefused, ServerUnreachable, SesacctlError
from sesacctl.events import CODECS, Kind
from sesacctl.heartbeat import Pulse
from sesacctl.pipeline.watch.observation import Observation

STALLED_SECONDS = 60.0
_NEARLY_FULL = 0.9


class Verdict(StrEnum):
    """What a check found, from good to bad; a warning is for people, it fails no probe."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    UNHEALTHY = "unhealthy"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line: the verdict, what it rests on, and the command to run next if it is not ok."""

    name: str
    verdict: Verdict
    evidence: str
    next: str | None = None


def judge(
    seen: Observation, pulses: tuple[Pulse, ...], *, lag_is_old: Callable[[], bool] = lambda: True
) -> list[Check]:
    """The checks, in the loop's order; `lag_is_old` is asked whether an event waits for longer than STALLED_SECONDS."""
    return [
        _postgres(seen),
        _redis(seen),
        _cache(seen),
        _kafka(seen),
        _consumers(seen, lag_is_old),
        _audit(seen),
        _dead_letters(seen),
        *_event_times(seen),
        *_workers(pulses),
    ]


def _ok(name: str, evidence: str) -> Check:
    return Check(name=name, verdict=Verdict.OK, evidence=evidence)


def _unhealthy(name: str, evidence: str, command: str) -> Check:
    return Check(name=name, verdict=Verdict.UNHEALTHY, evidence=evidence, next=command)


def _problem(name: str, error: SesacctlError) -> Check:
    down = isinstance(error, ServerUnreachable | ServerRefused)
    verdict = Verdict.DOWN if down else Verdict.UNHEALTHY
    return Check(name=name, verdict=verdict, evidence=str(error), next=error.hint)


def _unknown(name: str, needs: str) -> Check:
    return Check(name=name, verdict=Verdict.UNKNOWN, evidence=f"unknown without {needs}")


def _unknown_loop(name: str, seen: Observation) -> Check:
    """Of what takes both servers; where each of them answered, the look at both says why it failed."""
    missing = [server for server in ("PostgreSQL", "Kafka") if server in seen.problems]
    problem = seen.problems.get("loop")
    if missing or problem is None:
        return _unknown(name, " and ".join(missing or ["PostgreSQL and Kafka"]))
    return Check(name=name, verdict=Verdict.UNKNOWN, evidence=f"unknown: {problem}", next=problem.hint)


def _postgres(seen: Observation) -> Check:
    name = "PostgreSQL"
    if seen.database is None:
        return _problem(name, seen.problems[name])
    if seen.database.standby:
        return _unhealthy(name, f"{seen.database.version} is a read-only standby", READ_ONLY_HINT)
    if seen.database.read_only:
        evidence = f"{seen.database.version} is read-only: default_transaction_read_only is on"
        return _unhealthy(name, evidence, READ_ONLY_HINT)
    evidence = f"{seen.database.version}, schema at {seen.database.revision}"
    if error := row_security.refusal(seen.database.row_security):
        return _unhealthy(name, f"{evidence}; {error}", str(error.hint))
    if seen.database.row_security:
        evidence += f"; row-level security: {row_security.describe(seen.database.row_security)}"
    if problem := seen.database.encoding_problem:
        return Check(name=name, verdict=Verdict.WARNING, evidence=f"{evidence}; {problem}", next="sesacctl db check")
    return _ok(name, evidence)


def _redis(seen: Observation) -> Check:
    name = "Redis"
    if seen.redis is None:
        return _problem(name, seen.problems[name])
    cache = seen.redis.cache
    if seen.redis.version is None or cache.used_memory is None:
        return _ok(name, "answers; its version, memory and eviction policy are unknown: INFO is refused")
    limit = f" of {formatting.bytes_text(cache.max_memory)}" if cache.max_memory else ""
    evidence = (
        f"{seen.redis.version}, {formatting.bytes_text(cache.used_memory)}{limit}, {cache.policy or 'policy unknown'}"
    )
    if cache.evicts:  # without a limit it cannot be full yet
        return Check(
            name=name,
            verdict=Verdict.UNHEALTHY if cache.max_memory else Verdict.WARNING,
            evidence=f"{evidence}: when it is full it evicts a whole table",
            next="set its maxmemory-policy to noeviction",
        )
    if cache.max_memory and cache.used_memory > _NEARLY_FULL * cache.max_memory:
        return Check(
            name=name, verdict=Verdict.WARNING, evidence=f"{evidence}: nearly full", next="raise its maxmemory"
        )
    return _ok(name, evidence)


def _cache(seen: Observation) -> Check:
    name = "cache"
    if seen.redis is None:
        return _unknown(name, "Redis")
    cache = seen.redis.cache
    if cache.empty:
        return _unhealthy(name, f"no {' and '.join(cache.empty)} in the cache", "sesacctl cache refresh")
    evidence = ", ".join(formatting.plural(each.rows, CODECS[Kind(each.table)].field) for each in cache.hashes)
    age = seen.cache_age
    if age is None:
        return _ok(name, evidence)
    evidence += f", {formatting.duration_text(age)} ago"
    if cache.period and age > 2 * cache.period + STALLED_SECONDS:
        return _unhealthy(
            name, f"{evidence}, planned every {cache.period:g} s", f"sesacctl cache refresh --loop {cache.period:g}"
        )
    return _ok(name, evidence + (f", every {cache.period:g} s" if cache.period else ""))


def _kafka(seen: Observation) -> Check:
    name = "Kafka"
    silent = f"no answer from {', '.join(seen.silent)}" if seen.silent else ""
    if seen.kafka is None:
        problem = _problem(name, seen.problems[name])
        return replace(problem, evidence=f"{problem.evidence}; {silent}") if silent else problem
    kafka = seen.kafka
    wanted = len(set(kafka.brokers) | set(kafka.replica_brokers))
    parts = [f"{len(kafka.brokers)} of {formatting.plural(wanted, 'broker')}", silent]
    lacks = {"without a leader": kafka.leaderless, "below min ISR": kafka.below_min_isr}
    lacks["under-replicated"] = kafka.under_replicated
    partitions = formatting.plural(kafka.partitions, "partition")
    parts += [f"{count} of {partitions} {what}" for what, count in lacks.items() if count]
    evidence = ", ".join(part for part in parts if part)
    if silent or any(lacks.values()) or len(kafka.brokers) < wanted:
        there = "sesacctl topics describe, and look at those brokers where they run"
        return _unhealthy(name, evidence, "sesacctl stack status" if name in seen.own else there)
    if kafka.unsafe:
        return _unhealthy(name, f"{evidence}; may lose records: {', '.join(kafka.unsafe)}", "sesacctl topics init")
    return _ok(name, f"{evidence}, all {partitions} in sync")


def _consumers(seen: Observation, lag_is_old: Callable[[], bool]) -> Check:
    name = "consumers"
    lag = seen.lag
    if lag is None or seen.kafka is None or seen.database is None:
        return _unknown_loop(name, seen)
    members, stored = seen.kafka.members, seen.database.stored_age
    problem, foreign = seen.kafka.group_problem, seen.kafka.foreign_members
    evidence = f"{f'members unknown: {problem}' if problem else formatting.plural(members, 'member')}, lag {lag:,}"
    if seen.held_back:
        evidence += "; " + "; ".join(each.sentence for each in seen.held_back)
    if foreign:
        evidence += f"; {formatting.plural(len(foreign), 'member')} of another application: {', '.join(foreign)}"
        return _unhealthy(name, evidence, "set KAFKA_GROUP to a name that nobody else uses, or end that application")
    if lag and not members and not problem:
        return _unhealthy(name, f"{evidence}: nobody stores it", "sesacctl consume --instances 9")
    if lag and (stored is None or stored > STALLED_SECONDS) and lag_is_old():
        ago = "nothing stored yet" if stored is None else f"last stored {formatting.duration_text(stored)} ago"
        return _unhealthy(name, f"{evidence}, {ago}", "sesacctl lag --watch 5")
    if problem:
        hint = "give the Kafka user the right to describe the group" if "Authorization" in problem else "sesacctl lag"
        return Check(name=name, verdict=Verdict.UNKNOWN, evidence=evidence, next=hint)
    return _ok(name, evidence)


def _audit(seen: Observation) -> Check:
    name = "audit"
    if seen.partitions is None:
        return _unknown_loop(name, seen)
    missing = sum(abs(partition.missing) for partition in seen.partitions)
    taken = sum(partition.taken for partition in seen.partitions)
    if seen.cuts:
        names = sorted(f"{part.topic}-{part.partition}" for part in seen.partitions if part.key in seen.cuts)
        evidence = f"the log of {', '.join(names)} is not the one that was stored"
        return _unhealthy(name, evidence, "sesacctl audit, then sesacctl offsets accept-cut --dry-run")
    if missing:
        evidence = (
            f"{missing:,} of {formatting.plural(taken, 'offset')} {'is' if missing == 1 else 'are'} not accounted for"
        )
        return _unhealthy(name, evidence, "sesacctl audit")
    compared = "" if seen.compared else "; logs not compared"
    return _ok(name, f"{formatting.plural(taken, 'offset')}, all accounted for{compared}")


def _dead_letters(seen: Observation) -> Check:
    name = "dead letters"
    if seen.database is None:
        return _unknown(name, "PostgreSQL")
    dead, parked = seen.database.dead_letters, seen.database.parked
    evidence = f"{dead:,} unresolved, {formatting.plural(parked, 'event')} parked"
    if dead:
        return Check(name=name, verdict=Verdict.WARNING, evidence=evidence, next="sesacctl dlq list")
    return _ok(name, evidence)


def _event_times(seen: Observation) -> Iterator[Check]:
    ahead = sum(partition.counts.ahead for partition in seen.partitions or [])
    if ahead:
        evidence = f"{formatting.plural(ahead, 'event')} later than Kafka's own time for them by more than an hour"
        command = "set SESAC_EVENT_TIMEZONE to the zone of event times without one, or correct the senders' clocks"
        yield Check(name="event times", verdict=Verdict.WARNING, evidence=evidence, next=command)


def _workers(pulses: tuple[Pulse, ...]) -> Iterator[Check]:
    if not pulses:
        return
    name = "local workers"
    if dead := [pulse for pulse in pulses if not pulse.alive]:
        names = ", ".join(f"{pulse.name} (process {pulse.pid})" for pulse in dead)
        yield _unhealthy(name, f"no heartbeat from {names}", dead[0].command)
        return
    yield _ok(name, ", ".join(pulse.name for pulse in pulses))
