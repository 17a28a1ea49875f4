"""What a migration would do, before it does it."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

from alembic import command
from alembic.script.revision import RevisionError

from sesacctl.database import database, schema
from sesacctl.errors import SchemaNotAtHead, UsageError
from sesacctl.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One revision's migration."""

    revision: str
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps from `current` to `target`, in the order in which they run; `applied` once they have."""

    server: str
    database: str
    on_this_machine: bool
    current: str | None
    target: str
    downgrade: bool
    steps: tuple[Step, ...]
    applied: bool = False


def plan(settings: Settings, revision: str = "head", *, downgrade: bool = False) -> Plan:
    """The way to `revision` (`head`, `base`, `+1`, `-1` or a number).

    Raises:
        UsageError: there is no such revision in that direction;
        SchemaNotAtHead: the schema is newer than this sesacctl, or has tables but no revision;
        ConfigurationError, ServerUnreachable, ServerRefused, DatabaseMissing.
    """
    schema.require_direct(settings)
    state = schema.look(settings)
    current = state.revision
    if current is None and state.has_tables:
        raise SchemaNotAtHead("There are tables already, but no revision", hint="sesacctl db init")
    try:
        if downgrade:
            found = list(schema.scripts().iterate_revisions(current, revision, select_for_downgrade=True))
        else:
            found = list(schema.scripts().iterate_revisions(revision, current))[::-1]
    except RevisionError as error:
        raise UsageError(
            f"{revision}: {error} (the database is at {current or 'base'})", hint="sesacctl db check"
        ) from error
    location = database.locate(settings)
    steps = tuple(Step(revision=script.revision, summary=script.doc) for script in found)
    last = found[-1] if found else None
    after = (last.down_revision or "base") if downgrade and last else last.revision if last else current
    return Plan(
        server=location.address,
        database=location.database,
        on_this_machine=location.is_local,
        current=current,
        target=str(after or "base"),
        downgrade=downgrade,
        steps=steps,
    )


def run(settings: Settings, planned: Plan, *, lock_seconds: float = schema.LOCK_SECONDS) -> Plan:
    """The plan, applied in one transaction; errors as `schema.upgrade`."""
    if planned.steps:
        act = schema.downgrade if planned.downgrade else schema.upgrade
        act(settings, planned.target, lock_seconds=lock_seconds)
    return replace(planned, applied=True)


def sql(planned: Plan) -> str:
    """The plan as SQL, for somebody else to run."""
    configuration = schema.config()
    configuration.output_buffer = io.StringIO()
    way = f"{planned.current or 'base'}:{planned.target}"
    (command.downgrade if planned.downgrade else command.upgrade)(configuration, way, sql=True)
    return configuration.output_buffer.getvalue()
