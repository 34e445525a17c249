"""The file of the index: made, damaged, lost, locked by others, on a full disk."""

from __future__ import annotations

import errno
import os
import random
import sqlite3
import stat
from typing import TYPE_CHECKING, Any

import pytest

from queuectl.index import database, writer
from queuectl.index.database import IndexUnavailable, Sorter
from queuectl.index.writer import Writer
from tests.unit.index.conftest import NOW, row

if TYPE_CHECKING:
    from pathlib import Path


# --- the file


def test_the_file_belongs_to_its_owner_alone(index: Writer) -> None:
    index.put(row("a"))
    index.commit()
    for suffix in ("", "-wal", "-shm"):
        assert stat.S_IMODE(os.stat(index.path + suffix).st_mode) == 0o600


def test_what_was_committed_is_there_again(path: str) -> None:
    first = Writer(path)
    assert first.was_rebuilt
    first.put(row("a"))
    first.close()
    second = Writer(path)
    assert not second.was_rebuilt
    assert second.get("a") is not None
    second.close()


def cut_in_half(path: str) -> None:
    os.truncate(path, os.path.getsize(path) // 2)


def cut_to_nothing(path: str) -> None:
    os.truncate(path, 0)


def fill_with_garbage(path: str) -> None:
    with open(path, "r+b") as file:
        file.write(os.urandom(8192))


def write_text(path: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write("hello\n" * 1000)


def be_of_a_newer_version(path: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2000000000")
    connection.close()


def be_another_database(path: str) -> None:
    os.unlink(path)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (a)")
    connection.close()


def lose_a_table(path: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE counts")
    connection.close()


def be_a_link(path: str) -> None:
    os.rename(path, path + ".elsewhere")
    os.symlink(path + ".elsewhere", path)


def be_a_fifo(path: str) -> None:
    os.unlink(path)
    os.mkfifo(path)


DAMAGES = (
    *(cut_in_half, cut_to_nothing, fill_with_garbage, write_text, be_of_a_newer_version, be_another_database),
    *(lose_a_table, be_a_link, be_a_fifo, os.unlink),
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_thrown_away(path: str, damage: Any) -> None:
    first = Writer(path)
    for number in range(200):
        first.put(row(f"j{number}"))
    first.close()
    damage(path)
    second = Writer(path)
    assert second.was_rebuilt
    assert second.needs_sync
    assert second.get("j1") is None
    second.put(row("b"))
    second.close()
    third = Writer(path)
    assert third.get("b") is not None
    third.close()


def test_a_journal_that_lost_its_file_is_not_read_into_the_new_one(path: str) -> None:
    first = Writer(path)
    first.put(row("a"))
    first.commit()
    for suffix in ("-wal", "-shm"):
        with open(path + suffix, "rb") as source, open(f"{path}.copy{suffix}", "wb") as target:
            target.write(source.read())
    first.close()
    os.unlink(path)
    for suffix in ("-wal", "-shm"):
        os.rename(f"{path}.copy{suffix}", path + suffix)
    second = Writer(path)
    assert second.was_rebuilt
    assert second.get("a") is None
    second.close()


def test_an_index_that_cannot_be_opened_for_a_moment_is_not_thrown_away(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Writer(path)
    first.put(row("a"))
    first.close()

    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(IndexUnavailable, match="Too many open files"):
            Writer(path)
    second = Writer(path)
    assert second.get("a") is not None
    second.close()


def test_a_directory_in_its_place_is_moved_away(path: str) -> None:
    for number in (1, 2):
        os.mkdir(path)
        os.mkdir(f"{path}/{number}")
        Writer(path).close()
        assert os.listdir(f"{path}.{number}") == [str(number)]
        os.unlink(path)


# --- trouble while it is open


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PATIENCE_S", 0.01)


@pytest.mark.usefixtures("impatient")
def test_a_locked_index_loses_nothing(path: str) -> None:
    index = Writer(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    index.put(row("a"))
    with pytest.raises(IndexUnavailable, match="locked"):
        index.commit()
    assert index.waiting
    other.execute("ROLLBACK")
    other.close()
    index.commit()
    assert index.get("a") is not None
    index.close()


def test_a_reopening_that_fails_does_not_cost_the_index(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a failed reopening and the next one every call fails, and none of them takes the file for damaged."""
    index = Writer(path)
    index.put(row("a"))
    index.commit()
    index.put(row("b"))

    def refuse(path: str, mode: str) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(database, "_connect", refuse)
        with pytest.raises(IndexUnavailable):
            index.reopen()
        with pytest.raises(IndexUnavailable):
            index.commit()
        with pytest.raises(IndexUnavailable):
            index.due(NOW, 1)
    index.reopen()
    index.commit()
    assert index.get("a") is not None
    assert index.get("b") is not None
    assert not index.was_rebuilt
    index.close()


def test_a_full_disk_loses_nothing(index: Writer, path: str) -> None:
    index.put(row("a"))
    index.commit()
    pages = index._database.one("PRAGMA page_count")
    assert pages is not None
    index._database.all(f"PRAGMA max_page_count = {pages[0]}")
    for number in range(500):
        index.put(row(f"j{number}", command="x" * 400))
    with pytest.raises(IndexUnavailable, match="full"):
        index.commit()
    assert index.waiting == 500
    index._database.all("PRAGMA max_page_count = 1000000")
    index.commit()
    assert index.get("j499") is not None


def test_a_file_that_was_taken_away_is_noticed_and_begun_anew(index: Writer, path: str) -> None:
    index.put(row("a"))
    index.commit()
    assert index.is_in_place
    os.unlink(path)
    assert not index.is_in_place
    index.reopen()
    assert index.is_in_place
    assert index.was_rebuilt
    assert index.needs_sync
    assert index.get("a") is None


def test_damage_while_it_is_open_is_mended_by_opening_again(path: str) -> None:
    index = Writer(path)
    for number in range(5000):
        index.put(row(f"j{number}"))
    index.close()
    index = Writer(path)
    with open(path, "r+b") as file:
        size = os.path.getsize(path)
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    for number in range(5000):
        index.put(row(f"j{number}", state="dead"))
    with pytest.raises(IndexUnavailable):
        index.commit()
    index.reopen()
    assert index.was_rebuilt
    assert not index.waiting
    index.put(row("a"))
    index.commit()
    index.close()


def test_what_waits_for_a_broken_index_is_bounded(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "BUFFER_ROWS", 100)
    index = Writer(path)
    index.needs_sync = False
    for number in range(101):
        index.put(row(f"j{number}"))
    assert index.waiting <= 100
    assert index.needs_sync
    with pytest.raises(IndexUnavailable):
        index.commit()
    index.reopen()
    index.put(row("a"))
    index.commit()
    assert index.needs_sync
    index.close()


@pytest.mark.parametrize("bad", [["too", "few"], [*row("a")[:-1], object()], row("a", state=None)])
def test_a_row_that_cannot_be_written_does_not_stand_in_the_way_for_ever(path: str, bad: list[Any]) -> None:
    """A bug elsewhere must not leave the index behind for good."""
    index = Writer(path)
    index.needs_sync = False
    index._keep("a", bad if len(bad) > 2 else [*bad, *row("a")[2:-1]])
    with pytest.raises(IndexUnavailable):
        index.commit()
    index.reopen()
    assert index.needs_sync
    index.put(row("b"))
    index.commit()
    assert index.get("b") is not None
    index.close()


def test_closing_never_raises(index: Writer, path: str) -> None:
    index._database.all("PRAGMA max_page_count = 1")
    for number in range(500):
        index.put(row(f"j{number}", command="x" * 400))
    index.close()
    index.close()


def test_every_named_query_is_valid_for_the_schema(index: Writer) -> None:
    tried = 0
    for sql in database.QUERIES.values():
        index._database.all(f"EXPLAIN {sql}", ["1"] * sql.count("?"))
        tried += 1
    assert tried > 20


@pytest.mark.parametrize(
    "name",
    [
        *("due", "due_in_lane", "due_in_queue", "due_queue_after", "soon", "get", "overdue", "due_priority_below"),
        "ready_since",
    ],
)
def test_questions_of_every_moment_follow_an_index_and_sort_nothing(index: Writer, name: str) -> None:
    sql = database.QUERIES[name]
    plan = [step[3] for step in index._database.all(f"EXPLAIN QUERY PLAN {sql}", ["1"] * sql.count("?"))]
    plan = [step for step in plan if "SUBQUERY" not in step and "json_each" not in step]
    assert len(plan) == 1
    assert " INDEX " in plan[0], plan


# --- sorting


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 995])
def test_lines_come_out_in_order_however_many_there_are(
    tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "SORTED_IN_MEMORY", 10)
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    lines = [f"{random.Random(number).getrandbits(40):x}-{number}" for number in range(count)]
    sorter = sorter_of(lines)
    assert sorter.count == count
    assert [*sorter] == sorted(lines)
    assert os.listdir(tmp_path) == []  # the file has no name
    sorter.close()


@pytest.mark.parametrize("limit", [2, 100])
def test_lines_are_sorted_by_their_bytes_and_none_is_dropped(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "SORTED_IN_MEMORY", limit)
    lines = ["a", "B", "_x", "a-", "a.", "a0", "Z", "a"]
    assert [*sorter_of(lines)] == sorted(lines, key=str.encode)


def sorter_of(lines: list[str]) -> Sorter:
    sorter = Sorter()
    for line in lines:
        sorter.add(line)
    return sorter
