"""Real Kafka, PostgreSQL and Valkey for tests, without Docker: a plugin for pytest, and its servers as objects."""
