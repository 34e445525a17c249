"""The writer: rows in, rows out, and what is due."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from queuectl.index import writer
from queuectl.index.rows import COLUMNS
from queuectl.index.writer import Writer
from tests.unit.index.conftest import NOW, row

if TYPE_CHECKING:
    pass
from tests.unit.index.conftest import counted, ids, really

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
