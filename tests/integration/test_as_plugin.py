"""The plugin in projects of others: real servers, shared by workers, and nothing of them left."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import pytest

from sesacctl.testing import guardian
from tests.helpers.documents import ROOT

PAYMENTS = ROOT / "tests" / "samples" / "payments"
Pytester = pytest.Pytester


_IN = """
from pathlib import Path
from sesacctl.testing import folders
folders.parent = lambda: Path({!r})
"""


@pytest.fixture
def elsewhere(pytester: Pytester, short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pytester:
    """A project of its own, whose runs have their folders in `short_path`, and no plugin that it does not need."""
    pytester.makepyfile(runs_in_a_folder=_IN.format(str(short_path)))
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:cacheprovider -p runs_in_a_folder -p xdist -p sesacctl")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return pytester


def left(folder: Path) -> list[str]:
    """What is in the folder, and the processes whose command line names it, but for guardians that end now."""
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    running = [" ".join(command) for command in commands if guardian.__name__ not in command]
    return [*map(str, folder.iterdir()), *(command for command in running if f"{folder}/" in command)]


def test_a_project_of_others_tests_with_two_workers(
    elsewhere: Pytester, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(PAYMENTS, elsewhere.path, dirs_exist_ok=True)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:cacheprovider -p runs_in_a_folder")
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")  # as projects have it, beside all plugins that are here
    done = elsewhere.runpytest_subprocess("-n", "2", timeout=300)
    done.assert_outcomes(passed=9)
    assert left(short_path) == []


def test_the_loop_stores_what_it_sends_with_one_broker(elsewhere: Pytester, short_path: Path) -> None:
    elsewhere.makeini("[pytest]\nsesac_brokers = 1\nsesac_heap_mb = 256\n")
    elsewhere.makepyfile(
        """
        import json
        import psutil

        def test_loop(sesac_loop, kafka_cluster, valkey):
            assert kafka_cluster.brokers == (1,)
            assert "-Xmx256m" in psutil.Process(kafka_cluster.pid(1)).cmdline()
            for words in ("db seed", "cache refresh", "produce --count 50 --rate 0", "consume --until-empty"):
                done = sesac_loop.run(*words.split())
                assert done.returncode == 0, done.stderr
            valkey.kill()
            assert json.loads(sesac_loop.run("audit", "-o", "json").stdout)["counts"]["stored"] >= 50
            running = sesac_loop.start("consume")
            assert running.poll() is None

        def test_servers_run_again(valkey, postgres, kafka_cluster):
            assert valkey.database().client().ping()
            before = postgres.pid
            postgres.restart()
            assert postgres.pid != before
            assert postgres.terminate_backends() == 0
            kafka_cluster.kill(1)
            kafka_cluster.restart()
            kafka_cluster.restart(1)
            assert kafka_cluster.pid(1)
        """
    )
    done = elsewhere.runpytest_subprocess(timeout=300)
    done.assert_outcomes(passed=2)
    assert left(short_path) == []


@pytest.mark.parametrize("options", [("-n", "2"), ("-x",)], ids=["a worker dies", "the first that fails ends it"])
def test_nothing_is_left_of_a_run_that_ends_early(
    elsewhere: Pytester, short_path: Path, options: tuple[str, ...]
) -> None:
    elsewhere.makepyfile(
        """
        import os
        import signal

        def test_dies(valkey, pytestconfig):
            assert valkey.database().client().ping()
            if hasattr(pytestconfig, "workerinput"):
                os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError

        def test_goes_on(valkey):
            assert valkey.database().client().ping()
        """
    )
    done = elsewhere.runpytest_subprocess(*options, timeout=120)
    assert done.ret != 0
    assert ("1 failed, 1 passed" in done.stdout.str()) is (options == ("-n", "2"))
    assert left(short_path) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("sesac_brokers = many", "invalid literal"),
        ("sesac_kafka = 2.8", "there is no Kafka 2.8 here"),
    ],
)
def test_options_that_cannot_be_had(elsewhere: Pytester, short_path: Path, line: str, said: str) -> None:
    elsewhere.makeini(f"[pytest]\n{line}\n")
    elsewhere.makepyfile("def test_it(kafka_cluster): pass")
    done = elsewhere.runpytest_subprocess(timeout=60)
    assert done.ret != 0
    assert said in done.stdout.str() + done.stderr.str()
    assert left(short_path) == []


def test_a_run_that_asks_for_no_server_starts_none(elsewhere: Pytester, short_path: Path) -> None:
    elsewhere.makepyfile(
        "import sys\ndef test_it(): assert not {'kafka', 'psycopg2', 'sesacctl.stack'} & set(sys.modules)"
    )
    elsewhere.runpytest_subprocess("-n", "2", timeout=60).assert_outcomes(passed=1)
    assert left(short_path) == []
