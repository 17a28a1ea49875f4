"""Log records on stderr: text for people, JSON for machines; one `action` per record."""

from __future__ import annotations

import atexit
import io
import json
import logging
import sys
import threading
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from sesacctl.formatting import clock_text, iso_text

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


def _made(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


class TextFormatter(logging.Formatter):
    """`12:00:01Z INFO    refresh.done: message key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        extras = dict(_extras(record))
        action = extras.pop("action", record.name.removeprefix("sesacctl."))
        words = [f"{clock_text(_made(record))} {record.levelname:<7} {action}: {record.getMessage()}"]
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
            "time": iso_text(_made(record), "milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "action": record.name.removeprefix("sesacctl."),
            "message": record.getMessage(),
            **dict(_extras(record)),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return escaped(json.dumps(document, ensure_ascii=False, default=str))


def escaped(document: str) -> str:
    """A JSON document without characters that can drive a terminal: JSON itself escapes only the first 32 of them.

    Newlines stay: in JSON they are between values only.
    """
    if document.isascii():
        return document.replace("\x7f", "\\u007f")
    return "".join(
        json.dumps(each)[1:-1] if each != "\n" and unicodedata.category(each) in _CATEGORIES else each
        for each in document
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


class _JsonLines(io.TextIOBase):
    """Stands in for stderr: what is written there, by whatever library, comes out as one JSON object a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rest = ""
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        """Lines that are JSON objects pass as they are."""
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
            for line in filter(str.strip, lines):
                self._stream.write((line if _is_object(line) else _document("error", "stderr", line)) + "\n")
        return len(text)

    def flush(self) -> None:
        """A line that is not at its end waits."""
        with self._lock:
            self._stream.flush()

    def finish(self) -> None:
        """Write what has no end of line."""
        if self._rest and not self._stream.closed:
            self.write("\n")
            self.flush()

    def fileno(self) -> int:
        """The descriptor below it."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream below it."""
        return self._stream.encoding

    def writable(self) -> bool:
        """Yes."""
        return True


def _is_object(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _document(level: str, action: str, message: str, **fields: object) -> str:
    record = logging.makeLogRecord({"name": "sesacctl", "levelname": level, "msg": message, "action": action} | fields)
    return JsonFormatter().format(record)


def only_json() -> None:
    """Have nothing but JSON objects on this process's stderr, one a line, from now on."""
    if sys.stderr is not None and not isinstance(sys.stderr, _JsonLines):
        sys.stderr = _JsonLines(sys.stderr)
        atexit.register(sys.stderr.finish)


def is_only_json() -> bool:
    """Whether `only_json` was called."""
    return isinstance(sys.stderr, _JsonLines)


def write(level: str, action: str, message: str, **fields: object) -> None:
    """One JSON object on stderr, whatever the lowest level of the log is."""
    sys.stderr.write(_document(level, action, message, **fields) + "\n")
    sys.stderr.flush()
