"""How what reads grows: a cache refresh over the rows of both tables, and the three audits over the log."""

from __future__ import annotations

import os
from statistics import median
from time import perf_counter

from benchmarks.cache import load
from benchmarks.growth_consume import Plan, filled
from benchmarks.growth_report import Series, steps
from benchmarks.memory import timed_command
from benchmarks.servers import servers
from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.settings import Settings

ROUND, COMMAND = "a round", "the command"
AUDITS = ("audit", "audit --deep", "audit --values")


def refresh(plan: Plan) -> Series:
    """10,000 to `most` rows, half of them users: a round of a running worker, and the command with its memory."""
    panels = {"ms": [ROUND], "s": [COMMAND], "MB": ["memory of the command"]}
    series = Series("refresh", "cache refresh: rows of users and products", "rows", panels)
    with servers() as running:
        for number, rows in enumerate(series.walk(steps(10_000, plan.most), plan.seconds)):
            load(running, f"rows_{rows}", rows // 2)
            settings = running.settings(f"rows_{rows}", number % 16)
            environment = {**os.environ, **_named(settings)}
            rounds = []
            for _ in range(plan.rounds):
                ran = timed_command("cache", "refresh", "-q", "--yes", environment=environment)
                rounds.append({COMMAND: ran.seconds, "memory of the command": ran.megabytes, ROUND: _round(settings)})
            series.add(rows, rounds)
            with running.cursor() as cursor:
                cursor.execute(f"DROP DATABASE rows_{rows} WITH (FORCE)")
    return series


def _named(settings: Settings) -> dict[str, str]:
    """The settings of these servers, as variables."""
    assert settings.redis_url is not None
    return {
        "POSTGRES_HOST": settings.postgres_host,
        "POSTGRES_DB": settings.postgres_db,
        "POSTGRES_USER": settings.postgres_user,
        "REDIS_URL": settings.redis_url.get_secret_value(),
    }


def _round(settings: Settings) -> float:
    """The median of a worker's rounds, in milliseconds, after the first, which makes its connections."""
    found = []
    with Refresher(settings) as refresher:
        refresher.run_once()
        for _ in range(9):
            began = perf_counter()
            refresher.run_once()
            found.append(1000 * (perf_counter() - began))
    return median(found)


def audits(settings: Settings, plan: Plan) -> Series:
    """10,000 to `most` orders in Kafka, all of them stored: each audit as a command, from its start to its end."""
    memory = {name: f"{name}, memory" for name in AUDITS}
    panels = {"s": list(AUDITS), "MB": list(memory.values())}
    series = Series("audit", "audit: records in Kafka", "records", panels)
    for count in filled(settings, series, plan):
        timed_command("consume", "-n", "2", "-q", "--until-empty")
        rounds = []
        for _ in range(plan.rounds):
            ran = {name: timed_command(*name.split(), "-q") for name in AUDITS}
            seconds = {name: each.seconds for name, each in ran.items()}
            rounds.append(seconds | {memory[name]: each.megabytes for name, each in ran.items()})
        series.add(count, rounds)
    return series
