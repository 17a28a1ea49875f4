"""The wheel and the source distribution hold everything, and the wheel works away from the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

import sesacctl
from sesacctl.database.schema import revisions
from tests.helpers.documents import ROOT
from tests.helpers.servers import RunningStack, clean_environment


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the built wheel and source distribution."""
    folder, source = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("source") / "sesacctl"
    # From a copy: in the checkout, other tests' bytecode comes and goes under the builder's eyes.
    unwanted = shutil.ignore_patterns(
        "__pycache__", ".git", ".venv*", ".sesac", ".*_cache", ".hypothesis", "dist", "site"
    )
    shutil.copytree(ROOT, source, ignore=unwanted, symlinks=True)
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder],
        cwd=source,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `sesacctl` command of an environment with the wheel in it, below a folder with spaces and Korean letters."""
    home = tmp_path_factory.mktemp("base") / "새싹 상점 환경"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    # The dependencies are those of this environment; its own (editable) sesacctl is not seen: nested .pth are not read.
    [own] = home.glob("lib/python*/site-packages")
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    done = subprocess.run([*pip, "--no-deps", "--no-index", *dist.glob("*.whl")], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return home / "bin" / "sesacctl"


@pytest.fixture
def new_database(stack: RunningStack) -> Iterator[dict[str, str]]:
    """The stack's variables with the name of a database that does not exist yet."""
    environment = stack.environment | {"POSTGRES_DB": "wheel_새싹"}
    yield environment
    connection = psycopg2.connect(
        host=environment["POSTGRES_HOST"], user=environment["POSTGRES_USER"], dbname="postgres"
    )
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute('DROP DATABASE IF EXISTS "wheel_새싹" WITH (FORCE)')
    connection.close()


def test_wheel_holds_all_files(dist: Path) -> None:
    [path] = dist.glob("*.whl")
    names = set(zipfile.ZipFile(path).namelist())
    assert {*_tracked("sesacctl"), *(f"sesacctl/{name}" for name in _tracked("migrations"))} <= names
    assert {name.replace("deploy/", "sesacctl/") for name in _tracked("deploy/sql")} <= names
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)
    assert not [name for name in names if not name.startswith(("sesacctl/", "sesacctl-")) or "__pycache__" in name]


def test_source_distribution_holds_all_files(dist: Path) -> None:
    [path] = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    link = "deploy/.env"  # leads out of the archive, to a file with passwords
    assert {*_tracked(), "PKG-INFO"} - {link} <= names
    assert not {name for name in names if Path(name).name == ".env"}


def test_version_is_in_one_place(dist: Path, installed: Path) -> None:
    assert {path.name.split("-")[1].removesuffix(".tar.gz") for path in dist.iterdir()} == {sesacctl.__version__}
    done = subprocess.run([installed, "--version"], capture_output=True, text=True, check=True, env=clean_environment())
    assert done.stdout == f"sesacctl {sesacctl.__version__}\n"
    assert f'version = "{sesacctl.__version__}"' not in (ROOT / "pyproject.toml").read_text("utf-8")


def test_installed_wheel_finds_its_data(installed: Path, new_database: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "빈 폴더 one"
    folder.mkdir()
    environment = clean_environment(**new_database)

    def run(*command: object) -> str:
        done = subprocess.run(
            [*map(str, command)], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert revisions.head() in run(installed, "db", "init")
    run(installed, "db", "seed", "--users", 30, "--products", 30)
    run(installed, "db", "check")
    code = (
        "import sesacctl\n"
        "from sesacctl.database.schema import revisions\n"
        "from sesacctl.pipeline.produce import orders\n"
        "from sesacctl.stack import jars\n"
        "print(sesacctl.__file__, revisions.migrations(), len(jars.read_lock().jars), bool(orders.shop()))\n"
    )
    found = run(installed.parent / "python", "-c", code)
    assert found.count("새싹 상점 환경") == 2
    assert str(ROOT) not in found


def _tracked(*folders: str) -> set[str]:
    """Git's files that are there."""
    listed = subprocess.run(["git", "ls-files", "-z", *folders], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
