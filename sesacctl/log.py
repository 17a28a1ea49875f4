"""Log records on stderr: text for people, JSON for machines; one `action` per record."""

from __future__ import annotations

import json
import logging
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

Format = Literal["text", "json"]

_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def printable(text: str) -> str:
    """`text` with control, bidirectional and surrogate characters as escapes, so that data cannot drive a terminal.

    Newlines and tabs are escaped too: a record is one line.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) in _CATEGORIES else character
        for character in text
    )


def _extras(record: logging.LogRecord) -> Iterable[tuple[str, Any]]:
    return ((key, value) for key, value in vars(record).items() if key not in _STANDARD and not key.startswith("_"))


class TextFormatter(logging.Formatter):
    """`12:00:01 INFO  refresh.done  message key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        extras = dict(_extras(record))
        action = extras.pop("action", record.name.removeprefix("sesacctl."))
        words = [f"{self.formatTime(record, '%H:%M:%S')} {record.levelname:<7} {action}: {record.getMessage()}"]
        words += [f"{key}={value}" for key, value in extras.items()]
        lines = [" ".join(words)]
        if record.exc_info:
            lines += self.formatException(record.exc_info).splitlines()
        return "\n".join(map(printable, lines))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, action, message and the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        document: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "action": record.name.removeprefix("sesacctl."),
            "message": record.getMessage(),
            **dict(_extras(record)),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return _escaped(json.dumps(document, ensure_ascii=False, default=str))


def _escaped(document: str) -> str:
    """JSON escapes only the first 32 of the characters that can drive a terminal."""
    if document.isascii():
        return document.replace("\x7f", "\\u007f")
    return "".join(
        json.dumps(character)[1:-1] if unicodedata.category(character) in _CATEGORIES else character
        for character in document
    )


class _StderrHandler(logging.StreamHandler[Any]):
    """Writes to what stderr is at the moment: a live screen takes its place, and puts records above itself."""

    def emit(self, record: logging.LogRecord) -> None:
        self.setStream(sys.stderr)
        super().emit(record)


class _Fields(logging.Filter):
    """Adds the same fields to each record of a process; a record's own field of that name stays."""

    def __init__(self, fields: Mapping[str, object]) -> None:
        super().__init__()
        self._fields = fields

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in self._fields.items():
            vars(record).setdefault(name, value)
        return True


def configure(level: str = "info", form: Format = "text", **fields: object) -> None:
    """Send our records at `level` and above to stderr; other libraries speak only from `error` up.

    Their warnings repeat what our own records say in the user's words (kafka-python logs every reconnect). `fields`
    are those of every record of this process.
    """
    handler = _StderrHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(_Fields(fields))
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(logging.ERROR)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    logging.getLogger("sesacctl").setLevel(level.upper())
