"""How the results of `db` commands look on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sesacctl.cli import render

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sesacctl.database.init_db import Initialized
    from sesacctl.database.samples.seed import Seeded
    from sesacctl.database.schema.check import Report
    from sesacctl.database.schema.plan import Plan


def init_table(result: Initialized) -> RenderableType:
    """What `db init` did, or would do."""
    created = "would be created" if result.dry_run else "created"
    was = result.before or result.adopted or "none"
    done = {
        "server": result.server,
        "database": f"{result.database} ({created})" if result.created_database else result.database,
        "revision": result.revision if result.before == result.revision else f"{result.revision} (was: {was})",
    }
    if result.schema:
        done["schema"] = f"{result.schema} ({created})" if result.created_schema else result.schema
    if result.foreign_version:
        done["alembic_version"] = f"{result.foreign_version}: another program's, left alone"
    if result.adopted:
        done["taken over at"] = result.adopted
    if result.timestamps:
        done["times without a zone"] = ", ".join(result.timestamps)
        done["are taken to be in"] = _taken_zone(result.timestamps_in, result.server_zone)
    if result.dry_run:
        done["state"] = "dry run: nothing was changed"
    if result.seeded:
        done["sample rows"] = f"{result.seeded.users:,} users, {result.seeded.products:,} products"
    return render.details("Database", done)


def _taken_zone(zone: str | None, server_zone: str) -> str:
    return zone or f"not known: give --timestamps-in (PostgreSQL's own zone is {server_zone})"


def plan_table(planned: Plan) -> RenderableType:
    """What a migration did, or would do."""
    where = f"{planned.database} on {planned.server}"
    if not planned.steps:
        return render.text(f"{where} is at {planned.current or 'base'}: nothing to do")
    state = ("undone" if planned.downgrade else "done") if planned.applied else "would run"
    title = f"{where}: {planned.current or 'base'} → {planned.target}"
    rows = [(step.revision, step.summary, state) for step in planned.steps]
    if planned.timestamps:
        zone = _taken_zone(planned.timestamps_in, planned.server_zone)
        rows.append(("zone", f"of {', '.join(planned.timestamps)}", zone))
    return render.table(title, ("revision", "what", "state"), rows)


def check_table(report: Report) -> RenderableType:
    """What `db check` found."""
    at_head = report.revision == report.head
    values = {
        "server": f"{report.server}, PostgreSQL {report.server_version}, {report.db_type}",
        "database": f"{report.database} as {report.user}",
        "latency": f"{report.latency_ms} ms",
        "TLS": report.tls,
        "transaction pooler": "yes" if report.pooler else "no",
        "schema": report.schema or "none",
        "encoding": report.encoding,
        "revision": f"{report.revision or 'none'} ({'head' if at_head else f'head is {report.head}'})",
        "drift": "; ".join(report.drift) or ("none" if at_head else "not looked for"),
        "indexes missing": ", ".join(state.index for state in report.indexes if not state.present) or "none",
    }
    if report.foreign_version:
        values["alembic_version"] = f"{report.foreign_version}: another program's, left alone"
    from sesacctl.database.row_security import describe

    if report.row_security:
        values["row-level security"] = describe(report.row_security)
    if report.tables and report.order_key != ("order_id",):
        key = f"is ({', '.join(report.order_key)})" if report.order_key else "is missing"
        values["key of orders"] = f"{key}: two events of one order_id may both be stored"
    for count in report.tables:
        never = f", {count.never_cached:,} never cached" if count.never_cached is not None else ""
        values[count.table] = f"{'about ' if count.estimated else ''}{count.rows:,} rows{never}"
    return render.details("Database", values)


def seed_table(result: Seeded) -> RenderableType:
    """What `db seed` stored."""
    return render.details(
        "Sample rows",
        {
            "users": result.users,
            "products": result.products,
            "seconds": result.seconds,
            "rows a second": result.rows_per_second,
        },
    )
