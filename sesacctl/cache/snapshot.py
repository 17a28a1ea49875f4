"""Publishing a generation of the cache: readers see the old hash or the new one, whole, and nothing between."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Any

from redis import Redis, ResponseError

from sesacctl.cache.connections import translate_errors
from sesacctl.cache.meta import META, MOST_GENERATIONS
from sesacctl.cache.refusals import code
from sesacctl.cache.rows import TABLES, Table

# Eleven days at 50 s, and enough to check the bound of ten million rows.
ROUNDS_KEPT = 20_000
_EPOCH = datetime.fromtimestamp(0, UTC)
_CHUNK = 1000
_NO_NUMBER = ("hash value is not an integer", "increment or decrement would overflow")
_STAMP = re.compile(rb"[0-9]{1,17}")


def live_key(table: Table) -> str:
    """The hash `{id: JSON}` that readers use."""
    return f"cache:{table}"


def next_key(table: Table) -> str:
    """Where the next hash is written; the braces put it into the live hash's cluster slot, as RENAME demands."""
    return f"cache:next:{{cache:{table}}}"


def rounds_key(table: Table) -> str:
    """The list of the stamps of all committed rounds, the newest first, in microseconds since 1970."""
    return f"cache:rounds:{{cache:{table}}}"


def publish(
    redis: Redis, rows: Mapping[Table, Mapping[str, str]], *, at: datetime, plan: Mapping[str, float | int]
) -> int:
    """Replace the hash of each table in `rows` (`{id: JSON}`, never empty), then move the generation on; returns it.

    `at` is when the rows were picked; `plan` is kept in the meta data beside it.

    Raises:
        ServerUnreachable: Redis cannot be reached, or is not ready; each hash is as it was, or replaced as a whole.
        ServerRefused: Redis refused: wrong credentials or a missing right; the hashes as above.
        ServerFull: Redis is at its `maxmemory`; the hashes as above.
    """
    with translate_errors(redis):
        for table, values in rows.items():
            _replace(redis, table, values)
        facts = dict[Any, Any](plan) | {"time": at.isoformat()} | {table: len(values) for table, values in rows.items()}
        try:
            generation = _move_on(redis, facts)
            wrong = not 0 < generation < MOST_GENERATIONS
        except ResponseError as error:
            if not _not_ours(error):
                raise
            wrong = True
        if wrong:
            redis.delete(META)
            generation = _move_on(redis, facts)
    return generation


def is_cached(redis: Redis, table: Table, row_id: str) -> bool:
    """Whether readers may draw this row; errors as `read_rounds`."""
    with translate_errors(redis):
        try:
            return bool(redis.hmget(live_key(table), [row_id])[0])
        except ResponseError as error:
            if not _not_ours(error):
                raise
            return False


def take_out(redis: Redis, table: Table, row_id: str) -> None:
    """Take a row out of the live hash, if it is there, and move the generation on: readers look within a second.

    Raises:
        ServerUnreachable: Redis cannot be reached, or is not ready; the row may be out already.
        ServerRefused: Redis refused: wrong credentials or a missing right; the row is where it was.
        ServerFull: Redis is at its `maxmemory`; the row is where it was.
    """
    if is_cached(redis, table, row_id):
        with translate_errors(redis), redis.pipeline(transaction=True) as pipeline:
            pipeline.hdel(live_key(table), row_id)
            pipeline.hincrby(META, "generation", 1)
            pipeline.execute()


def adopt_rounds(redis: Redis) -> None:
    """Take over the rounds that were noted under an older sesacctl's key, which an ACL for `cache:*` does not reach."""
    with translate_errors(redis), redis.pipeline(transaction=False) as pipeline:
        for table in TABLES:
            pipeline.rename(f"{{cache:{table}}}:rounds", rounds_key(table))
        pipeline.execute(raise_on_error=False)  # there are none, or that key is out of reach: both do no harm


def record_round(redis: Redis, stamps: Mapping[Table, datetime]) -> None:
    """Note the stamps of a committed round, for `cache fairness`; about 10 bytes each, `ROUNDS_KEPT` are kept.

    Raises:
        ServerUnreachable: Redis cannot be reached, or is not ready.
        ServerRefused: Redis refused: wrong credentials or a missing right.
        ServerFull: Redis is at its `maxmemory`.
    """
    with translate_errors(redis):
        for table, stamp in stamps.items():
            try:
                _note(redis, table, stamp)
            except ResponseError as error:
                if not _not_ours(error):
                    raise
                redis.delete(rounds_key(table))
                _note(redis, table, stamp)


def read_rounds(redis: Redis, table: Table) -> list[int]:
    """The stamps of the last committed rounds, the newest first, in microseconds since 1970; none before another's.

    Raises:
        ServerUnreachable: Redis cannot be reached, or is not ready.
        ServerRefused: Redis refused: wrong credentials or a missing right.
    """
    with translate_errors(redis):
        try:
            noted: list[Any] = redis.lrange(rounds_key(table), 0, -1)
        except ResponseError as error:
            if not _not_ours(error):
                raise
            return []
    return [int(stamp) for stamp in takewhile(_STAMP.fullmatch, noted)]


def _move_on(redis: Redis, facts: Mapping[Any, Any]) -> int:
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.hincrby(META, "generation", 1)
        pipeline.hset(META, mapping=dict(facts))
        return int(pipeline.execute()[0])


def _note(redis: Redis, table: Table, stamp: datetime) -> None:
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.lpush(rounds_key(table), microseconds(stamp))
        pipeline.ltrim(rounds_key(table), 0, ROUNDS_KEPT - 1)
        pipeline.execute()


def _not_ours(error: ResponseError) -> bool:
    """Whether one of our keys holds something that sesacctl did not put there."""
    return code(error) == "WRONGTYPE" or any(words in str(error) for words in _NO_NUMBER)


def microseconds(at: datetime) -> int:
    """Exact, unlike `timestamp()`."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def _replace(redis: Redis, table: Table, values: Mapping[str, str]) -> None:
    # One MULTI: two writers cannot mix their rows in the temporary key, and none is left behind. RENAME as well:
    # should a write in it fail, the live hash stays.
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.delete(next_key(table))
        items = iter(values.items())
        while chunk := list(islice(items, _CHUNK)):
            pipeline.hset(next_key(table), mapping=dict[Any, str](chunk))
        pipeline.rename(next_key(table), live_key(table))
        pipeline.execute()
