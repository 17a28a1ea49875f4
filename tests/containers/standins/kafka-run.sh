#!/bin/bash
# As the official image starts: settings from the environment, storage formatted once, then the broker as this process.
set -ef
jars="-cp /opt/kafka/jars/*"
java $jars kafka.docker.KafkaDockerWrapper setup --default-configs-dir /etc/kafka/docker \
    --mounted-configs-dir /mnt/shared/config --final-configs-dir /opt/kafka/config
java $jars kafka.tools.StorageTool format -t "$CLUSTER_ID" -c /opt/kafka/config/server.properties --ignore-formatted
exec java $KAFKA_HEAP_OPTS $jars kafka.Kafka /opt/kafka/config/server.properties
