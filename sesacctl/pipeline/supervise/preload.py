"""Loaded into the fork server alone: it must outlive a SIGTERM or SIGHUP to the whole process group.

Only it can tell the supervisor that an instance has ended: without it the supervisor would end before its instances.
"""

from __future__ import annotations

import signal

from sesacctl.pipeline.supervise import process as instance_process

__all__ = ["instance_process"]

signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
