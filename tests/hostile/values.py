"""Absurd values, by what a parameter takes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin

LONG = "x" * 100_000
# What any text may be: bytes that are not UTF-8 come as Python hands them on. NUL cannot be in a command line.
_TEXTS = (
    *("", " ", "\t\n", "\x07\x1b[31mred\x1b[0m", "\x01", "\udcff\udcfe", "🦀" * 9, "\u202eltr\u202c", "e\u0301\u200b"),
    *("'; DROP TABLE orders; --", "%s%n{0}", "$(id)", "../../../etc", "-", "--", "[bold]x[/bold]", "[/]", LONG),
)
_NUMBERS = (
    *("", " ", "-1", "-9223372036854775809", "9223372036854775808", f"1{'0' * 30}", "nan", "inf", "-inf", "1e400"),
    *("1e-400", "1.5", "0x10", "1_000", "\u0661", "²", "five", "1 2", "+", "\x07", "\udcff", "🦀", "9" * 5_000, LONG),
)
_ZERO = ("0", "-0", "-0.0")
_DURATIONS = (
    *("99999999999999999999d", "99999999999999999999h", "-5s", "5 s s", "5d", "1e9s", "0s", "0.0000000000000001s"),
    *("nan", "infs", "1h-1h", "s", "5S", f"0.{'9' * 400}", "1" * 400 + "s", "00:00:05", "P1D"),
)
_TIMES = (
    *("0000-00-00", "99999-01-01T00:00", "9999-12-31T23:59:59+00:00", "0001-01-01T00:00+14:00", "2026-02-30"),
    *("1970-01-01T00:00:00.0000000001", "12", "-1", f"1{'0' * 30}", "\u0663", "²", "9" * 5_000, "EARLIEST", "now", "T"),
    *("orders-99999999999", "orders-0@5", "orders,users,,", "orders," * 500, "ORDERS", "Asia/Nowhere", "../UTC"),
    *("/etc/localtime", "UTC+99", "(a+)+$", "*", "head+1", "+99999999999", "-99999999999", "head", "base", "heads"),
)
_FLAGS = ("=", "=x", "=false", "=-1")


def is_absurd_number(value: str) -> bool:
    """Whether no option for a number means anything by it."""
    return value in _NUMBERS and value not in ("1_000", "1.5", "1e-400", "\u0661")


def of(param: Any, things: Path) -> Iterator[str]:
    """What to give a parameter; `things` is the folder of `make_things`."""
    annotation = param.type_descriptor.annotation
    if get_origin(annotation) is list:
        [annotation] = get_args(annotation)
    if param.metavar == "DURATION":
        yield from (*_DURATIONS, *_NUMBERS, *_ZERO)
    elif annotation in (int, float):
        yield from (*_NUMBERS, *_ZERO)
    elif isinstance(annotation, type) and issubclass(annotation, Path):
        yield from (*(str(path) for path in sorted(things.iterdir())), str(things / "no" / "such"), *_TEXTS)
        yield from (str(things / ("n" * 300)), str(things / "file" / "below"), "~nobody-of-that-name/x", "file://x")
    elif isinstance(annotation, type) and issubclass(annotation, Enum):
        yield from (*_TEXTS, *(str(each.value).swapcase() for each in annotation), "json,table")
    else:
        yield from (*_TEXTS, *_TIMES)


def of_flags() -> tuple[str, ...]:
    """What is put behind a flag, which takes no value."""
    return _FLAGS


def make_things(folder: Path) -> Path:
    """Everything that a path can lead to, in `folder`; devices by links, so that nothing can take their place."""
    folder.mkdir()
    (folder / "folder").mkdir()
    (folder / "file").write_text("no event\n", encoding="utf-8")
    (folder / "empty").touch()
    (folder / "binary").write_bytes(bytes(range(256)) * 16)
    (folder / "locked").touch(mode=0)
    os.mkfifo(folder / "fifo")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "dangling").symlink_to(folder / "away" / "there")
    for name in ("null", "full", "zero"):
        (folder / f"link-to-{name}").symlink_to(f"/dev/{name}")
    Path(os.fsencode(folder / "not-utf-8-").decode("utf-8") + "\udcff").touch()
    return folder
