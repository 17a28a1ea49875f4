"""The two dashboards, as Python: `make dashboards` writes them into `dashboards/`, as the JSON that Grafana reads.

`loop` asks Prometheus, `shop` asks PostgreSQL. tests/integration/test_dashboards.py runs every query of both.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.builders import barchart, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog import builder, variants
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

TARGET = Path(__file__).with_name("dashboards")
PROMETHEUS = models.DataSourceRef(type_val="prometheus", uid="${prometheus}")
POSTGRESQL = models.DataSourceRef(type_val="grafana-postgresql-datasource", uid="${postgresql}")
HEIGHT, WIDTH = 8, 24
GROUP = 'consumergroup=~"$group"'
WON = "금액 · won"

Query = tuple[str, str]
"""An expression, and what its series are called."""


class Sql(variants.Dataquery):
    """A statement for Grafana's PostgreSQL data source, which the SDK does not know."""

    def __init__(self, statement: str, form: str) -> None:
        """`form`: `table`, or `time_series` with a column `time`."""
        self._statement, self._form = " ".join(statement.split()), form

    def to_json(self) -> dict[str, object]:
        """As the data source's editor writes it."""
        return {
            "datasource": POSTGRESQL.to_json(),
            "editorMode": "code",
            "format": self._form,
            "rawQuery": True,
            "rawSql": self._statement,
            "refId": "A",
        }


class SqlQuery(builder.Builder[variants.Dataquery]):
    """Makes a `Sql`."""

    def __init__(self, statement: str, form: str = "table") -> None:
        """As `Sql`."""
        self._query = Sql(statement, form)

    def build(self) -> variants.Dataquery:
        """The query."""
        return self._query


def promql(expression: str, legend: str, number: int = 0) -> prometheus.Dataquery:
    """A query over the dashboard's time."""
    return prometheus.Dataquery().expr(expression).legend_format(legend).range().ref_id(chr(ord("A") + number))


def figure(title: str, unit: str, expression: str, legend: str = "", *, red_from: float | None = None) -> stat.Panel:
    """One number of now; red from a value on."""
    steps = [models.Threshold(value=None, color="green")]
    if red_from is not None:
        steps.append(models.Threshold(value=red_from, color="red"))
    thresholds = dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
    query = prometheus.Dataquery().expr(expression).legend_format(legend).instant().ref_id("A")
    panel = stat.Panel().title(title).unit(unit).datasource(PROMETHEUS).thresholds(thresholds).no_value("unknown")
    return panel.height(4).span(4).with_target(query)


def graph(title: str, unit: str, *queries: Query, span: int = 8, description: str = "") -> timeseries.Panel:
    """Lines over time."""
    panel = timeseries.Panel().title(title).unit(unit).datasource(PROMETHEUS).height(HEIGHT).span(span).min(0)
    if description:
        panel = panel.description(description)
    for number, (expression, legend) in enumerate(queries):
        panel = panel.with_target(promql(expression, legend, number))
    return panel


def rate(metric: str, *labels: str, where: str = "") -> str:
    """Events a second, summed over all other labels."""
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"sum{by} (rate({metric}{where}[$__rate_interval]))"


def quantiles(histogram: str, *shares: float) -> list[Query]:
    """A line for each share of a histogram's observations."""
    buckets = f"sum by (le) (rate({histogram}_bucket[$__rate_interval]))"
    return [(f"histogram_quantile({share}, {buckets})", f"p{share * 100:g}") for share in shares]


def loop() -> dashboard.Dashboard:
    """Where the loop stands: each stage, the servers, and what was not stored."""
    board = (
        dashboard.Dashboard("sesacctl: the loop")
        .uid("sesacctl-loop")
        .tags(["sesacctl"])
        .readonly()
        .refresh("30s")
        .time("now-1h", "now")
        .with_variable(dashboard.DatasourceVariable("prometheus").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("group")
            .label("Consumer group")
            .datasource(PROMETHEUS)
            .query("label_values(kafka_consumergroup_members, consumergroup)")
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .include_all(True)
            .all_value(".*")
        )
    )
    panels: list[tuple[str, list[builder.Builder[models.Panel]]]] = [
        ("Now", _now()),
        ("Refresh: PostgreSQL to Redis", _refresh()),
        ("Produce: Redis to Kafka", _produce()),
        ("Consume: Kafka to PostgreSQL", _consume()),
        ("What was not stored", _refused()),
        ("Kafka", _kafka()),
        ("sesacctl's own processes", _processes()),
    ]
    for title, group in panels:
        board = board.with_row(dashboard.Row(title))
        for panel in group:
            board = board.with_panel(panel)
    return board


