"""The producer's ledger: what was about to be sent, and what Kafka acknowledged, kept in a file outside Kafka.

A line is a JSON object with a row's kind and id, `{"sent":"orders","id":"…"}` or `{"acked":"orders","id":"…"}`; the
kinds are `orders`, `users` and `products`. Intents are on the disk (fsync) before the first of them goes to Kafka;
acknowledgements are appended after they came, and reach the disk with the next intents or at the end. So after any
crash, what is not in the file as sent was never sent, and what is there as acknowledged was acknowledged.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from sesacctl import files
from sesacctl.errors import CheckFailed, LedgerNotWritten, UsageError
from sesacctl.events import Kind

_KINDS = {str(kind): kind for kind in Kind}  # a call of `Kind` a line would take longer


class LedgerEntry(NamedTuple):
    """One line: `kind` is `orders`, `users` or `products`; `acknowledged` is False for an intent."""

    kind: Kind
    id: str
    acknowledged: bool


class _Line(msgspec.Struct, omit_defaults=True):
    sent: str | None = None
    acked: str | None = None
    id: str = ""


_LONGEST_LINE = 1 << 16
_decoder = msgspec.json.Decoder(_Line)
_encoder = msgspec.json.Encoder()


def read_ledger(path: Path) -> Iterator[LedgerEntry]:
    """The entries in the order in which they were written, one at a time, so that a ledger of any size can be read.

    An id is acknowledged after it was sent, and both at most once. A last line that was cut short by a crash is left
    out: an intent of which nothing had been sent, or an acknowledgement that is then only missing.

    Raises:
        UsageError: the file cannot be read.
        CheckFailed: a line is not one of a ledger.
    """
    try:
        with files.open_to_read(path) as lines:
            for number, line in enumerate(iter(lambda: lines.readline(_LONGEST_LINE), b""), start=1):
                if line.endswith(b"\n") or len(line) == _LONGEST_LINE:  # what has no end is not a line either
                    yield _entry(line, path, number)
    except OSError as error:
        raise UsageError(f"the ledger {path} cannot be read: {error.strerror}", hint="sesacctl audit --help") from None


def _entry(line: bytes, path: Path, number: int) -> LedgerEntry:
    try:
        decoded = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckFailed(f"{path}, line {number} is not a ledger's: {error}", hint="sesacctl produce --help") from None
    acknowledged = decoded.acked is not None
    kind = decoded.acked if acknowledged else decoded.sent
    if kind not in _KINDS or not decoded.id:
        raise CheckFailed(
            f"{path}, line {number} is not a ledger's: `sent` or `acked` must be orders, users or products,"
            " and `id` a row's",
            hint="sesacctl produce --help",
        )
    return LedgerEntry(_KINDS[kind], decoded.id, acknowledged)


class Ledger:
    """Appends to a ledger; one writer at a time. A line that an earlier writer left torn is cut off."""

    def __init__(self, path: Path) -> None:
        """Open or create the file.

        Raises:
            UsageError: it cannot be written, or another producer has it open.
        """
        self._path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UsageError(
                f"the ledger {path} cannot be written: {error.strerror}", hint="sesacctl produce --help"
            ) from None
        if not self._is_alone():
            os.close(self._file)
            raise UsageError(
                f"another producer writes the ledger {path}", hint="sesacctl produce --ledger ANOTHER_FILE"
            )
        self._length = self._cut_torn_line()
        with suppress(OSError):  # not every file system can sync a folder; the file's own fsync is what counts
            folder = os.open(path.absolute().parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def intend(self, kind: Kind, ids: Iterable[str]) -> None:
        """Record ids that are about to be sent; they are on the disk when this returns.

        Raises:
            LedgerNotWritten: they are not on the disk, and must not be sent.
        """
        self._append([_Line(sent=kind, id=row_id) for row_id in ids])
        try:
            os.fsync(self._file)
        except OSError as error:
            raise self._failed(error) from None

    def acknowledge(self, kind: Kind, ids: Iterable[str]) -> None:
        """Record ids that Kafka has acknowledged.

        Raises:
            LedgerNotWritten: they are not recorded; they count as sent only.
        """
        self._append([_Line(acked=kind, id=row_id) for row_id in ids])

    def close(self) -> None:
        """Put everything on the disk and let the next writer in.

        Raises:
            LedgerNotWritten: the last acknowledgements may not be on the disk.
        """
        try:
            os.fsync(self._file)
        except OSError as error:
            raise self._failed(error) from None
        finally:
            os.close(self._file)

    def _is_alone(self) -> bool:
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            return True  # a device has no lines that two could mix
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _append(self, lines: list[_Line]) -> None:
        data = memoryview(_encoder.encode_lines(lines))
        try:
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError as error:
            with suppress(OSError):  # so that the next line does not begin in the middle of this one
                os.ftruncate(self._file, self._length)
            raise self._failed(error) from None
        self._length += written

    def _failed(self, error: OSError) -> LedgerNotWritten:
        return LedgerNotWritten(f"the ledger {self._path} cannot be written: {error.strerror}")

    def _cut_torn_line(self) -> int:
        """The length in bytes, up to the end of the last whole line."""
        length = os.fstat(self._file).st_size
        end = length
        while end > 0:
            start = max(0, end - 4096)
            newline = os.pread(self._file, end - start, start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < length:
            os.ftruncate(self._file, end)
        return end
