"""Bugs of the cache, its worker and its readers."""

from __future__ import annotations

PLANTS = ()