def _now() -> list[builder.Builder[models.Panel]]:
    return [
        figure("Servers that answer", "short", "sum(sesacctl_up)"),
        figure("Lag", "short", f"sum(kafka_consumergroup_lag{{{GROUP}}})"),
        figure("Oldest event that waits", "s", f"max(sesacctl_lag_seconds{{{GROUP}}})", red_from=60),
        figure("Members", "short", f"kafka_consumergroup_members{{{GROUP}}}", "{{consumergroup}}"),
        figure("Stored a second", "ops", rate("sesacctl_events_stored_total", where=f"{{{GROUP}}}")),
        figure("Cache age", "s", "max(sesacctl_cache_age_seconds)"),
        figure("Dead letters", "short", f"sum(sesacctl_dead_letters{{{GROUP}}})", red_from=1),
        figure("Parked orders", "short", f"sum(sesacctl_parked_events{{{GROUP}}})"),
        figure("Offsets in no counter", "short", f"sum(sesacctl_offsets_missing{{{GROUP}}})", red_from=1),
        figure("Logs that were cut", "short", "sum(sesacctl_log_cut)", red_from=1),
        figure("Partitions lacking a replica", "short", "sum(sesacctl_partitions_under_replicated)", red_from=1),
        figure("Partitions without a leader", "short", "sum(sesacctl_partitions_without_leader)", red_from=1),
    ]


def _refresh() -> list[builder.Builder[models.Panel]]:
    return [
        graph(
            "Age of the cache",
            "s",
            ("sesacctl_cache_age_seconds", "age"),
            ("sesacctl_cache_period_seconds", "planned between two refreshes"),
        ),
        graph("Rounds", "ops", (rate("sesacctl_refresh_rounds_total", "outcome"), "{{outcome}}")),
        graph("How long a round takes", "s", *quantiles("sesacctl_refresh_seconds", 0.5, 0.95)),
        graph(
            "Rows",
            "short",
            ("sesacctl_cache_rows", "{{table}}, cached"),
            ("sesacctl_rows", "{{table}}, in PostgreSQL"),
            ("sesacctl_rows_never_cached", "{{table}}, never cached"),
        ),
        graph("Since the least recently cached row", "s", ("sesacctl_longest_wait_seconds", "{{table}}")),
        graph("Memory of Redis", "bytes", ("redis_memory_used_bytes", "used"), ("redis_memory_max_bytes", "limit")),
    ]


def _produce() -> list[builder.Builder[models.Panel]]:
    return [
        graph(
            "Events",
            "ops",
            (rate("sesacctl_orders_produced_total"), "orders made"),
            (rate("sesacctl_events_sent_total"), "sent"),
            (rate("sesacctl_events_acknowledged_total"), "acknowledged"),
            (rate("sesacctl_events_failed_total"), "failed"),
        ),
        graph("Until Kafka's acknowledgement", "s", *quantiles("sesacctl_acknowledgement_seconds", 0.5, 0.99)),
        graph(
            "Waiting",
            "short",
            ("sum(sesacctl_events_in_flight)", "events in flight"),
            ("sum by (server) (sesacctl_produce_waiting)", "producers that wait for {{server}}"),
        ),
    ]


