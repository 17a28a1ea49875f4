"""`python -m benchmarks.peers NAME GROUP`: one of the peers, until it is ended."""

from __future__ import annotations

import sys
from importlib import import_module

# The module and the function of each.
NAMES = {
    "confluent": ("confluent", "execute_values"),
    "confluent COPY": ("confluent", "copy"),
    "psycopg 3 COPY": ("confluent", "copy3"),
    "predecessor": ("confluent", "predecessor"),
    "bare": ("bare", "loop"),
    "asyncpg COPY": ("asynchronous", "copy"),
    "quixstreams": ("quix", "insert"),
    "mq-bridge COPY": ("bridge", "copy"),
    "faucet COPY": ("faucet", "copy"),
}


def main() -> None:
    """Run it."""
    module, function = NAMES[sys.argv[1]]
    getattr(import_module(f"benchmarks.peers.{module}"), function)(sys.argv[2])


if __name__ == "__main__":
    main()
