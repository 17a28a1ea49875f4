"""The ledger file: what is in it, in which order it reaches the disk, and what a crash may do to it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sesacctl.errors import CheckFailed, LedgerNotWritten, UsageError
from sesacctl.events import Kind
from sesacctl.pipeline.produce.ledger import Ledger, LedgerEntry, read_ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders.jsonl"


def test_entries_come_back_in_the_order_of_writing(path: Path) -> None:
    ledger = Ledger(path)
    ledger.intend(Kind.ORDERS, ["a", "b"])
    ledger.acknowledge(Kind.ORDERS, ["a"])
    ledger.intend(Kind.USERS, ["u"])
    ledger.close()
    assert list(read_ledger(path)) == [
        LedgerEntry(Kind.ORDERS, "a", False),
        LedgerEntry(Kind.ORDERS, "b", False),
        LedgerEntry(Kind.ORDERS, "a", True),
        LedgerEntry(Kind.USERS, "u", False),
    ]
    assert path.read_text().splitlines()[2] == '{"acked":"orders","id":"a"}'


@given(ids=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=20))
def test_any_id_comes_back(tmp_path_factory: pytest.TempPathFactory, ids: list[str]) -> None:
    path = tmp_path_factory.mktemp("ledger") / "l.jsonl"
    ledger = Ledger(path)
    ledger.intend(Kind.ORDERS, ids)
    ledger.close()
    assert [entry.id for entry in read_ledger(path)] == ids


def test_an_intent_is_on_the_disk_when_intend_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def recorded(name: str) -> Callable[..., object]:
        function = getattr(os, name)

        def call(*arguments: object) -> object:
            calls.append(name)
            return function(*arguments)

        return call

    ledger = Ledger(path)
    monkeypatch.setattr(os, "write", recorded("write"))
    monkeypatch.setattr(os, "fsync", recorded("fsync"))
    ledger.intend(Kind.ORDERS, ["a"])
    assert calls == ["write", "fsync"]
    ledger.acknowledge(Kind.ORDERS, ["a"])
    assert calls == ["write", "fsync", "write"]
    ledger.close()
    assert calls[-1] == "fsync"


def test_a_new_ledger_s_name_is_on_the_disk_before_an_intent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    ledger = Ledger(path)
    assert synced == [path.parent.stat().st_ino]
    ledger.close()


def test_a_second_run_appends(path: Path) -> None:
    for row_id in ("a", "b"):
        ledger = Ledger(path)
        ledger.intend(Kind.ORDERS, [row_id])
        ledger.close()
    assert [entry.id for entry in read_ledger(path)] == ["a", "b"]


@pytest.mark.parametrize("torn", [b"{", b'{"sent":"orders","id":"' + b"x" * 10_000])
def test_a_torn_last_line_is_skipped_and_then_truncated(path: Path, torn: bytes) -> None:
    whole = b'{"sent":"orders","id":"a"}\n'
    path.write_bytes(whole + torn)
    assert [entry.id for entry in read_ledger(path)] == ["a"]
    Ledger(path).close()
    assert path.read_bytes() == whole


def test_a_file_that_is_one_torn_line_is_emptied(path: Path) -> None:
    path.write_bytes(b"x" * 9000)
    Ledger(path).close()
    assert path.read_bytes() == b""


@pytest.mark.parametrize(
    "line",
    [
        b"not JSON\n",
        b'{"id":"a"}\n',
        b'{"sent":1,"id":"a"}\n',
        b"\xff\n",
        b"[]\n",
        b'{"sent":"order","id":"a"}\n',
        b'{"acked":"orders"}\n',
        b'{"sent":"orders","id":""}\n',
        b'{"acked":"","sent":"orders","id":"a"}\n',
    ],
)
def test_a_line_of_something_else_is_named(path: Path, line: bytes) -> None:
    path.write_bytes(b'{"sent":"orders","id":"a"}\n' + line)
    with pytest.raises(CheckFailed, match="line 2"):
        list(read_ledger(path))


def test_a_missing_file_cannot_be_read(path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        list(read_ledger(path))


def test_a_missing_folder_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        Ledger(tmp_path / "no" / "l.jsonl")


def test_two_writers_do_not_mix(path: Path) -> None:
    first = Ledger(path)
    with pytest.raises(UsageError, match="another producer"):
        Ledger(path)
    first.close()
    Ledger(path).close()


def test_a_full_disk_leaves_whole_lines_only(path: Path) -> None:
    """In a process of its own, because the limit on a file's size is the process's."""
    limit = 2_000
    script = f"""
import resource, signal, sys
from pathlib import Path
from sesacctl.errors import LedgerNotWritten
from sesacctl.pipeline.produce.ledger import Ledger
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {resource.RLIM_INFINITY}))
ledger = Ledger(Path({str(path)!r}))
for number in range(100):
    try:
        ledger.intend("orders", [f"{{number}}-{{line}}" for line in range(7)])
    except LedgerNotWritten as error:
        print(number, error)
        break
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    chunks, _, message = done.stdout.partition(" ")
    assert "File too large" in message
    entries = list(read_ledger(path))
    assert len(entries) == int(chunks) * 7 > 0
    assert path.read_bytes().endswith(b"\n")
    assert path.stat().st_size <= limit


def test_a_full_device_refuses_the_intent() -> None:
    with pytest.raises(LedgerNotWritten, match="No space left"):
        Ledger(Path("/dev/full")).intend(Kind.ORDERS, ["a"])
