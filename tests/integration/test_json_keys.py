"""What programs may rely on: the keys of each command's JSON, and the version of them all."""

from __future__ import annotations

import json
from pathlib import Path

from sesacctl.events import ORDERS
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.events import message, order, send
from tests.helpers.every_command import run_lines
from tests.helpers.json_paths import paths

# In the order of the loop: each line leaves something for those after it to show. A key that is removed or renamed
# needs another version; one that is added only another line here.
KEYS: dict[str, str] = {
    "db init": """
        adopted before created_database created_schema database dependants dry_run foreign_version revision
        schema seeded server server_zone timestamps timestamps_in""",
    "db seed --users 5 --products 5": "products rows_per_second seconds users",
    "db check": """
        database db_type drift encoding encoding_problem foreign_version head in_the_way indexes[].index
        indexes[].present latency_ms order_key pooler revision row_security schema server server_version
        tables[].estimated tables[].never_cached tables[].rows tables[].table tls user""",
    "cache refresh": "at generation seconds skipped tables[].aged tables[].fresh tables[].table",
    "cache stats": """
        age evicts generation max_memory next_refresh policy refreshed_at tables[].ages[].rows
        tables[].ages[].under tables[].cached tables[].memory tables[].never_cached tables[].rows tables[].table
        used_memory""",
    "cache sample users": """
        items[].age items[].age_group items[].created_at items[].gender items[].join_date items[].name
        items[].region items[].user_id""",
    "cache fairness": """
        fresh holds size tables[].bound tables[].holds tables[].never_cached tables[].oldest tables[].recorded
        tables[].rows tables[].table tables[].worst_wait""",
    "cache fairness --simulate": "backlog bound fresh holds newcomers rounds rows size worst_first_wait worst_wait",
    "cache reset-aging --dry-run": "items[].rows items[].table",
    "topics init": "dry_run topics[].action topics[].details topics[].topic warnings",
    "topics describe": """
        items[].leaderless items[].min_insync_replicas items[].partitions[].isr items[].partitions[].leader
        items[].partitions[].partition items[].partitions[].replicas items[].partitions[].under_replicated
        items[].retention_ms items[].size_bytes items[].topic items[].topic_id items[].under_replicated
        items[].unsafe""",
    "topics list": "items[].kind items[].offsets items[].partitions items[].replicas items[].topic",
    "topics peek orders": """
        items[].headers items[].id items[].key items[].key_base64 items[].kind items[].offset items[].partition
        items[].problem items[].size items[].time items[].topic items[].value items[].value_base64""",
    "produce --count 3": """
        ack_p50_ms ack_p99_ms acknowledged broker_ms failed first_failure in_flight linger_ms new_products
        new_users orders rate rate_now refused seconds sent waiting_for""",
    "consume -n 1 --until-empty": """
        events instances[].counts.ahead instances[].counts.control instances[].counts.dead
        instances[].counts.duplicates instances[].counts.expired instances[].counts.parked
        instances[].counts.stored instances[].counts.unknown_fields instances[].error instances[].instance
        instances[].lag instances[].max_rss_bytes instances[].member instances[].partitions instances[].pid
        instances[].rate instances[].restarts instances[].state latency_p50_ms latency_p95_ms latency_p99_ms rate
        restarts seconds since_read_ms step_ms.commit step_ms.copy step_ms.fence totals.ahead totals.control
        totals.dead totals.duplicates totals.expired totals.parked totals.stored totals.unknown_fields""",
    "trace nobody": """
        group hops id kind next_command searched.beginning_gone searched.partitions searched.read searched.since
        searched.stopped_at sentence verdict""",
    "lag --window 0.1": """
        drain_seconds group held_back lag partitions[].counts.ahead partitions[].counts.control
        partitions[].counts.dead partitions[].counts.duplicates partitions[].counts.expired
        partitions[].counts.parked partitions[].counts.stored partitions[].counts.unknown_fields
        partitions[].cut_log partitions[].first partitions[].kafka_offset partitions[].kind partitions[].lag
        partitions[].log_end partitions[].log_stable_end partitions[].log_start partitions[].mark.last_crc
        partitions[].mark.last_offset partitions[].mark.last_timestamp partitions[].mark.leader_epoch
        partitions[].mark.next_offset partitions[].next partitions[].partition partitions[].topic
        partitions[].topic_id places produced_rate stored_rate verdict window""",
    "offsets show": """
        items[].counts.ahead items[].counts.control items[].counts.dead items[].counts.duplicates
        items[].counts.expired items[].counts.parked items[].counts.stored items[].counts.unknown_fields
        items[].cut_log items[].first items[].kafka_offset items[].kind items[].lag items[].log_end
        items[].log_stable_end items[].log_start items[].mark.last_crc items[].mark.last_offset
        items[].mark.last_timestamp items[].mark.leader_epoch items[].mark.next_offset items[].next
        items[].partition items[].topic items[].topic_id""",
    "lag --history 30m": """
        begin end every gaps[].begin gaps[].end group samples[].at samples[].lag.orders samples[].lag.products
        samples[].lag.users""",
    "offsets reset --to earliest --dry-run": """
        items[].after items[].again items[].before items[].cut items[].given_up items[].kind items[].partition
        items[].topic items[].topic_id""",
    "offsets accept-cut --dry-run": "items",
    "events check event.json": """
        accepted events[].action events[].created_at events[].detail events[].id events[].kind events[].line
        events[].reason events[].unknown_fields refused""",
    "dlq list": """
        beyond by_reason.invalid_json items[].created_at items[].detail items[].discarded_at items[].headers items[].id
        items[].key items[].key_base64 items[].offset items[].partition items[].patch items[].patched_at
        items[].reason items[].record_time items[].topic items[].value items[].value_base64 total""",
    "dlq show 1": """
        created_at detail discarded_at headers id key key_base64 offset partition patch patched_at reason
        record_time topic value value_base64""",
    "dlq replay --all --dry-run": """
        dry_run duplicates named[].detail named[].id named[].reason refused.invalid_json stored tried""",
    "audit": """
        counts.ahead counts.control counts.dead counts.duplicates counts.expired counts.parked counts.stored
        counts.unknown_fields cut cuts deep duplicated elsewhere.orders elsewhere.products elsewhere.users
        forgotten gone.orders gone.products gone.users group held_back lag ledger missing ok
        partitions[].counts.ahead
        partitions[].counts.control partitions[].counts.dead partitions[].counts.duplicates
        partitions[].counts.expired partitions[].counts.parked partitions[].counts.stored
        partitions[].counts.unknown_fields partitions[].cut_log partitions[].first partitions[].kafka_offset
        partitions[].kind partitions[].lag partitions[].log_end partitions[].log_stable_end partitions[].log_start
        partitions[].mark.last_crc partitions[].mark.last_offset partitions[].mark.last_timestamp
        partitions[].mark.leader_epoch partitions[].mark.next_offset partitions[].next partitions[].partition
        partitions[].topic partitions[].topic_id pruned rows.orders rows.products rows.users taken unsafe""",
    "audit --values": """
        counts.ahead counts.control counts.dead counts.duplicates counts.expired counts.parked counts.stored
        counts.unknown_fields cut cuts deep.compared.orders deep.compared.products deep.compared.users deep.cut
        deep.different deep.expired deep.found deep.kept deep.missing deep.named deep.named_different deep.patched
        deep.read deep.removed
        duplicated elsewhere.orders elsewhere.products elsewhere.users forgotten gone.orders gone.products gone.users
        group held_back lag ledger missing ok partitions[].counts.ahead partitions[].counts.control
        partitions[].counts.dead partitions[].counts.duplicates partitions[].counts.expired
        partitions[].counts.parked partitions[].counts.stored partitions[].counts.unknown_fields
        partitions[].cut_log partitions[].first partitions[].kafka_offset partitions[].kind partitions[].lag
        partitions[].log_end partitions[].log_stable_end partitions[].log_start partitions[].mark.last_crc
        partitions[].mark.last_offset partitions[].mark.last_timestamp partitions[].mark.leader_epoch
        partitions[].mark.next_offset partitions[].next partitions[].partition partitions[].topic
        partitions[].topic_id pruned rows.orders rows.products rows.users taken unsafe""",
    "db forget u_00000001 --yes": """
        at cached dead_letters dry_run forgotten_at kafka[].expires kafka[].last kafka[].newest kafka[].offsets
        kafka[].partition kafka[].records kafka[].retention kafka[].topic notes orders orders_erased parked user_id
        user_row""",
    "db prune --older-than 90d --dry-run": "dry_run made_before orders stopped",
    "db dump shop.dump": "bytes database file program revision server server_version",
    "db restore shop.dump --yes": """
        file forgotten_again made_at removed_again revision rows.dead_letters rows.forgotten_users rows.log_cuts
        rows.orders rows.parked_events rows.products rows.row_changes rows.sink_offsets rows.users""",
    "health": "checks[].evidence checks[].name checks[].next checks[].verdict verdict",
    "top --once --every 0.1": """
        at bottleneck brokers brokers_up database dead_letters group hosts members partitions[].in_sync
        partitions[].lag partitions[].leader partitions[].log_end partitions[].member partitions[].partition
        partitions[].rate partitions[].replicas partitions[].topic reason stages[].age stages[].backlog
        stages[].backlog_unit stages[].history stages[].key stages[].problem stages[].rate stages[].title
        stages[].unit""",
    "fetch": "fetched folder jars kafka seconds",
    "stack status": "items[].address items[].memory_bytes items[].pid items[].server items[].state items[].version",
    "drill --list": "items[].kind items[].sees items[].why",
    "db migrate --dry-run": """
        applied current database dependants downgrade is_legacy on_this_machine server server_zone steps target
        timestamps timestamps_in""",
    "config init": "passwords path",
    "config check": "findings ok",
    "config show": "items[].description items[].origin items[].problem items[].value items[].variable",
}


def test_the_json_keys_are_stable(settings: Settings, sesacctl: Cli, tmp_path: Path) -> None:
    run(sesacctl, ["topics init"], tmp_path / "first")
    send(settings, ORDERS, [(b"u1", b"no event")])
    (sesacctl.folder / "event.json").write_bytes(message(order(1))[1] or b"")
    printed = run(sesacctl, list(KEYS), tmp_path / "all")
    for line, text in printed.items():
        document = json.loads(text)
        assert document.pop("schema_version") == 1
        assert (line, sorted(set(paths(document)))) == (line, KEYS[line].split())


def run(cli: Cli, lines: list[str], folder: Path) -> dict[str, str]:
    """What each line prints on standard output as JSON."""
    return dict(zip(lines, run_lines(cli, [(*line.split(), "-o", "json") for line in lines], folder), strict=True))
