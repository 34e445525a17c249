"""What maintenance asks of the index: what has not changed for long, pages that nobody counts, and its file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from queuectl.index import reader as reading
from queuectl.index.query import Query
from queuectl.index.reader import Reader
from queuectl.index.writer import Writer
from tests.support.clock import FakeClock
from tests.unit.index.conftest import NOW, row


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "index.sqlite3")


def fill(path: str, count: int, *, per_second: int = 1, state: str = "completed") -> None:
    writer = Writer(path)
    for number in range(count):
        writer.put(row(f"{state}-{number:05}", state=state, updated_at=NOW + number // per_second))
    writer.close()


@pytest.mark.parametrize("per_second", [1, 7, 1000])
def test_the_oldest_come_first_each_once_however_many_share_an_instant(
    path: str, per_second: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PIECE", 10)
    fill(path, 95, per_second=per_second)
    fill(path, 5, state="dead")
    with Reader(path) as reader:
        found = [*reader.not_changed_since("completed", float("inf"))]
        assert [at for at, _ in found] == sorted(at for at, _ in found)
        assert sorted(job_id for _, job_id in found) == [f"completed-{number:05}" for number in range(95)]
        assert [job_id for _, job_id in reader.not_changed_since("dead", NOW + 2)] == ["dead-00000", "dead-00001"]
        assert [*reader.not_changed_since("cancelled", float("inf"))] == []


def test_jobs_of_before_1970_are_old_as_well(path: str) -> None:
    writer = Writer(path)
    writer.put(row("a", state="dead", updated_at=-5.0))
    writer.close()
    with Reader(path) as reader:
        assert [*reader.not_changed_since("dead", 0.0)] == [(-5.0, "a")]


@pytest.mark.parametrize("filters", [{}, {"until": NOW + 50}, {"search": "completed-0000"}, {"queue": "default"}])
def test_pages_that_are_not_counted_hold_the_same_rows(path: str, filters: dict[str, object]) -> None:
    fill(path, 60)
    with Reader(path) as reader:
        for is_counted in (True, False):
            ids, cursor = [], None
            while True:
                query = Query(("completed",), sort="-updated", limit=7, cursor=cursor, is_counted=is_counted, **filters)  # type: ignore[arg-type]
                page = reader.page(query)
                ids += [each["id"] for each in page.rows]
                cursor = page.cursor
                if cursor is None:
                    break
            if is_counted:
                counted = ids
        assert ids == counted
        assert ids


def test_the_file_is_seen_to_once_an_hour_with_what_is_written_anyway(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    writer = Writer(path, clock)
    seen: list[float] = []
    monkeypatch.setattr(writer._database, "optimise", lambda: seen.append(clock.now()))
    for minute in range(0, 150, 10):
        writer.put(row(f"a{minute}"))
        writer.commit()
        clock.advance(600)
    assert len(seen) == 3
    writer.close()


def test_a_file_that_somebody_keeps_locked_is_seen_to_another_time(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written stays written, and the index is no less good for it."""
    monkeypatch.setattr("queuectl.index.database.PATIENCE_S", 0.01)
    writer = Writer(path)
    writer.put(row("a"))
    writer.commit()
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    writer.optimise()
    stranger.execute("ROLLBACK")
    stranger.close()
    assert writer.get("a") is not None
    writer.close()
