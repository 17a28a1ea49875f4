"""A search for words in everything that is kept: all columns of all tables, all of Redis, and a dump."""

from __future__ import annotations

import json
import subprocess
from base64 import b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path

from sesacctl.cache.client import connect
from sesacctl.database import client_programs
from sesacctl.pipeline.repair.dump import dump
from sesacctl.settings import Settings
from tests.helpers.events import query


def found_in_tables(settings: Settings, words: Sequence[str]) -> set[str]:
    """The tables in which a word is: as text, as JSON's escapes, as bytea or base64 of either."""
    tables = query(
        settings,
        "SELECT quote_ident(relname) FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace",
    )
    found = set()
    for (table,) in tables:
        for row in query(settings, f"SELECT t::text FROM {table} t"):
            if any(form in row[0] for word in words for form in _forms(word)):
                found.add(table)
    return found


def found_in_redis(settings: Settings, words: Sequence[str]) -> set[bytes]:
    """The keys under which a word is."""
    redis = connect(settings)
    found = set()
    try:
        for key in redis.scan_iter():
            kept = redis.hgetall(key) if redis.type(key) == b"hash" else redis.lrange(key, 0, -1)
            if any(
                form.encode() in repr(kept).encode() or form in _text(kept) for word in words for form in _forms(word)
            ):
                found.add(key)
    finally:
        redis.close()
    return found


def is_in_dump(settings: Settings, words: Sequence[str], path: Path) -> bool:
    """Whether a word is in a dump, as SQL."""
    dump(settings, path)
    program = client_programs.find("pg_restore", at_least=client_programs.OLDEST)
    text = subprocess.run([str(program), "--file=-", str(path)], capture_output=True, check=True).stdout.decode()
    return any(form in text for word in words for form in _forms(word))


def _text(kept: object) -> str:
    if isinstance(kept, dict):
        return " ".join(each.decode(errors="replace") for pair in kept.items() for each in pair)
    return " ".join(each.decode(errors="replace") for each in kept) if isinstance(kept, list) else str(kept)


def _forms(word: str) -> Iterator[str]:
    escaped = json.dumps(word)[1:-1]
    for form in {word, escaped}:
        yield form
        yield form.encode().hex()
        yield b64encode(form.encode()).decode().rstrip("=")[:-1]
