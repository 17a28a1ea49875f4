"""Bugs of what is between sesacctl and Kafka."""

from __future__ import annotations

from tests.planted.plant import Plant

_BROKERS_REPLACED = "tests/integration/test_brokers_replaced.py"
_CONSUME_FAULTS = "tests/faults/test_consume_faults.py"
_CONSUME_STEPS = "tests/integration/test_consume_steps.py"
_LEADER_CHANGES = "tests/integration/test_leader_changes.py"
_LINGER = "tests/unit/broker/test_linger.py"
_GROUP_SHARED = "tests/integration/test_group_shared.py"
_KAFKA_CLOUDS = "tests/integration/test_kafka_clouds.py"
_OPEN_TRANSACTIONS = "tests/integration/test_open_transactions.py"
_PRODUCE = "tests/integration/test_produce.py"
_TOPICS = "tests/integration/test_topics.py"
_CONSUMER_RECORDS = "tests/unit/broker/kafka_python/test_consumer_records.py"
_PRODUCER_BATCHES = "tests/unit/broker/kafka_python/test_producer_batches.py"
_PRODUCER_RECOVERY = "tests/unit/broker/kafka_python/test_producer_recovery.py"

PLANTS: tuple[Plant, ...] = (
    Plant(
        "log-ends-where-it-is-stable",
        "sesacctl/broker/offsets.py",
        (("            end=max(ends[tp].offset, stable[tp].offset),", "            end=stable[tp].offset,"),),
        (
            f"{_OPEN_TRANSACTIONS}::test_lag_audit_and_health_count_it_and_say_why",
            f"{_OPEN_TRANSACTIONS}::test_until_empty_waits_for_a_transaction_and_then_says_so",
        ),
    ),
    Plant(
        "parents-end-where-they-are-stable",
        "sesacctl/broker/kafka_python/consumer_state.py",
        (("    whole._isolation_level = IsolationLevel.READ_UNCOMMITTED\n", ""),),
        (f"{_OPEN_TRANSACTIONS}::test_no_parked_order_dies_while_its_user_waits_behind_one",),
    ),
    Plant(
        "bootstrap-without-our-certificate",
        "sesacctl/broker/security.py",
        (
            (
                "    _load_own(context, settings)\n    return",
                "    if verify:\n        _load_own(context, settings)\n    return",
            ),
        ),
        (f"{_KAFKA_CLOUDS}::test_brokers_that_ask_for_certificates_count_as_alive",),
    ),
    Plant(
        "bootstrap-servers-asked-once",
        "sesacctl/broker/kafka_python/rebootstrap.py",
        (("    cluster._do_refresh_metadata = ask_known_or_bootstrap", "    del ask_known_or_bootstrap"),),
        (f"{_BROKERS_REPLACED}::test_a_producer_and_a_consumer_find_brokers_that_have_moved",),
    ),
    Plant(
        "former-leaders-hold-up-reading",
        "sesacctl/broker/clients.py",
        (("    follow_leaders(client)\n", ""),),
        (f"{_LEADER_CHANGES}::test_a_new_leader_is_read_before_a_fetch_held_back_returns",),
    ),
    Plant(
        "members-of-kip-848-hidden",
        "sesacctl/broker/kafka_python/admin_requests.py",
        (
            (
                "            return await _ask(client, _ConsumerGroupDescribe(group_ids=[group]), coordinator)",
                "            return []",
            ),
        ),
        (f"{_GROUP_SHARED}::test_a_group_used_by_another_application_is_refused[KIP-848]",),
    ),
    Plant(
        "too-large-sent-again",
        "sesacctl/broker/limits.py",
        (("            raise self._too_large(kind, row_id()[:50], sent, limit)", "            pass"),),
        (f"{_PRODUCE}::test_an_event_too_large_for_its_topic_is_named_and_skipped",),
    ),
    Plant(
        "acks-1",
        "sesacctl/broker/clients.py",
        (('            acks="all",', "            acks=1,"),),
        (f"{_PRODUCER_BATCHES}::test_a_producer_sets_acks_all_and_idempotence_explicitly",),
    ),
    Plant(
        "idempotence-off",
        "sesacctl/broker/clients.py",
        (("enable_idempotence=True,", "enable_idempotence=False,"),),
        (f"{_PRODUCER_BATCHES}::test_a_producer_sets_acks_all_and_idempotence_explicitly",),
    ),
    Plant(
        "read-uncommitted",
        "sesacctl/broker/clients.py",
        (('isolation_level="read_committed"', 'isolation_level="read_uncommitted"'),),
        (f"{_CONSUME_STEPS}::test_markers_and_aborted_records_only_take_offsets",),
    ),
    Plant(
        "offset-reset-to-the-latest",
        "sesacctl/broker/clients.py",
        (('auto_offset_reset="none"', 'auto_offset_reset="latest"'),),
        (f"{_CONSUME_FAULTS}::test_expired_records_stop_consume_until_accepted",),
    ),
    Plant(
        "another-partitioner",
        "sesacctl/broker/sender.py",
        (("return int(murmur2(key) & 0x7FFF_FFFF) % partitions", "return sum(key) % partitions"),),
        (
            f"{_PRODUCER_BATCHES}::test_a_key_goes_where_every_client_of_kafka_puts_it",
            f"{_PRODUCER_BATCHES}::test_a_key_goes_where_the_java_client_puts_it",
        ),
    ),
    Plant(
        "failure-is-an-acknowledgement",
        "sesacctl/broker/sender.py",
        (
            (
                "            if delivery.error is None:\n                self._heard",
                "            if delivery.kind:\n                self._heard",
            ),
        ),
        (f"{_PRODUCE}::test_an_event_too_large_for_its_topic_is_named_and_skipped",),
    ),
    Plant(
        "min-isr-1",
        "sesacctl/broker/topics.py",
        (("str(max(1, replicas - 1))", '"1"'),),
        (f"{_TOPICS}::test_new_topics_are_what_they_should_be",),
    ),
    Plant(
        "aborted-records-are-stored",
        "sesacctl/broker/kafka_python/consumer_records.py",
        (
            (
                "            elif self._is_batch_aborted(batch):\n                return True",
                "            elif self._is_batch_aborted(batch):\n                return False",
            ),
        ),
        (f"{_CONSUMER_RECORDS}::test_aborted_transactions_and_markers_are_passed_over",),
    ),
    Plant(
        "skipped-span-is-short",
        "sesacctl/broker/kafka_python/consumer_records.py",
        (
            (
                "self._skipped.add(tp, batch.base_offset, batch.next_offset)",
                "self._skipped.add(tp, batch.base_offset, batch.last_offset)",
            ),
        ),
        (f"{_CONSUMER_RECORDS}::test_aborted_transactions_and_markers_are_passed_over",),
    ),
    Plant(
        "damaged-batch-is-read",
        "sesacctl/broker/kafka_python/consumer_records.py",
        (
            (
                "            if not batch.validate_crc():",
                "            if not batch.validate_crc() and batch.base_offset < 0:",
            ),
        ),
        (f"{_CONSUMER_RECORDS}::test_a_wrong_checksum_is_retried_as_a_transfer_error",),
    ),
    Plant(
        "reads-on-after-the-whole-batch",
        "sesacctl/broker/kafka_python/consumer_records.py",
        (("max(self.next_fetch_offset, found[-1].offset + 1)", "self.next_fetch_offset"),),
        (f"{_CONSUMER_RECORDS}::test_records_are_those_of_kafka_python",),
    ),
    Plant(
        "two-byte-numbers-lose-a-bit",
        "sesacctl/broker/kafka_python/consumer_records.py",
        (("offset, at = _SHORT[low & 127 | high << 7], at + 2", "offset, at = _SHORT[low & 127 | high << 8], at + 2"),),
        (f"{_CONSUMER_RECORDS}::test_records_are_those_of_kafka_python",),
    ),
    Plant(
        "few-events-wait",
        "sesacctl/broker/linger.py",
        (("LINGER_MS if sent - self._sent > FEW_PER_SECOND * passed else 0", "LINGER_MS"),),
        (f"{_LINGER}::test_few_events_do_not_wait",),
    ),
    Plant(
        "too-large-loses-its-place",
        "sesacctl/broker/kafka_python/producer_recovery.py",
        (
            (
                (
                    "            if present:\n"
                    "                manager.set_sequence_number(batch.topic_partition, batch.base_sequence)\n"
                ),
                "",
            ),
        ),
        (f"{_PRODUCER_RECOVERY}::test_an_event_too_large_for_its_topic_fails_alone",),
    ),
)
