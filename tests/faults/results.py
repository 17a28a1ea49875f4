"""What a storm has shown, as text for a terminal and as `RESULTS.md`."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import sesacctl
from tests.faults.run import Outcome
from tests.faults.storm import Struck


def summary(outcome: Outcome) -> str:
    """The verdict in a few lines."""
    verdict = outcome.verdict
    lines = [
        f"seed {outcome.seed}: {len(outcome.weather.struck)} faults in {outcome.seconds:.0f} s,"
        f" {verdict.acknowledged:,} acknowledged orders, {verdict.orders:,} rows, {verdict.kept:,} kept,"
        f" {outcome.samples:,} looks at the counters, {outcome.cache_looks:,} at the cache",
        *(
            f"{each.name}: {'clean' if each.is_clean else f'exit code {each.code}, {each.said}'}"
            for each in outcome.audited
        ),
        *(f"WRONG {problem}" for problem in outcome.problems),
        "nothing is lost" if not outcome.problems else f"{len(outcome.problems)} problems",
    ]
    return "\n".join(lines)


def write(path: Path, outcomes: Sequence[Outcome], versions: Mapping[str, str]) -> None:
    """The file that is kept beside the code."""
    path.write_text("".join(f"{line.rstrip()}\n" for line in _document(outcomes, versions)), encoding="utf-8")


def _document(outcomes: Sequence[Outcome], versions: Mapping[str, str]) -> Iterator[str]:
    named = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    yield from (
        "# The last storm",
        "",
        "Written by `python -m tests.faults --results`; CONTRIBUTING.md says how to have the same again.",
        "",
        f"{time.strftime('%Y-%m-%d')}, sesacctl {sesacctl.__version__}, Python {platform.python_version()}, {named}.",
        "",
        "| Seed | Minutes | Faults | Kinds | Orders acknowledged | Lost | Doubled | Other | Audits | Load |",
        "|---|---|---|---|---|---|---|---|---|---|",
    )
    for each in outcomes:
        verdict, doubled = each.verdict, each.verdict.wrong["doubled"]
        other = len(each.problems) - (verdict.lost > 0) - (doubled > 0)
        clean = "all clean" if all(audited.is_clean for audited in each.audited) else "not clean"
        kinds = len({struck.kind for struck in each.weather.struck})
        yield (
            f"| {each.seed} | {each.seconds / 60:.1f} | {len(each.weather.struck)} | {kinds}"
            f" | {verdict.acknowledged:,} | {verdict.lost} | {doubled} | {other} | {clean} | {each.load:.0f} |"
        )
    if any(each.problems for each in outcomes):
        yield from ("", "## Problems", "")
        yield from (f"- seed {each.seed}: {problem}" for each in outcomes for problem in each.problems)
    if told := {name: [each.losses[name] == [] for each in outcomes if each.losses] for name in outcomes[0].losses}:
        names = ", ".join(f"`{name}` {sum(well)} of {len(well)}" for name, well in told.items())
        yield from ("", f"Data lost for good, and how often the oracle and each audit that can know told: {names}.")
    yield from _recovery(outcomes)
    yield from _drift(outcomes)


def _drift(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield from (
        "",
        "## Memory and descriptors",
        "",
        "Of a process of each command on average, in the first third of the storm and in the last; most were killed in"
        " between.",
        "",
        "| Seed | Command | MiB at first | at last | Descriptors at first | at last |",
        "|---|---|---|---|---|---|",
    )
    for each in outcomes:
        for name, (*sizes, before, after) in each.drift.items():
            first, last = (size / 2**20 for size in sizes)
            yield f"| {each.seed} | {name} | {first:.1f} | {last:.1f} | {before:.0f} | {after:.0f} |"


def _recovery(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield from (
        "",
        "## Recovery",
        "",
        "Seconds from the fault, or from the end of a stop, until a row is stored, and until every partition of"
        " `orders` has stored one. Faults that were alone; a server's time until its restart is part of it.",
        "",
        "| Kind | Faults | First row p50 | p99 | Every partition p50 | p99 |",
        "|---|---|---|---|---|---|",
    )
    struck = [one for each in outcomes for one in each.weather.struck]
    for kind in sorted({one.kind for one in struck}):
        same = [one for one in struck if one.kind == kind]
        yield f"| `{kind}` | {len(same)} | {' | '.join(_figures(same))} |"


def _figures(struck: Sequence[Struck]) -> Iterator[str]:
    alone = [each for each in struck if each.alone]
    for values in ([each.first for each in alone], [each.whole for each in alone]):
        found = sorted(value for value in values if value is not None)
        yield f"{statistics.median(found):.1f}" if found else "–"
        yield f"{found[min(len(found) - 1, int(len(found) * 0.99))]:.1f}" if found else "–"
