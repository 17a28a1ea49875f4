#!/bin/bash
# As the official image starts: settings from the environment, storage formatted the first time, then the broker as this process.
set -ef
jars="-cp /opt/kafka/jars/*"
said=$(java $jars kafka.docker.KafkaDockerWrapper setup --default-configs-dir /etc/kafka/docker \
    --mounted-configs-dir /mnt/shared/config --final-configs-dir /opt/kafka/config 2>&1) ||
    grep -q "already formatted" <<<"$said" || { echo "$said" >&2; exit 1; }
exec java $KAFKA_HEAP_OPTS $jars kafka.Kafka /opt/kafka/config/server.properties