def _consume() -> list[builder.Builder[models.Panel]]:
    owners = (
        prometheus.Dataquery()
        .expr(f"sum by (topic, partition, member, host, address) (sesacctl_partition_owner{{{GROUP}}})")
        .instant()
        .format(PromQueryFormat.TABLE)
        .ref_id("A")
    )
    return [
        graph("Lag", "short", (f"sum by (topic) (kafka_consumergroup_lag{{{GROUP}}})", "{{topic}}")),
        graph("Oldest event that waits", "s", (f"max by (topic) (sesacctl_lag_seconds{{{GROUP}}})", "{{topic}}")),
        graph(
            "Time until the lag is gone",
            "s",
            (
                f"sum by (topic) (kafka_consumergroup_lag{{{GROUP}}})"
                f" / (sum by (topic) (rate(sesacctl_events_stored_total{{{GROUP}}}[$__rate_interval])) > 0)",
                "{{topic}}",
            ),
            description="At the rate of now, and if nothing new came. Nothing is drawn while nothing is stored.",
        ),
        graph("Stored", "ops", (rate("sesacctl_events_stored_total", "topic", where=f"{{{GROUP}}}"), "{{topic}}")),
        graph("Outcomes", "ops", (rate("sesacctl_consume_events_total", "outcome"), "{{outcome}}")),
        graph("From record to COMMIT", "s", *quantiles("sesacctl_record_to_commit_seconds", 0.5, 0.95, 0.99)),
        graph(
            "Parts of a step, p95",
            "s",
            (
                "histogram_quantile(0.95, sum by (part, le) (rate(sesacctl_step_seconds_bucket[$__rate_interval])))",
                "{{part}}",
            ),
        ),
        graph(
            "Steps that were no plain COPY",
            "ops",
            (rate("sesacctl_consume_retries_total", "class"), "tried again: {{class}}"),
            (rate("sesacctl_consume_fences_total"), "fenced"),
            (rate("sesacctl_consume_slow_path_total"), "row by row"),
            (rate("sesacctl_consume_rebalances_total"), "new assignments"),
        ),
        graph(
            "Members",
            "short",
            ("sum(sesacctl_member_up)", "running"),
            ("sum by (server) (sesacctl_consume_waiting_members)", "waiting for {{server}}"),
            ("sum(increase(sesacctl_member_restarts_total[$__rate_interval]))", "restarts"),
        ),
        graph("Events by member", "ops", (rate("sesacctl_member_events_total", "member"), "{{member}}")),
        graph("Lag by member", "short", ("sum by (member) (sesacctl_member_lag)", "{{member}}")),
        graph("Peak memory by member", "bytes", ("sesacctl_member_max_resident_bytes", "{{member}}")),
        table.Panel()
        .title("Who owns which partition")
        .datasource(PROMETHEUS)
        .height(HEIGHT)
        .span(WIDTH)
        .with_target(owners),
    ]


def _refused() -> list[builder.Builder[models.Panel]]:
    reason = f"sum by (topic, reason) (sesacctl_dead_letters_by_reason{{{GROUP}}})"
    return [
        graph(
            "Dead letters",
            "short",
            (f"sum by (topic) (sesacctl_dead_letters{{{GROUP}}})", "{{topic}}"),
            (reason, "{{topic}}: {{reason}}"),
        ),
        graph("New dead letters", "ops", (rate("sesacctl_consume_dead_letters_total", "reason"), "{{reason}}")),
        graph("Parked orders", "short", (f"sum by (topic) (sesacctl_parked_events{{{GROUP}}})", "{{topic}}")),
        graph(
            "Oldest",
            "s",
            (f"max(sesacctl_oldest_dead_letter_seconds{{{GROUP}}})", "dead letter"),
            (f"max(sesacctl_oldest_parked_event_seconds{{{GROUP}}})", "parked order"),
        ),
        graph(
            "Counted, not stored",
            "short",
            (f"sum by (topic) (sesacctl_events_duplicates_total{{{GROUP}}})", "{{topic}}: duplicates"),
            (f"sum by (topic) (sesacctl_events_expired_total{{{GROUP}}})", "{{topic}}: expired"),
            (f"sum by (topic) (sesacctl_events_ahead_total{{{GROUP}}})", "{{topic}}: later than their records"),
        ),
        graph("Behind an open transaction", "short", ("sum by (topic) (sesacctl_offsets_held)", "{{topic}}")),
    ]


def _kafka() -> list[builder.Builder[models.Panel]]:
    return [
        graph("New records", "ops", (rate("kafka_topic_partition_current_offset", "topic"), "{{topic}}")),
        graph(
            "Partitions",
            "short",
            ("sum by (topic) (kafka_topic_partition_under_replicated_partition)", "{{topic}}: lacking a replica"),
            ("sum(sesacctl_partitions_below_min_isr)", "taking no writes"),
            ("sum(sesacctl_partitions_without_leader)", "without a leader"),
        ),
        graph("Brokers", "short", ("kafka_brokers", "in service")),
    ]


def _processes() -> list[builder.Builder[models.Panel]]:
    return [
        graph(
            "Memory",
            "bytes",
            ("process_resident_memory_bytes and on (instance) sesacctl_build_info", "{{instance}}"),
        ),
        graph("How long a look takes", "s", ("sesacctl_scrape_seconds", "{{server}}")),
        graph("Looks that failed", "ops", (rate("sesacctl_scrape_errors_total", "server"), "{{server}}")),
    ]


