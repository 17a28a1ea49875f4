"""The kept plants fit the code as it is; `python -m tests.planted` shows that tests notice them."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace
from functools import cache

import pytest

from tests.planted.plant import STORM, Plant, StalePlant
from tests.planted.plants import PLANTS
from tests.planted.running import BROKEN, CAUGHT, MISSED, ROOT, unfounded, weigh

SOME = Plant("some", "a.py", (("1", "2"),), ("t.py::test_a", "t.py::test_b"))
STORMY = Plant("stormy", "a.py", (("1", "2"),), ("tests/t.py::test_a", f"{STORM} --seed 1"))


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_a_plant_changes_the_code_as_it_is_now(plant: Plant) -> None:
    source = (ROOT / plant.file).read_text("utf-8")
    planted = plant.apply(source)
    assert meaning(plant.file, planted) != meaning(plant.file, source)


def meaning(file: str, source: str) -> str:
    """What of a file is not a comment, as far as it is Python."""
    return ast.dump(ast.parse(source)) if file.endswith(".py") else source


@cache
def functions(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_the_tests_of_a_plant_exist(plant: Plant) -> None:
    assert plant.tests
    for test in plant.tests:
        if test.startswith(STORM):
            continue
        file, _, name = test.partition("::")
        assert name.partition("[")[0] in functions(file), test


def test_plants_have_names_of_their_own() -> None:
    assert [name for name, times in Counter(plant.name for plant in PLANTS).items() if times > 1] == []


@pytest.mark.parametrize("source", ["x = 0", "x = 1 + 1"])
def test_a_plant_whose_text_is_not_there_once_is_stale(source: str) -> None:
    with pytest.raises(StalePlant, match=r"some: \d times in a\.py"):
        SOME.apply(source)


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ({"t.py::test_a": "failed", "t.py::test_b[1]": "passed", "t.py::test_b[2]": "failed"}, CAUGHT),
        ({"t.py::test_a": "failed", "t.py::test_b": "passed"}, MISSED),
        ({"t.py::test_a": "failed", "t.py::test_b": "error"}, BROKEN),
        ({"t.py::test_a": "failed", "t.py::test_ba": "failed"}, BROKEN),
        ({}, BROKEN),
    ],
    ids=["both noticed", "one did not", "an error around a test", "another test", "no outcome"],
)
def test_a_plant_is_caught_only_if_each_of_its_tests_failed(outcomes: dict[str, str], state: str) -> None:
    assert weigh(SOME, outcomes, 1.0).state == state


def test_a_plant_whose_test_is_red_without_it_says_nothing() -> None:
    verdict = unfounded(SOME, {"t.py::test_b", "t.py::test_c"})
    assert (verdict.state, verdict.detail) == (BROKEN, "red without it: t.py::test_b")


@pytest.mark.parametrize(
    ("storm", "state", "detail"),
    [("failed", CAUGHT, f"by t.py::test_a, {STORM} --seed 1"), ("passed", MISSED, f"not caught by {STORM} --seed 1")],
)
def test_a_storm_may_be_one_of_those_that_notice(storm: str, state: str, detail: str) -> None:
    verdict = weigh(STORMY, {"tests/t.py::test_a": "failed", f"{STORM} --seed 1": storm}, 1.0)
    assert (verdict.state, verdict.detail) == (state, detail)


@pytest.mark.parametrize(
    ("file", "room"),
    [("sesacctl/events.py", "events"), ("sesacctl/pipeline/sink/store.py", "pipeline/sink")],
)
def test_a_room_is_the_package_or_the_module_alone(file: str, room: str) -> None:
    assert replace(SOME, file=file).room == room
