"""Figures in Prometheus's words. Needs the extra `metrics`."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Literal

from sesacctl import __version__, installation
from sesacctl.pipeline.latency import BOUNDS, Histogram

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

SHARED_SECONDS = 2.0
"""So old may figures be that a second scraper gets."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its values by the values of its labels, in base units. A counter's name ends in `_total`.

    A histogram has its observations in `distributions` in place of `values`.
    """

    name: str
    help: str
    kind: Literal["gauge", "counter", "histogram"] = "gauge"
    labels: tuple[str, ...] = ()
    values: Sequence[tuple[tuple[str, ...], float]] = ()
    distributions: Sequence[tuple[tuple[str, ...], Histogram]] = ()


Collect = Callable[[], Iterable[Family]]


def build_info() -> Family:
    """Which sesacctl this is, on which Python."""
    values = [((__version__, platform.python_version()), 1.0)]
    return Family("sesacctl_build_info", "The version of sesacctl.", labels=("version", "python"), values=values)


class SharedLook:
    """Asks `collect` for the first of several scrapers; those that come meanwhile, or soon after, get the same."""

    def __init__(self, collect: Collect, *, seconds: float = SHARED_SECONDS) -> None:
        """An answer is shared for `seconds` after it has come."""
        self._collect = collect
        self._seconds = seconds
        self._changed = threading.Condition()
        self._looking = False
        self._looks = 0
        self._at = float("-inf")
        self._families: list[Family] = []
        self._error: Exception | None = None

    def __call__(self) -> list[Family]:
        """The families; what `collect` raises is raised to each that waited for it."""
        with self._changed:
            if monotonic() - self._at > self._seconds:
                if self._looking:
                    awaited = self._looks + 1
                    self._changed.wait_for(lambda: self._looks >= awaited)
                else:
                    self._look()
            if self._error is not None:
                raise self._error
            return self._families

    def _look(self) -> None:
        """Ask, without the lock."""
        self._looking = True
        self._changed.release()
        families: list[Family] = []
        error: Exception | None = None
        try:
            families = list(self._collect())
        except Exception as raised:
            error = raised
        finally:
            self._changed.acquire()
            self._families, self._error, self._looking = families, error, False
            self._at = monotonic()
            self._looks += 1
            self._changed.notify_all()


class _Collector:
    """Asks `collect` at every scrape."""

    def __init__(self, collect: Collect) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Metric]:
        """Prometheus's protocol."""
        for family in self._collect():
            yield _metric(family)


def _metric(family: Family) -> Metric:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        for labels, observed in family.distributions:
            histogram.add_metric(labels, [(_bound(le), n) for le, n in observed.cumulative()], observed.sum)
        return histogram
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for labels, value in family.values:
        metric.add_metric(labels, value)
    return metric


def _bound(seconds: float) -> str:
    return "+Inf" if seconds > BOUNDS[-1] else str(float(seconds))


def registry(collect: Collect) -> CollectorRegistry:
    """What `collect` returns at each scrape, and the process's own memory, time and files.

    Raises:
        ConfigurationError: the extra is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, ProcessCollector
    except ImportError as error:
        raise installation.missing("the packages of the metrics are not installed:", "metrics", error) from None
    # Without a look at registration: it would ask the servers, only to learn the names.
    made = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=made)
    made.register(_Collector(collect))
    return made


def text(collect: Collect) -> str:
    """What a scrape would get.

    Raises:
        ConfigurationError: the extra is not installed.
    """
    made = registry(collect)
    from prometheus_client import generate_latest

    return generate_latest(made).decode()
