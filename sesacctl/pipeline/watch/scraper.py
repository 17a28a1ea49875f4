"""What `sesacctl metrics` answers a scrape with."""

from __future__ import annotations

from sesacctl.events import PARTITIONS
from sesacctl.pipeline.watch.exporter import Family, build_info
from sesacctl.pipeline.watch.metric_families import SERVERS, of_observation, of_scrapes
from sesacctl.pipeline.watch.observation import observe
from sesacctl.settings import Settings


class Scraper:
    """Looks at the servers at each scrape, and counts the looks that failed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topics = [settings.topic(kind) for kind in PARTITIONS]
        self._errors = dict.fromkeys(SERVERS, 0)

    def collect(self) -> list[Family]:
        """All families, within the bound of `observe`; a server that fails, however it does, leaves the others."""
        seen = observe(self._settings, ages=True)
        for server in SERVERS:
            self._errors[server] += server in seen.problems
        return [
            *of_observation(seen, self._settings.kafka_group, self._topics),
            *of_scrapes(seen, self._errors),
            build_info(),
        ]
