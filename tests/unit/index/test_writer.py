from __future__ import annotations

import errno
import os
import sqlite3
import stat
from typing import TYPE_CHECKING, Any

import pytest

from queuectl.clock import Clock
from queuectl.index import database, writer
from queuectl.index.database import IndexUnavailable
from queuectl.index.rows import COLUMNS
from queuectl.index.writer import Writer
from tests.unit.index.conftest import NOW, row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Time(Clock):
    def __init__(self, now: float) -> None:
        self.time = now

    def now(self) -> float:
        return self.time


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "index.sqlite3")


@pytest.fixture
def clock() -> Time:
    return Time(NOW)


@pytest.fixture
def index(path: str, clock: Time) -> Iterator[Writer]:
    made = Writer(path, clock)
    yield made
    made.close()


def ids(found: list[writer.Due]) -> list[str]:
    return [due.id for due in found]


def counted(index: Writer) -> dict[tuple[str, str], int]:
    index.commit()
    with sqlite3.connect(index.path) as connection:
        found = {(queue, state): n for queue, state, n in connection.execute("SELECT * FROM counts WHERE n <> 0")}
    connection.close()
    return found


def really(index: Writer) -> dict[tuple[str, str], int]:
    with sqlite3.connect(index.path) as connection:
        sql = "SELECT queue, state, count(*) FROM jobs GROUP BY queue, state"
        found = {(queue, state): n for queue, state, n in connection.execute(sql)}
    connection.close()
    return found


# --- rows in, rows out


def test_a_row_comes_back_as_it_was_put(index: Writer) -> None:
    put = row("a", name="n", tags='["t"]', cpu_s=1.5, inode=7, exit_code=3, state="dead", ready=None)
    index.put(list(put))
    waiting = index.get("a")
    index.commit()
    assert waiting == index.get("a") == dict(zip(COLUMNS, put, strict=True))


def test_only_the_last_row_of_a_job_is_written(index: Writer) -> None:
    for state in ("pending", "processing", "completed"):
        index.put(row("a", state=state))
    assert index.waiting == 1
    index.commit()
    assert index.get("a") == dict(zip(COLUMNS, row("a", state="completed"), strict=True))


def test_the_last_word_counts_also_for_what_is_gone(index: Writer) -> None:
    index.put(row("a"))
    index.remove("a")
    index.remove("b")
    index.put(row("b"))
    assert index.get("a") is None
    index.commit()
    assert index.get("a") is None
    assert index.get("b") is not None


def test_it_is_dirty_until_it_is_committed(index: Writer) -> None:
    assert not index.waiting
    index.put(row("a"))
    assert index.waiting
    index.commit()
    assert not index.waiting


def test_counts_follow_every_change(index: Writer) -> None:
    for number in range(20):
        index.put(row(f"j{number}", queue=f"q{number % 3}", state=("pending", "dead")[number % 2]))
    assert counted(index) == really(index)
    for number in range(0, 20, 3):
        index.put(row(f"j{number}", queue="q9", state="completed"))
    for number in range(0, 20, 4):
        index.remove(f"j{number}")
    index.remove("never-there")
    assert counted(index) == really(index)


def test_a_unique_key_is_held_while_its_job_waits_or_runs(index: Writer) -> None:
    for state, is_held in (("pending", True), ("held", True), ("failed", True), ("processing", True)):
        index.put(row("a", unique_key="k", state=state))
        assert (index.unique_holder("k") == "a") is is_held
    for state in ("completed", "cancelled", "dead"):
        index.put(row("a", unique_key="k", state=state))
        assert index.unique_holder("k") is None
    assert index.unique_holder("other") is None


# --- what is due


def test_due_is_ordered_by_priority_then_time_then_id(index: Writer) -> None:
    index.put(row("c", priority=1, run_at=NOW - 5))
    index.put(row("b", priority=1, run_at=NOW - 5))
    index.put(row("a", priority=1, run_at=NOW - 4))
    index.put(row("z", priority=2, run_at=NOW))
    index.put(row("y", priority=-1, run_at=NOW - 99))
    assert ids(index.due(NOW, 10)) == ["z", "b", "c", "a", "y"]


def test_due_includes_what_was_put_a_moment_ago(index: Writer) -> None:
    index.put(row("a"))
    assert ids(index.due(NOW, 1)) == ["a"]
    index.put(row("a", state="processing"))
    assert ids(index.due(NOW, 1)) == []


def test_nothing_is_due_before_its_time(index: Writer) -> None:
    index.put(row("later", run_at=NOW + 10))
    assert ids(index.due(NOW + 9, 5)) == []
    assert ids(index.due(NOW + 10, 5)) == ["later"]


def test_held_running_and_ended_jobs_are_not_due(index: Writer) -> None:
    for state in ("held", "processing", "completed", "cancelled", "dead"):
        index.put(row(state, state=state))
    assert index.due(NOW, 10) == []


def test_due_leaves_out_what_it_is_told_to(index: Writer) -> None:
    for name in "abcdef":
        index.put(row(name))
    assert ids(index.due(NOW, 2, {"a", "c", "x"})) == ["b", "d"]


def test_due_merges_queues_in_one_order(index: Writer) -> None:
    for number in range(60):
        index.put(row(f"j{number:02}", queue=f"q{number % 7}", priority=number * 13 % 5, run_at=NOW - number * 17 % 11))
    index.commit()
    wanted = sorted(range(60), key=lambda n: (-(n * 13 % 5), NOW - n * 17 % 11, f"j{n:02}"))
    for limit in (1, 5, 59, 60, 100):
        assert ids(index.due(NOW, limit)) == [f"j{n:02}" for n in wanted][:limit]


def test_due_skips_closed_queues(index: Writer) -> None:
    index.put(row("a", queue="paused", priority=9))
    index.put(row("b", queue="open"))
    assert ids(index.due(NOW, 5, closed_queues={"paused"})) == ["b"]
    assert [due.queue for due in index.due(NOW, 5)] == ["paused", "open"]


def test_fewer_than_asked_for_are_all_also_when_very_many_become_due_at_once(
    index: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PROMOTE_ROWS", 10)
    for number in range(100):
        index.put(row(f"j{number:03}", run_at=NOW + 5))
    assert len(index.due(NOW, 80)) == 0
    assert len(index.due(NOW + 5, 80)) == 80
    assert len(index.due(NOW + 5, 200)) == 100


def test_what_becomes_due_at_the_same_instant_comes_by_priority_even_when_not_all_fit(
    index: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PROMOTE_ROWS", 3)
    for number in range(10):
        index.put(row(f"j{number}", run_at=NOW + 5, priority=number))
    assert ids(index.due(NOW + 5, 2)) == ["j9", "j8"]


def test_soon_is_what_waits_for_its_time(index: Writer) -> None:
    index.put(row("b", run_at=NOW + 20))
    index.put(row("a", run_at=NOW + 30))
    index.put(row("now"))
    index.put(row("held", run_at=NOW + 5, state="held"))
    assert ids(index.soon(10)) == ["b", "a"]


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


@pytest.mark.parametrize("name", ["due", "due_queue_after", "soon", "get", "overdue", "oldest_ready"])
def test_questions_of_every_moment_follow_an_index_and_sort_nothing(index: Writer, name: str) -> None:
    sql = database.QUERIES[name]
    plan = [step[3] for step in index._database.all(f"EXPLAIN QUERY PLAN {sql}", ["1"] * sql.count("?"))]
    assert len(plan) == 1
    assert " INDEX " in plan[0], plan
