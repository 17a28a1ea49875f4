"""Run, watch and repair an order pipeline: PostgreSQL, Redis, Kafka and back, exactly once."""

__version__ = "0.2.0"
