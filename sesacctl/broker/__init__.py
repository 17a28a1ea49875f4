"""Kafka: clients, topics and lag."""
