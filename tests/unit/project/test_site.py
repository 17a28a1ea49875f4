"""The documentation site: what its menu and the library guide name exists, and its packages are pinned by hash."""

from __future__ import annotations

import pkgutil
import re
from importlib.util import find_spec
from typing import Any

import pytest
import yaml

from tests.helpers import documents
from tests.helpers.documents import ROOT

LIBRARY = ROOT / "docs" / "library.md"
_STABLE = re.compile(r"^\| `(sesacctl[\w.]+)` \| (.+) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def site() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    return found


def test_api_pages_are_of_modules_that_exist(site: dict[str, Any]) -> None:
    modules = site["extra"]["api"]
    assert len(modules) == len(set(modules)) >= 10
    assert [name for name in modules if find_spec(name) is None] == []


def test_stable_names_exist_and_have_an_api_page(site: dict[str, Any]) -> None:
    table = dict(_STABLE.findall(LIBRARY.read_text("utf-8")))
    assert sorted(table) == sorted(site["extra"]["api"])
    for module, names in table.items():
        for name in documents.code_spans(names):
            if not names.startswith("all "):
                assert name in dir(pkgutil.resolve_name(module)) or _is_made_on_first_use(module, name)


def _is_made_on_first_use(module: str, name: str) -> bool:
    return name in pkgutil.resolve_name(module).__all__


def test_broker_exports_what_the_guide_promises() -> None:
    names = dict(_STABLE.findall(LIBRARY.read_text("utf-8")))["sesacctl.broker"]
    assert sorted(documents.code_spans(names)) == pkgutil.resolve_name("sesacctl.broker").__all__


def test_menu_lists_every_document(site: dict[str, Any]) -> None:
    """The decisions and the API's pages are added by docs/site.py."""
    listed = {target for entry in site["nav"] for target in entry.values() if isinstance(target, str)}
    here = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert here <= listed
    assert [name for name in listed - here if not name.endswith("/") and not (ROOT / name).exists()] == []


def test_site_is_strict_and_loads_no_font(site: dict[str, Any]) -> None:
    assert site["strict"] is True
    assert site["theme"]["font"] is False
    assert set(site["validation"]["nav"].values()) | set(site["validation"]["links"].values()) == {"warn"}


def test_packages_are_pinned_by_hash_without_an_address() -> None:
    lock = (ROOT / "docs" / "requirements.lock").read_text("utf-8")
    pinned = re.findall(r"^([\w.-]+)==\S+", lock, re.MULTILINE)
    wanted = re.findall(r"^([\w-]+)", (ROOT / "docs" / "requirements.in").read_text("utf-8"), re.MULTILINE)
    assert set(wanted) <= set(pinned)
    assert lock.count("--hash=sha256:") >= len(pinned) > len(wanted)
    assert "://" not in lock
    assert "--index" not in lock


def test_make_docs_is_strict() -> None:
    """With `--quiet`, mkdocs drops warnings before it counts them, and ends well."""
    recipe = (ROOT / "Makefile").read_text("utf-8").partition("\ndocs:")[2].partition("\n\n")[0]
    assert "mkdocs build --strict" in recipe
    assert "quiet" not in recipe
