"""Lets the seed guide's `from database import …` run unchanged in the `python_dev` container."""

import sys

from sesacctl.database import crud, database, models

__all__ = ["crud", "database", "models"]

for _module in (crud, database, models):
    sys.modules[f"{__name__}.{_module.__name__.rpartition('.')[2]}"] = _module
