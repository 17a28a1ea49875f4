"""What `sesacctl audit` prints as tables."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from sesacctl import formatting
from sesacctl.cli import render

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from sesacctl.pipeline.audit.deep import DeepAudit
    from sesacctl.pipeline.audit.ledgers import LedgerAudit
    from sesacctl.pipeline.audit.report import AuditResult


def tables(result: AuditResult) -> RenderableType:
    """The counts, and below them what else was looked at."""
    from rich.console import Group

    shown: list[RenderableType] = [_totals(result)]
    if result.deep:
        shown.append(_deep(result.deep))
    if result.ledger:
        shown.append(_ledger(result.ledger))
    if result.forgotten:
        users = formatting.plural(result.forgotten, "user is", "users are")
        shown.append(render.text(f"{users} forgotten: of these, only ids and amounts are as in Kafka"))
    shown += [render.text(f"{each.topic}-{each.partition}: {each.cut.detail}") for each in result.cuts]
    shown += [render.text(each.sentence) for each in result.held_back]
    shown += [render.text(f"{each}: Kafka may lose what it has acknowledged") for each in result.unsafe]
    return Group(*shown)


def _totals(result: AuditResult) -> Table:
    """A column per topic, a row per figure; the verdict in the title."""
    from sesacctl.pipeline.sink.counts import COUNTERS, Counts

    kinds = list(result.rows)
    totals = {kind: Counts() for kind in kinds}
    taken, missing, lag, before = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for part in result.partitions:
        totals[part.kind].add(part.counts)
        taken[part.kind] += part.taken
        missing[part.kind] += abs(part.missing)
        lag[part.kind] += part.lag
        before[part.kind] += part.first or 0
    figures: list[tuple[str, list[int]]] = [("offsets processed", [taken[kind] for kind in kinds])]
    figures += [(f"  {name}", [getattr(totals[kind], name) for kind in kinds]) for name in COUNTERS]
    figures += [
        ("missing", [missing[kind] for kind in kinds]),
        ("not stored yet (lag)", [lag[kind] for kind in kinds]),
    ]
    if any(before.values()):
        figures.append(("before the group began (not covered)", [before[kind] for kind in kinds]))
    figures += [
        ("rows in the table", [result.rows[kind] for kind in kinds]),
        ("  gone, at least", [result.gone[kind] for kind in kinds]),
        ("  from elsewhere, at least", [result.elsewhere[kind] for kind in kinds]),
    ]
    title = (
        f"Audit of group {result.group}: {verdict(result)}; {result.missing} missing, {result.duplicated} duplicated"
    )
    return render.table(title, ("", *kinds, "total"), [(name, *row, sum(row)) for name, row in figures])


def verdict(result: AuditResult) -> str:
    """In the fewest words that are true."""
    if not result.ok:
        return "FAILED"
    accounted = "every offset accounted for"
    pruned = f"; {formatting.plural(result.pruned, 'order', 'orders')} pruned by age" if result.pruned else ""
    if given_up := result.counts.expired:
        return f"{accounted}; {given_up:,} given up (gone from Kafka before they were stored){pruned}"
    if _may_hide(result) and not (result.deep and not (result.deep.expired or result.deep.removed)):
        return f"{accounted}, and at least as many rows as were stored{pruned}"
    return f"nothing that was consumed is lost{pruned}"


def _may_hide(result: AuditResult) -> bool:
    """Whether rows from elsewhere are in a table from which stored ones may be gone."""
    return any(found and result.rows[kind] > found for kind, found in result.elsewhere.items())


def _deep(deep: DeepAudit) -> Table:
    rows: list[tuple[str, object]] = [
        ("records read again", deep.read),
        ("  in their table", deep.found),
        ("    with a patch of dlq replay", deep.patched),
        ("  dead letters or parked", deep.kept),
        ("  removed: pruned, or of a removed user", deep.removed),
        ("  missing", deep.missing),
        ("expired, cannot be read", deep.expired),
        ("cut off the log, cannot be read", deep.cut),
    ]
    if deep.compared:
        rows.append(("rows not as their event", deep.different))
    rows += [(f"compared: {kind}", ", ".join(columns) or "the id only") for kind, columns in deep.compared.items()]
    rows += [(f"missing: {event.position}", event.id or "(cannot be decoded)") for event in deep.named]
    rows += [
        (
            f"different: {row.position}",
            f"{row.table} {row.id}: {row.column} is {_value(row.found)}, not {_value(row.expected)}",
        )
        for row in deep.named_different
    ]
    return render.table("Every event looked up", ("", "events"), rows)


def _value(value: object) -> str:
    """As exact as it is: two times may differ by less than a second."""
    return formatting.iso_text(value) if isinstance(value, datetime) else repr(value)


def _ledger(found: LedgerAudit) -> Table:
    rows: list[tuple[str, object]] = [
        ("acknowledged", found.acknowledged),
        ("  stored", found.stored),
        ("  parked", found.parked),
        ("  dead letters", found.dead),
        ("  nowhere, may have been pruned or erased", found.removed),
        ("  missing", found.missing),
        ("sent, never acknowledged", found.unacknowledged),
        ("  stored anyway", found.unacknowledged_stored),
        ("stored more than once", found.doubled),
        ("orders stored, in no ledger", found.unknown),
    ]
    label = "wrong, or removed" if found.removed else "wrong"
    return render.table("Ledger", ("", "events"), rows + [(label, name) for name in found.named])