def bars(title: str, statement: str, *, unit: str = "short", span: int = 12) -> barchart.Panel:
    """A bar for each row: its first column is the name, the others are numbers."""
    panel = barchart.Panel().title(title).unit(unit).datasource(POSTGRESQL).height(HEIGHT).span(span)
    if WON in statement:
        # Numbers of one unit share a scale, on which a count beside an amount has no height.
        panel = panel.override_by_name(WON, [models.DynamicConfigValue(id_val="unit", value="currencyKRW")])
    return panel.with_target(SqlQuery(statement))


def number(title: str, unit: str, statement: str) -> stat.Panel:
    """The one value of a statement."""
    panel = stat.Panel().title(title).unit(unit).datasource(POSTGRESQL).height(4).span(6)
    return panel.with_target(SqlQuery(statement))


def lines(title: str, statement: str, *, unit: str = "short") -> timeseries.Panel:
    """A line for each value of the column `metric`."""
    panel = timeseries.Panel().title(title).unit(unit).datasource(POSTGRESQL).height(HEIGHT).span(WIDTH)
    return panel.with_target(SqlQuery(statement, "time_series"))


def orders(column: str, name: str) -> str:
    """Orders and won by a column of the orders, as it was when the order was made."""
    return f"""
        SELECT coalesce({column}, '-') AS "{name}", count(*) AS "주문 · orders", sum(total_amount) AS "{WON}"
        FROM orders WHERE $__timeFilter(created_at) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20"""


def shop() -> dashboard.Dashboard:
    """What is sold, and to whom. Titles in Korean and English; hours of the day are Korea's."""
    board = (
        dashboard.Dashboard("sesacctl: 쇼핑몰 · the shop")
        .uid("sesacctl-shop")
        .tags(["sesacctl"])
        .readonly()
        .refresh("1m")
        .time("now-24h", "now")
        .with_variable(dashboard.DatasourceVariable("postgresql").type("grafana-postgresql-datasource"))
    )
    panels: list[builder.Builder[models.Panel]] = [
        number("주문 · Orders", "short", "SELECT count(*) FROM orders WHERE $__timeFilter(created_at)"),
        number(
            "매출 · Sales",
            "currencyKRW",
            "SELECT coalesce(sum(total_amount), 0) FROM orders WHERE $__timeFilter(created_at)",
        ),
        number(
            "구매 고객 · Customers who ordered",
            "short",
            "SELECT count(DISTINCT user_id) FROM orders WHERE $__timeFilter(created_at)",
        ),
        number(
            "평균 주문 금액 · Average order",
            "currencyKRW",
            "SELECT coalesce(round(avg(total_amount)), 0) FROM orders WHERE $__timeFilter(created_at)",
        ),
        lines(
            "시간별 주문 · Orders by hour",
            """SELECT date_trunc('hour', created_at) AS "time", coalesce(category, '-') AS metric, count(*) AS orders
            FROM orders WHERE $__timeFilter(created_at) GROUP BY 1, 2 ORDER BY 1, 2""",
        ),
        bars("지역별 주문 · Orders by region", orders("user_region", "지역 · region")),
        bars("연령대별 주문 · Orders by age group", orders("user_age_group", "연령대 · age group")),
        bars("카테고리별 주문 · Orders by category", orders("category", "카테고리 · category")),
        bars(
            "하루 중 시간대별 주문(한국 시간) · Orders by hour of the day (Korea)",
            f"""SELECT lpad(extract(hour FROM created_at AT TIME ZONE 'Asia/Seoul')::text, 2, '0') AS "시 · hour",
            count(*) AS "주문 · orders", sum(total_amount) AS "{WON}"
            FROM orders WHERE $__timeFilter(created_at) GROUP BY 1 ORDER BY 1""",
        ),
        bars("결제 수단별 주문 · Orders by payment", orders("payment_method", "결제 수단 · payment")),
        bars("주문 상태 · Orders by status", orders("status", "상태 · status")),
        bars(
            "많이 팔린 상품 · Products most sold",
            """SELECT products.name AS "상품 · product", sum(orders.quantity) AS "수량 · quantity"
            FROM orders JOIN products USING (product_id)
            WHERE $__timeFilter(orders.created_at) GROUP BY products.product_id, products.name
            ORDER BY 2 DESC, 1 LIMIT 10""",
            span=WIDTH,
        ),
    ]
    for panel in panels:
        board = board.with_panel(panel)
    return board


def main(folder: Path = TARGET) -> None:
    """Write both there."""
    for name, board in {"loop": loop(), "shop": shop()}.items():
        text = json.dumps(board.build(), cls=JSONEncoder, indent=1, sort_keys=True, ensure_ascii=False)
        (folder / f"{name}.json").write_text(f"{text}\n", "utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
