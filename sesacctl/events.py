"""The events on the wire, declared once: lengths, ranges, types and dates are checked while decoding."""

from __future__ import annotations
