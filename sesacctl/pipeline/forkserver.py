"""Loaded into the fork server alone: it must outlive a SIGTERM to the whole process group.

Without it all instances look dead to the supervisor, which would end before they have stored what they had polled.
"""

from __future__ import annotations

import signal

from sesacctl.pipeline import instance_process

__all__ = ["instance_process"]

signal.signal(signal.SIGTERM, signal.SIG_IGN)
