"""The one error boundary: every way a command can end, as an exit code."""

from __future__ import annotations

import errno
import io
import os
import sys

TYPE_CHECKING = False  # see app.py
if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import ReadableBuffer

OUTPUT_FAILED = 5
OUTPUT_CLOSED = 141  # what a shell reports for a program that SIGPIPE ended
INTERRUPTED = 130
BUG = 1


class OutputFailed(Exception):
    """Standard output takes no more; its OSError is the cause."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror)
        self.closed = error.errno == errno.EPIPE


class _Stdout(io.FileIO):
    """Standard output whose failures can be distinguished from those of any other file or connection."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OutputFailed(error) from None


def run(command: Callable[[], object]) -> int:
    """Run `command`; the exit code. A bug keeps its traceback, and `SystemExit` its own code."""
    _guard_stdout()
    try:
        try:
            command()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except OutputFailed as error:
        _drop_output()
        if error.closed:
            return OUTPUT_CLOSED
        sys.stderr.write(f"error: standard output: {error}\n")  # as JSON where all is, by what stands in for stderr
        return OUTPUT_FAILED
    except Exception as error:
        from sesacctl.errors import SesacctlError

        if not isinstance(error, SesacctlError):
            if not _is_only_json():
                raise
            _show_bug(error)
            return BUG
        from sesacctl.cli.render import show_error

        show_error(error)
        return error.exit_code
    return 0


def _guard_stdout() -> None:
    old = sys.stdout
    if old is None:  # it was closed before we started: there is nowhere to print to
        return
    # A character that the terminal's encoding does not have is shown as its escape: no reason to end.
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_Stdout(old.fileno(), "w", closefd=False)),
        encoding=old.encoding,
        errors="backslashreplace",
        line_buffering=old.isatty(),
    )


def _drop_output() -> None:
    """What is still buffered would fail once more when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_only_json() -> bool:
    from sesacctl.log import is_only_json

    return is_only_json()


def _show_bug(error: Exception) -> None:
    import traceback

    from sesacctl.log import write

    write("error", "bug", repr(error), exception="".join(traceback.format_exception(error)))
