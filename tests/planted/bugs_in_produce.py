"""Bugs of producers, their ledger, and Kafka's clients."""

from __future__ import annotations

from tests.planted.plant import Plant

_OPEN = "tests/integration/test_open_transactions.py"
_CLOUDS = "tests/integration/test_kafka_clouds.py"

PLANTS: tuple[Plant, ...] = (
    Plant(
        "ledger-folder-not-synced",
        "sesacctl/pipeline/produce/ledger.py",
        (("                os.fsync(folder)\n", "                pass\n"),),
        ("tests/unit/pipeline/produce/test_ledger.py::test_a_new_ledger_s_name_is_on_the_disk_before_an_intent",),
    ),
    Plant(
        "log-ends-where-it-is-stable",
        "sesacctl/broker/offsets.py",
        (("            end=ends[tp].offset,", "            end=stable[tp].offset,"),),
        (
            f"{_OPEN}::test_lag_audit_and_health_count_it_and_say_why",
            f"{_OPEN}::test_until_empty_waits_for_a_transaction_and_then_says_so",
        ),
    ),
    Plant(
        "parents-end-where-they-are-stable",
        "sesacctl/broker/kafka_python/consumer_state.py",
        (("    whole._isolation_level = IsolationLevel.READ_UNCOMMITTED\n", ""),),
        (f"{_OPEN}::test_no_parked_order_dies_while_its_user_waits_behind_one",),
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
        (f"{_CLOUDS}::test_brokers_that_ask_for_certificates_count_as_alive",),
    ),
    Plant(
        "bootstrap-servers-asked-once",
        "sesacctl/broker/kafka_python/rebootstrap.py",
        (("    cluster._do_refresh_metadata = ask_known_or_bootstrap", "    del ask_known_or_bootstrap"),),
        ("tests/integration/test_brokers_replaced.py::test_a_producer_and_a_consumer_find_brokers_that_have_moved",),
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
        ("tests/integration/test_group_shared.py::test_a_group_used_by_another_application_is_refused[KIP-848]",),
    ),
    Plant(
        "too-large-sent-again",
        "sesacctl/broker/limits.py",
        (("            raise self._too_large(kind, row_id()[:50], sent, limit)", "            pass"),),
        ("tests/integration/test_produce.py::test_an_event_too_large_for_its_topic_is_named_and_skipped",),
    ),
)
