"""Bugs of what people see and type: tables, help, keys, completion, and servers that nothing names."""

from __future__ import annotations

from tests.planted.plant import Plant

_TOP = "tests/unit/pipeline/watch/test_top.py"

PLANTS: tuple[Plant, ...] = (
    Plant(
        "defaults-written-to-unasked",
        "sesacctl/cli/guess.py",
        (("    if yes is not None:\n", "    if yes is None:\n"),),
        ("tests/unit/cli/test_guess.py::test_a_write_to_servers_that_nothing_names_is_refused",),
    ),
    Plant(
        "young-event-as-backlog",
        "sesacctl/pipeline/watch/top.py",
        (
            (
                "        old = [each for each in before if seen.at - each.at >= YOUNG_SECONDS]\n",
                "        old = [seen]\n",
            ),
        ),
        (f"{_TOP}::test_a_young_event_does_not_count_as_backlog",),
    ),
    Plant(
        "bottleneck-after-two-looks",
        "sesacctl/pipeline/watch/bottleneck.py",
        (("self._looks >= LOOKS and", "self._looks >= LOOKS - 1 and"),),
        (f"{_TOP}::test_a_slow_stage_is_named_at_the_third_look_that_agrees",),
    ),
    Plant(
        "labels-lost-beside-a-number",
        "sesacctl/cli/tables.py",
        ((" and _NO_NUMBER.issuperset(words):", ":"),),
        ("tests/unit/cli/test_render.py::test_a_long_value_takes_no_room_from_the_labels",),
    ),
    Plant(
        "coloured-numbers-on-the-left",
        "sesacctl/cli/tables.py",
        ((" and not _NUMBER.fullmatch(cell)]", "]"),),
        ("tests/unit/cli/test_render.py::test_numbers_with_colour_or_unit_stand_on_the_right",),
    ),
    Plant(
        "another-form-of-times",
        "sesacctl/cli/db_forget.py",
        (('"" if at is None else formatting.time_text(at)', '"" if at is None else f"{at:%Y-%m-%d %H:%M}"'),),
        ("tests/unit/project/test_times.py::test_times_are_written_in_one_place",),
    ),
    Plant(
        "times-of-the-session-in-json",
        "sesacctl/documents.py",
        (("        return iso_text(value)\n", "        return value.isoformat()\n"),),
        ("tests/unit/cli/test_render.py::test_times_in_json_have_one_form",),
    ),
    Plant(
        "terminal-left-without-echo",
        "sesacctl/cli/keys.py",
        (
            (
                "        before_exit.remove(found.give_back)\n        found.give_back()\n",
                "        before_exit.clear()\n",
            ),
        ),
        ("tests/integration/test_watching.py::test_keys_show_partitions_and_help_and_quit",),
    ),
    Plant(
        "completion-waits-for-a-server",
        "sesacctl/cli/completion.py",
        (("    looking.join(LIMIT_SECONDS)\n", "    looking.join(60)\n"),),
        ("tests/unit/cli/test_completion.py::test_a_server_that_is_slow_offers_nothing",),
    ),
    Plant(
        "sentence-of-libpq-twice",
        "sesacctl/database/refusals.py",
        (("dict.fromkeys(sentence for each", "list(sentence for each"),),
        ("tests/unit/database/test_connection_errors.py::test_a_sentence_of_two_attempts_is_said_once",),
    ),
    Plant(
        "closing-table-with-an-old-lag",
        "sesacctl/pipeline/consume/instance.py",
        (("            self._look_at_lag()  # the last one shown is that of the end\n", ""),),
        ("tests/integration/test_consume_steps.py::test_the_last_report_has_the_lag_of_the_end",),
    ),
)
