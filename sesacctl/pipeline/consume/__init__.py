"""One member of the consumer group: Kafka into the sink."""
