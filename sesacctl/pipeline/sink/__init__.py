"""PostgreSQL's side of consuming: rows, refusals and offsets in one transaction. Knows no Kafka."""
