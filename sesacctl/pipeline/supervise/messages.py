"""What goes over the pipe between an instance and its supervisor, except `Status` and the budget's messages."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from kafka.errors import RetriableError

from sesacctl.errors import SesacctlError


@dataclass(frozen=True, slots=True)
class Stop:
    """The supervisor's request to drain. Not a signal: the process may not be ready for one yet."""


@dataclass(frozen=True, slots=True)
class StatusRead:
    """The supervisor has read a status; only now may another one follow."""


@dataclass(frozen=True, slots=True)
class FatalError:
    """An instance ends with an error that a restart cannot fix."""

    error: SesacctlError


@dataclass(frozen=True, slots=True)
class IdentityTaken:
    """An instance ends because another process has joined the group under its member id."""


@dataclass(frozen=True, slots=True)
class Crash:
    """An instance ends with an unexpected exception; `where` is file:line of the innermost frame.

    `passes`: kafka-python calls it retriable.
    """

    kind: str
    text: str
    where: str
    passes: bool
    traceback: str

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """What is sent to the supervisor about an exception; the exception itself may not survive a pickle."""
        frames = traceback.extract_tb(error.__traceback__)
        return cls(
            kind=type(error).__name__,
            text=" ".join(str(error).split()),
            where=f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "",
            passes=isinstance(error, RetriableError),
            traceback="".join(traceback.format_exception(error)),
        )

    def __str__(self) -> str:
        """Type, message and place in one line."""
        return f"{self.kind}: {self.text} ({self.where})"

    def is_same(self, other: Crash | None) -> bool:
        """Whether it is the same fault; the texts may differ, as they name offsets."""
        return other is not None and (self.kind, self.where) == (other.kind, other.where)


class InstanceTraceback(Exception):
    """Shows the traceback of another process where a log record has its exception."""
