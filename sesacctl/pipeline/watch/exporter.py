"""Figures for Prometheus over HTTP. Needs the extra `metrics`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sesacctl.errors import ConfigurationError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

Publish = Callable[[Iterable["Family"]], None]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its values by the values of its labels, in base units. A counter's name ends in `_total`."""

    name: str
    help: str
    kind: Literal["gauge", "counter"] = "gauge"
    labels: tuple[str, ...] = ()
    values: Sequence[tuple[tuple[str, ...], float]] = ()


class _Collector:
    """Asks `collect` at every scrape, for one scrape at a time."""

    def __init__(self, collect: Callable[[], Iterable[Family]]) -> None:
        self._collect = collect
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """Prometheus's protocol."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        with self._lock:
            families = list(self._collect())
        for family in families:
            kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
            metric = kind(family.name, family.help, labels=family.labels)
            for labels, value in family.values:
                metric.add_metric(labels, value)
            yield metric


def registry(collect: Callable[[], Iterable[Family]]) -> CollectorRegistry:
    """What `collect` returns at each scrape, and the process's own memory, time and files.

    Raises:
        ConfigurationError: the extra is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, ProcessCollector
    except ImportError:
        raise ConfigurationError("metrics need prometheus-client", hint="pip install 'sesacctl[metrics]'") from None
    made = CollectorRegistry()
    ProcessCollector(registry=made)
    made.register(_Collector(collect))
    return made


def text(collect: Callable[[], Iterable[Family]]) -> str:
    """What a scrape would get.

    Raises:
        ConfigurationError: the extra is not installed.
    """
    made = registry(collect)
    from prometheus_client import generate_latest

    return generate_latest(made).decode()


@contextmanager
def serve_metrics(port: int, collect: Callable[[], Iterable[Family]], *, host: str) -> Iterator[None]:
    """Answer on `http://HOST:PORT/metrics` as long as the block runs.

    Raises:
        ConfigurationError: the extra is not installed, or the address cannot be used.
    """
    made = registry(collect)
    from prometheus_client import start_http_server

    try:
        server, thread = start_http_server(port, addr=host, registry=made)
    except OSError as error:
        raise ConfigurationError(
            f"metrics cannot be served on {host}:{port}: {error.strerror}", hint="another --port or --metrics-port"
        ) from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def published(port: int | None, *, host: str) -> Iterator[Publish]:
    """For `--metrics-port`: a function that takes a loop's latest figures; without a port it does nothing.

    with published(metrics_port, host=settings.sesac_metrics_host) as publish:
        supervisor.run(stop, on_report=lambda report: publish(of_consume(report)))

    Raises:
        ConfigurationError: the extra is not installed, or the address cannot be used.
    """
    if port is None:
        yield lambda _: None
        return
    latest: list[Family] = []

    def publish(families: Iterable[Family]) -> None:
        latest[:] = families

    with serve_metrics(port, lambda: latest, host=host):
        yield publish
