"""`python -m benchmarks.consume_mix`: what dead letters, duplicates and orphans cost `sesacctl consume`.

The same orders each time, some of them spoilt: a share of them cannot be stored (cut JSON, a quantity of zero, another
key, no value, in turn), or is in the table already, or has a user whom nobody knows, so that it is parked. Spoilt ones
are spread evenly. The cost of a record is the time from a third of the records to the last, divided by the records in
between; it is shown as a multiple of the cost without a spoilt one, in the same interleaved rounds. `--write` puts the
table into `benchmarks/RESULTS.md`; exits 5 if a goal was missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from kafka import TopicPartition

from benchmarks import results
from benchmarks.consume import prepare
from benchmarks.measuring import Bench, Run
from benchmarks.servers import local_stack
from sesacctl.broker import clients, topics
from sesacctl.events import ORDERS, PARTITIONS
from sesacctl.settings import Settings
from tests.helpers.events import Message, send

_KEPT = "benchmark_rows"
_UP_TO_ONE_PERCENT, _ABOVE = 2.0, 6.0
Spoil = Callable[[int, bytes], Message]


@dataclass(frozen=True)
class Mix:
    """A share of spoilt records: `stored` of them before the run, or those that `spoil` makes."""

    kind: str
    percent: float
    spoil: Spoil | None = None

    @property
    def name(self) -> str:
        """For the table."""
        return f"{self.kind} {self.percent:g} %" if self.percent else self.kind

    @property
    def prefix(self) -> str:
        """Of the names of its topics; those that change no message share the topics of the clean one."""
        return f"mix-{self.kind.replace(' ', '-')}-{self.percent:g}." if self.spoil else "mix-clean."

    @property
    def most(self) -> float:
        """The multiple of a clean record's cost that is allowed."""
        return _UP_TO_ONE_PERCENT if self.percent <= 1 else _ABOVE


def broken(number: int, value: bytes) -> Message:
    """A message that becomes a dead letter."""
    event = json.loads(value)
    key = event["order"]["user_id"].encode()
    event["order"]["quantity"] = 0
    wrong: Sequence[Message] = ((key, value[:-9]), (key, json.dumps(event).encode()), (b"other", value), (key, None))
    return wrong[number % len(wrong)]


def orphaned(number: int, value: bytes) -> Message:
    """An order of a user whom nobody knows."""
    event = json.loads(value)
    event["order"]["user_id"] = user = f"nobody-{number % 100}"
    return user.encode(), json.dumps(event, ensure_ascii=False).encode()


CLEAN = Mix("clean", 0)
MIXES = (
    CLEAN,
    *(Mix("dead letters", percent, broken) for percent in (0.1, 1, 10, 50)),
    *(Mix("duplicates", percent) for percent in (1, 10, 100)),
    *(Mix("orphans", percent, orphaned) for percent in (1, 10, 50)),
)


def main() -> None:
    """Run every mix `--rounds` times, in turn."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.consume_mix", description=__doc__)
    parser.add_argument("--orders", type=int, default=150_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--instances", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="into benchmarks/RESULTS.md, too")
    options = parser.parse_args()
    with local_stack() as (settings, home):
        prepare(settings, options.orders)
        spoil(settings)
        bench = Bench(settings, home, options.orders)
        runs = compare(bench, options.rounds, options.instances)
        bench.close()
        lines = report(runs, options.instances)
        print("\n".join(lines))
        if options.write:
            results.write_section("consume_mix", lines, versions=results.server_versions(home))
    sys.exit(5 if any(multiple > mix.most for mix, multiple in multiples(runs)) else 0)


def spoil(settings: Settings) -> None:
    """Topics with the clean orders, each mix with its own share of them spoilt; all by one producer, the clean too."""
    clean = list(_messages(settings))
    for mix in MIXES:
        if mix.spoil or mix is CLEAN:
            own = settings.model_copy(update={"kafka_topic_prefix": mix.prefix})
            topics.init(own)
            send(own, ORDERS, _mixed(mix, clean))


def compare(bench: Bench, rounds: int, instances: int) -> dict[Mix, list[Run]]:
    """One run that does not count and leaves the rows that become duplicates, then all rounds."""
    _run(bench, CLEAN, instances)
    bench.execute(f"CREATE TABLE {_KEPT} AS SELECT * FROM orders")
    runs: dict[Mix, list[Run]] = {}
    for number in range(rounds):
        for mix in MIXES if number % 2 == 0 else reversed(MIXES):
            runs.setdefault(mix, []).append(found := _run(bench, mix, instances))
            print(f"{mix.name:>20}: {found.rate:>9,.0f} records/s", flush=True)
    return runs


def multiples(runs: dict[Mix, list[Run]]) -> list[tuple[Mix, float]]:
    """The cost of each mix as a multiple of the clean one's."""
    rates = {mix: median(run.rate for run in found) for mix, found in runs.items()}
    return [(mix, rates[CLEAN] / rate) for mix, rate in rates.items()]


def report(runs: dict[Mix, list[Run]], instances: int) -> list[str]:
    """A table in Markdown."""
    rows = []
    for mix, multiple in multiples(runs):
        rates = [run.rate for run in runs[mix]]
        processor = [sum(run.processor[group] for group in ("client", "backends")) for run in runs[mix]]
        shown = (f"{value:,.0f}" for value in (median(rates), min(rates), max(rates), median(processor)))
        verdict = "met" if multiple <= mix.most else "MISSED"
        goal = (f"≤ {mix.most:g}", verdict) if mix is not CLEAN else ("", "")
        rows.append((mix.name, *shown, f"{multiple:.2f}x", *goal))
    columns = ("", "records/s", "min", "max", "µs of processor for each", "cost", "goal", "")
    rounds = len(runs[CLEAN])
    return [f"Medians of {rounds} interleaved rounds with {instances} processes.", "", *results.table(columns, rows)]


def _run(bench: Bench, mix: Mix, instances: int) -> Run:
    bench.execute("TRUNCATE dead_letters, parked_events")
    fill = None
    if not mix.spoil and mix.percent:
        chosen = f"(hashtext(order_id) & 1023) < {1024 * mix.percent / 100}"
        fill = partial(bench.execute, f"INSERT INTO orders SELECT * FROM {_KEPT} WHERE {chosen}")
    command = [sys.executable, "-m", "sesacctl", "consume", "-n", str(instances), "-q", "--group"]
    os.environ["KAFKA_TOPIC_PREFIX"] = mix.prefix
    return bench.step_through(lambda group: [*command, group], fill)


def _mixed(mix: Mix, clean: Sequence[tuple[bytes, bytes]]) -> Iterator[Message]:
    spoilt = 0
    for number, (key, value) in enumerate(clean, 1):
        if mix.spoil and spoilt < int(number * mix.percent / 100):
            spoilt += 1
            yield mix.spoil(spoilt, value)
        else:
            yield key, value


def _messages(settings: Settings) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of all orders."""
    consumer = clients.consumer(settings, group_instance_id=None)
    try:
        partitions = [TopicPartition(settings.topic(ORDERS), number) for number in range(PARTITIONS[ORDERS])]
        ends = consumer.end_offsets(partitions)
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(1_000).values():
                yield from ((record.key, record.value) for record in records)
    finally:
        consumer.close()


if __name__ == "__main__":
    main()
