"""Bugs of events, the database and the command line."""

from __future__ import annotations

from tests.planted.plant import Plant

_CRUD = "tests/integration/test_crud.py"
_DB_DEPENDANTS = "tests/integration/test_db_dependants.py"
_DB_NEIGHBOURS = "tests/integration/test_db_neighbours.py"
_PROCESS_GROUP = "tests/integration/test_process_group.py"
_SIGNALS = "tests/unit/cli/test_signals.py"
_ENVELOPES = "tests/unit/test_envelopes.py"
_EVENT_TIMES = "tests/unit/test_event_times.py"
_EVENTS = "tests/unit/test_events.py"

PLANTS: tuple[Plant, ...] = (
    Plant(
        "unwrap-takes-any-key",
        "sesacctl/envelopes.py",
        (("if agrees and is_id and isinstance(own, str)", "if isinstance(own, str)"),),
        (f"{_ENVELOPES}::test_keys_that_contradict_the_row_are_refused",),
    ),
    Plant(
        "sighup-ends-consume",
        "sesacctl/cli/signals.py",
        (("(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)", "(signal.SIGTERM, signal.SIGINT)"),),
        (f"{_PROCESS_GROUP}::test_a_signal_to_the_group_drains[SIGHUP]",),
    ),
    Plant(
        "ctrl-z-hides-the-cursor",
        "sesacctl/cli/signals.py",
        (("        console.show_cursor(True)\n", ""),),
        (f"{_SIGNALS}::test_ctrl_z_shows_the_cursor_and_fg_draws_the_screen_again",),
    ),
    Plant(
        "crud-commits-the-callers-work",
        "sesacctl/database/crud.py",
        (("    if session.new or session.dirty or session.deleted:\n        return True\n", ""),),
        (f"{_CRUD}::test_a_caller_s_transaction_is_the_caller_s_to_end[add]",),
    ),
    Plant(
        "naive-times-are-utc",
        "sesacctl/events.py",
        (("replace(tzinfo=zone)", "replace(tzinfo=UTC)"),),
        (f"{_EVENT_TIMES}::test_a_time_without_a_zone_is_one_of_the_setting",),
    ),
    Plant(
        "any-alembic-version-is-ours",
        "sesacctl/database/schema/version_table.py",
        ((" and beside_users", ""),),
        (f"{_DB_NEIGHBOURS}::test_an_alembic_version_of_another_program_is_left_alone",),
    ),
    Plant(
        "adopted-in-a-transaction-of-its-own",
        "sesacctl/database/init_db.py",
        (
            (
                "    adopted = adoption.adopt(connection)\n",
                "    adopted = adoption.adopt(connection)\n    connection.commit()\n    connection.begin()\n",
            ),
        ),
        (f"{_DB_DEPENDANTS}::test_an_adoption_that_is_refused_leaves_no_revision",),
    ),
    Plant(
        "any-key-is-accepted",
        "sesacctl/events.py",
        (("        if key != getattr(row, self.message_key).encode():", "        if key is None:"),),
        (f"{_EVENTS}::test_a_key_that_is_not_the_rows_own_is_refused",),
    ),
)
