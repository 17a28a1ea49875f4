"""What the lag has been: samples of the whole group that each host's supervisor keeps in a bounded file."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TextIO

from sesacctl.errors import CheckFailed, SesacctlError
from sesacctl.events import PARTITIONS, Kind
from sesacctl.home import LAG_SAMPLES
from sesacctl.pipeline.audit.partitions import read_partitions
from sesacctl.settings import Settings

logger = logging.getLogger(__name__)

EVERY_SECONDS = 10.0
MOST_SAMPLES = 8_640
"""A day of them; about a megabyte."""
_SLACK = 864  # so many more before the file is written again
_GAP_SECONDS = 3.5 * EVERY_SECONDS
_END_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LagSample:
    """The events of each topic that were not stored at one moment."""

    at: datetime
    lag: Mapping[Kind, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A time without samples: no supervisor sampled on this host, or a server was away."""

    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LagHistory:
    """The samples of a group between two moments, oldest first, and where there are none.

    One is due `every` seconds.
    """

    group: str
    begin: datetime
    end: datetime
    every: float
    samples: list[LagSample]
    gaps: list[Gap]


def file_of(settings: Settings) -> Path:
    """Where this host's samples are: of one group and one prefix of topics."""
    name = zlib.crc32(json.dumps([settings.kafka_group, settings.kafka_topic_prefix]).encode())
    return settings.sesac_home.expanduser() / LAG_SAMPLES / f"{name:08x}.jsonl"


def read_history(settings: Settings, seconds: float, *, now: float | None = None) -> LagHistory:
    """The samples of the last `seconds` that are on this host; no server is asked.

    Raises:
        CheckFailed: there are none.
    """
    end = time.time() if now is None else now
    samples = [sample for sample in _read(file_of(settings)) if end - seconds <= sample.at.timestamp() <= end]
    if not samples:
        raise CheckFailed(
            f"there are no samples of group {settings.kafka_group} of this time on this host:"
            " a supervisor takes one every ten seconds while it runs here",
            hint="sesacctl lag, or sesacctl consume",
        )
    begin, until = datetime.fromtimestamp(end - seconds, UTC), datetime.fromtimestamp(end, UTC)
    marks = [begin, *(sample.at for sample in samples), until]
    gaps = [
        Gap(begin=before, end=after)
        for before, after in pairwise(marks)
        if (after - before).total_seconds() > _GAP_SECONDS
    ]
    return LagHistory(
        group=settings.kafka_group, begin=begin, end=until, every=EVERY_SECONDS, samples=samples, gaps=gaps
    )


@contextmanager
def recording(
    settings: Settings,
    *,
    every: float = EVERY_SECONDS,
    sample: Callable[[Settings], Mapping[Kind, int]] | None = None,
) -> Iterator[None]:
    """Keep samples during the block, from a thread that holds nothing up. One process of a host keeps those of a group.

    While a server is away there is no sample; a file that cannot be written is said once.
    """
    stop = threading.Event()
    look = sample or read_lag
    thread = threading.Thread(target=_record, args=(settings, every, look, stop), name="lag-history", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_END_SECONDS)  # a look at a server that is away may take longer: it is given up


def read_lag(settings: Settings) -> dict[Kind, int]:
    """The events of each topic that are not stored; errors as `read_partitions`."""
    lag = dict.fromkeys(PARTITIONS, 0)
    for part in read_partitions(settings):
        lag[part.kind] += part.lag
    return lag


def _record(
    settings: Settings, every: float, look: Callable[[Settings], Mapping[Kind, int]], stop: threading.Event
) -> None:
    try:
        with _only_one(file_of(settings), every, stop) as path:
            if path is not None:
                _keep_samples(settings, path, every, look, stop)
    except OSError as error:
        logger.warning("no history of the lag is kept: %s", error, extra={"action": "lag.history"})


def _keep_samples(
    settings: Settings,
    path: Path,
    every: float,
    look: Callable[[Settings], Mapping[Kind, int]],
    stop: threading.Event,
) -> None:
    count, failed, begin = sum(1 for _ in _read(path)), False, "\n"  # the last line may be torn
    while not stop.is_set():
        try:
            lag = look(settings)
            with path.open("a", encoding="utf-8") as file:
                file.write(begin)
                _write(file, LagSample(at=datetime.now(UTC), lag=lag))
            count, failed, begin = count + 1, False, ""
            if count > MOST_SAMPLES + _SLACK:
                count = _shorten(path)
        except SesacctlError as error:
            logger.debug("no sample of the lag: %s", error, extra={"action": "lag.history"})
        except OSError as error:
            if not failed:
                logger.warning("no history of the lag is kept: %s", error, extra={"action": "lag.history"})
            failed, begin = True, "\n"
        stop.wait(every)


@contextmanager
def _only_one(path: Path, every: float, stop: threading.Event) -> Iterator[Path | None]:
    """The file, once no other process of this host keeps it; None if `stop` comes first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        while not stop.is_set():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stop.wait(every)
            else:
                yield path
                return
    yield None


def _write(file: TextIO, sample: LagSample) -> None:
    file.write(json.dumps({"at": round(sample.at.timestamp(), 3), **sample.lag}) + "\n")


def _shorten(path: Path) -> int:
    """Keep the newest samples, whole or not at all; how many."""
    kept = deque(_read(path), MOST_SAMPLES)
    new = path.with_suffix(f".{os.getpid()}")
    with new.open("w", encoding="utf-8") as file:
        for sample in kept:
            _write(file, sample)
    new.replace(path)
    return len(kept)


def _read(path: Path) -> Iterator[LagSample]:
    """The samples of a file, oldest first; what cannot be read as one is left out."""
    try:
        lines: Sequence[str] = path.read_text("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            document = json.loads(line)
            lag = {kind: int(document[kind]) for kind in PARTITIONS}
            yield LagSample(at=datetime.fromtimestamp(document["at"], UTC), lag=lag)
        except (ValueError, KeyError, TypeError, OverflowError, OSError):
            continue
