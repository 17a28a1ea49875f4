"""Bugs of the plugin for pytest: what its servers leave, and whose tests they break."""

from __future__ import annotations

from tests.planted.plant import Plant

_PLUGIN = "tests/integration/test_as_plugin.py"

PLANTS: tuple[Plant, ...] = (
    Plant(
        "plugin-leaves-its-servers",
        "sesacctl/testing/plugin.py",
        (("        config.stash[_RUN].close()\n", "        pass\n"),),
        (f"{_PLUGIN}::test_nothing_is_left_of_a_run_that_ends_early",),
    ),
    Plant(
        "plugin-lets-any-test-stop-servers",
        "sesacctl/testing/run.py",
        (("        if not self.alone:\n", "        if False:\n"),),
        (f"{_PLUGIN}::test_a_project_of_others_tests_with_two_workers",),
    ),
    Plant(
        "plugin-leaves-servers-stopped",
        "sesacctl/testing/plugin.py",
        (("        run.mend()\n", "        pass\n"),),
        (f"{_PLUGIN}::test_the_loop_stores_what_it_sends_with_one_broker",),
    ),
    Plant(
        "plugin-imports-all-of-it-for-everybody",
        "sesacctl/testing/__init__.py",
        (('"""Real Kafka,', 'import sesacctl.testing.cluster\n"""Real Kafka,'),),
        (f"{_PLUGIN}::test_a_run_that_asks_for_no_server_starts_none",),
    ),
)
