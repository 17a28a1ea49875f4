"""The loop, a room a stage.

PostgreSQL → `refresh` → Redis → `produce` → Kafka → `consume` → `sink` → PostgreSQL. `supervise` keeps nine of the
consumers, `audit` proves that nothing is lost, `watch` only looks, `repair` is what an operator changes, `contract`
describes the events for other producers, and `demo` runs all of it once.
"""
