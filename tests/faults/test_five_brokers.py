"""The plugin's largest cluster. Five brokers start for a minute on two cores that are busy."""

from __future__ import annotations

import pytest


def test_five_brokers_of_which_two_die(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nsesac_brokers = 5\nsesac_heap_mb = 192\n")
    pytester.makepyfile(
        """
        from confluent_kafka import Consumer, Producer
        from confluent_kafka.admin import AdminClient, NewTopic

        def test_votes(kafka_cluster, kafka_prefix):
            assert kafka_cluster.brokers == (1, 2, 3, 4, 5)
            servers = {"bootstrap.servers": kafka_cluster.bootstrap_servers}
            topic = NewTopic(f"{kafka_prefix}votes", 5, 5, config={"min.insync.replicas": "3"})
            admin = AdminClient(servers)
            admin.create_topics([topic])[topic.topic].result(60)
            assert set(admin.list_topics(timeout=30).brokers) == {1, 2, 3, 4, 5}
            kafka_cluster.kill(2)
            kafka_cluster.kill(5)
            producer = Producer({**servers, "acks": "all"})
            for number in range(100):
                producer.produce(topic.topic, str(number))
            assert producer.flush(60) == 0
            consumer = Consumer({**servers, "group.id": topic.topic, "auto.offset.reset": "earliest"})
            consumer.subscribe([topic.topic])
            votes = set()
            while len(votes) < 100:
                votes |= {int(each.value()) for each in consumer.consume(100, timeout=1) if not each.error()}
            consumer.close()
        """
    )
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=300)
    done.assert_outcomes(passed=1)
