"""Brokers that were all replaced: the bootstrap servers know the new addresses when none of the old ones answers.

kafka-python asks only those brokers that it knows, without end; Kafka's own clients do this since 3.8 (KIP-899).
"""

from __future__ import annotations

import logging
import random
import time
from typing import Any

from kafka.errors import KafkaError

from sesacctl.settings import Settings

logger = logging.getLogger(__name__)

AFTER_SECONDS = 3.0  # a cluster whose leaders move needs no more


def ask_bootstrap_servers_again(manager: Any, settings: Settings) -> None:
    """Have a client's requests for metadata go to a bootstrap server when they have failed for `AFTER_SECONDS`."""
    cluster = manager.cluster
    # All of them: the client may have been made with those alone that answered at its start.
    cluster.config["bootstrap_servers"] = settings.brokers
    cluster._bootstrap_brokers = cluster._generate_bootstrap_brokers()
    ask = cluster._do_refresh_metadata
    failing_since: float | None = None

    async def ask_known_or_bootstrap(node_id: Any) -> None:
        nonlocal failing_since
        try:
            await ask(node_id)
        except KafkaError:
            failing_since = failing_since or time.monotonic()
            if node_id is not None or time.monotonic() - failing_since < AFTER_SECONDS:
                raise
            server = random.choice(cluster.bootstrap_brokers())
            await ask(server.node_id)
            logger.info(
                "%s:%s has named the brokers again", server.host, server.port, extra={"action": "kafka.bootstrap"}
            )
            manager.close(server.node_id)
        failing_since = None

    cluster._do_refresh_metadata = ask_known_or_bootstrap
