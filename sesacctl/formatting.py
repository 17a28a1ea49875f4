"""Numbers as people read them: how many, how large, how long."""

from __future__ import annotations


def plural(number: int, one: str, many: str | None = None) -> str:
    """`1 order`, `2,000 orders`; `many` where an s does not make the plural."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def bytes_text(number: float) -> str:
    """`512 bytes`, `2.1 MB`: in powers of 1000."""
    if number < 1000:
        return f"{number:.0f} bytes"
    for unit in ("KB", "MB"):
        number /= 1000
        if number < 999.95:
            return f"{number:.1f} {unit}"
    return f"{number / 1000:,.1f} GB"


def duration_text(seconds: float) -> str:
    """`0.4 s`, `90 s`, `5 min`, `3 h`, `12 d`; nothing is younger than now."""
    seconds = max(0.0, seconds)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 2 or not seconds else f"{seconds:.1f} s"
