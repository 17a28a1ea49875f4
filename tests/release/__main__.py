"""Installs the wheel as its users do, and tries it without extras: `make release-check`.

`python -m tests.release FOLDER`: the folder with the wheel. By pip on each Python from 3.11 on that is here, by pipx,
`uv tool` and `uvx` where they are installed; what is not here is named as left out. Every environment is new and gone
afterwards, and so are the folders of the tools. Packages come from where pip and uv are told to take them.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.release import installers
from tests.release.installers import Installed, NotHere
from tests.release.trial import problems


def installed(wheel: Path, folder: Path) -> Iterator[Installed | NotHere]:
    """The wheel installed in every way that there is, each in a folder of its own below `folder`."""
    for number, (version, python) in enumerate(installers.pythons().items()):
        if python is None:
            yield NotHere(f"Python {version}")
        else:
            yield installers.by_pip(wheel, folder / f"pip-{number}", python, version)
    for name, install in installers.TOOLS.items():
        yield install(wheel, folder / name.replace(" ", "-"))


def main() -> int:
    """Exit code: 5 if one of them does not work."""
    [wheel] = Path(sys.argv[1]).absolute().glob("*.whl")
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="sesacctl-check-") as temporary:
        for each in installed(wheel, Path(temporary)):
            if isinstance(each, NotHere):
                print(f"{each.name}: left out, it is not installed", flush=True)
                continue
            found = problems(each)
            wrong += len(found)
            print(f"{each.name}: {'; '.join(found) or 'ok'}", flush=True)
    return 5 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
