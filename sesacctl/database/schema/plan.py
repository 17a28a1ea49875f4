"""What a migration would do, before it does it."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass, replace
from typing import Any

from alembic import command
from alembic.script.revision import RevisionError

from sesacctl.database import database
from sesacctl.database.connections import transaction
from sesacctl.database.schema import revisions
from sesacctl.database.schema.dependants import Dependant, dependants, require_none
from sesacctl.database.schema.state import State, look
from sesacctl.database.schema.times import check_zone, require_zone
from sesacctl.errors import CheckFailed, SchemaNotAtHead, UsageError
from sesacctl.settings import DbType, Settings

logger = logging.getLogger(__name__)

_CREATE = "CREATE DATABASE shop ENCODING 'UTF8' TEMPLATE template0, then sesacctl db init with"
_NEW_DATABASE = {
    DbType.LOCAL: "set POSTGRES_DB to a new name: sesacctl db init makes it in UTF8",
    DbType.SUPABASE: f"{_CREATE} that name in SUPABASE_DIRECT_URL",
    DbType.RDS: f"{_CREATE} RDS_DB=shop",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One revision's migration."""

    revision: str
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps from `current` to `target`, in the order in which they run; `applied` once they have.

    `timestamps`: the columns whose times get the zone `timestamps_in`, or, where that is None, an unknown one, of which
    `server_zone` would be PostgreSQL's guess. `dependants`: what has to be moved aside before.
    """

    server: str
    database: str
    on_this_machine: bool
    current: str | None
    target: str
    downgrade: bool
    steps: tuple[Step, ...]
    applied: bool = False
    is_legacy: bool = False
    timestamps: tuple[str, ...] = ()
    timestamps_in: str | None = None
    server_zone: str = "UTC"
    dependants: tuple[Dependant, ...] = ()


def plan(
    settings: Settings, revision: str = "head", *, downgrade: bool = False, timestamps_in: str | None = None
) -> Plan:
    """The steps to `revision` (`head`, `base`, `+1`, `-1` or a number).

    Raises:
        UsageError: there is no such revision in that direction, or no such time zone;
        SchemaNotAtHead: the schema is newer than this sesacctl, or has tables but no revision;
        TablesNotOurs: something of another program is where its tables belong;
        CheckFailed: an empty database that is not in UTF8;
        ConfigurationError: a setting of the connection is missing or wrong.
        ServerUnreachable: PostgreSQL cannot be reached.
        ServerRefused: PostgreSQL refused: wrong credentials or a missing right.
        DatabaseMissing: the server has no such database.
    """
    if timestamps_in is not None:
        check_zone(timestamps_in)
    revisions.require_direct(settings)
    state = look(settings)
    current = state.revision
    if current is None and state.has_tables:
        raise SchemaNotAtHead("There are tables already, but no revision", hint="sesacctl db init")
    require_utf8(settings, state)
    try:
        if downgrade:
            found = list(revisions.scripts().iterate_revisions(current, revision, select_for_downgrade=True))
        else:
            found = list(revisions.scripts().iterate_revisions(revision, current))[::-1]
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
        is_legacy=state.is_legacy,
        timestamps=state.without_zone if not downgrade and _gives_zone(steps) else (),
        timestamps_in=timestamps_in,
        server_zone=state.server_zone,
        dependants=in_the_way(settings, [script.module for script in found], downgrade=downgrade),
    )


def _gives_zone(steps: tuple[Step, ...]) -> bool:
    return any(step.revision == "0002" for step in steps)


def in_the_way(settings: Settings, modules: list[Any], *, downgrade: bool = False) -> tuple[Dependant, ...]:
    """What the migrations, given as modules, would be stopped by."""
    with transaction(settings, command="db-check") as cursor:
        return dependants(cursor, modules, downgrade=downgrade)


def require_utf8(settings: Settings, state: State) -> None:
    """Return only if the database is in UTF8, or has tables already; of those a warning says what they refuse.

    Raises:
        CheckFailed: nothing is in it yet, so that another one is as good.
    """
    if state.encoding_problem is None:
        return
    if state.has_tables or state.revision is not None:
        logger.warning(state.encoding_problem, extra={"action": "schema.encoding"})
        return
    text = state.encoding_problem
    raise CheckFailed(text[0].upper() + text[1:], hint=_NEW_DATABASE[settings.db_type])


def run(settings: Settings, planned: Plan, *, lock_seconds: float = revisions.LOCK_SECONDS) -> Plan:
    """The plan, applied in one transaction.

    Raises:
        UsageError: times get a zone, and it was not given;
        CheckFailed: something is in the way; errors as `revisions.upgrade`.
    """
    command = "db downgrade" if planned.downgrade else "db migrate"
    require_none(planned.dependants, command=f"sesacctl {command}")
    require_zone(planned.timestamps, planned.timestamps_in, server_zone=planned.server_zone, command=command)
    if planned.steps and planned.downgrade:
        revisions.downgrade(settings, planned.target, lock_seconds=lock_seconds)
    elif planned.steps:
        revisions.upgrade(settings, planned.target, lock_seconds=lock_seconds, timestamps_in=planned.timestamps_in)
    return replace(planned, applied=True)


def sql(planned: Plan) -> str:
    """The plan as SQL, for somebody else to run: with what moves dependants aside, and creates them again.

    Raises:
        UsageError: times get a zone, and it was not given.
    """
    require_zone(planned.timestamps, planned.timestamps_in, server_zone=planned.server_zone, command="db migrate --sql")
    configuration = revisions.config()
    configuration.attributes.update(is_legacy=planned.is_legacy, timestamps_in=planned.timestamps_in)
    configuration.output_buffer = io.StringIO()
    way = f"{planned.current or 'base'}:{planned.target}"
    (command.downgrade if planned.downgrade else command.upgrade)(configuration, way, sql=True)
    drops, creates = [each.drop for each in planned.dependants], [each.create for each in reversed(planned.dependants)]
    return "\n".join([*drops, configuration.output_buffer.getvalue(), *creates])
