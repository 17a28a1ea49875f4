"""Lets the seed guide's `from cache.client import …` run unchanged in the `python_dev` container."""

import sys

from sesacctl.cache import client

__all__ = ["client"]

sys.modules[f"{__name__}.client"] = client
