"""What happened in each minute is counted once, whatever is read again, deleted or built anew."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from queuectl.index.database import Database
from queuectl.index.rebuild import rebuild
from queuectl.index.statistics import BOUNDS, KEPT_HOURS, KEPT_MINUTES, Figures, percentile, rolling
from queuectl.index.writer import Writer
from tests.support.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.index.conftest import Home

MINUTE = 28_000_000  # since 1970
START = MINUTE * 60.0


def row(job_id: str, **values: Any) -> list[Any]:
    from tests.unit.index.conftest import row as plain

    times = {"created_at": START, "run_at": START, "updated_at": START}
    return plain(job_id, **{**times, **values})


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    with closing(Writer(str(tmp_path / "index.sqlite3"), FakeClock(START))) as made:
        yield made


def asked(path: str, query: str) -> list[Any]:
    with closing(Database(path, for_writing=False)) as database:
        return [*database.all(query)]


def counted(writer: Writer) -> dict[str, int]:
    """How often what happened, by what, minute and bucket."""
    rows = asked(writer.path, "SELECT minute, what, bucket, n FROM minutes")
    return {f"{what} {minute - MINUTE if minute else 'past'} {bucket}": n for minute, what, bucket, n in rows}


def put(writer: Writer, *rows: list[Any]) -> None:
    for each in rows:
        writer.put(each)
        writer.commit()


def test_a_job_leaves_its_traces_in_the_minutes_in_which_things_happened(writer: Writer) -> None:
    started = {"state": "processing", "started_at": START + 61, "attempts": 1}
    failed = {**started, "state": "failed", "finished_at": START + 61.04, "run_at": START + 180}
    again = {**started, "started_at": START + 183, "run_at": START + 180, "attempts": 2}
    ended = {**again, "state": "completed", "finished_at": START + 190}
    put(writer, *(row("a", **values) for values in ({}, started, failed, again, ended)))
    assert counted(writer) == {
        "enqueued 0 -1": 1,
        f"wait 1 {BOUNDS.index(300)}": 1,
        f"failed 1 {BOUNDS.index(0.05)}": 1,
        f"wait 3 {BOUNDS.index(5)}": 1,
        f"completed 3 {BOUNDS.index(10)}": 1,
    }


def test_a_file_read_between_its_verdict_and_its_move_counts_once(writer: Writer) -> None:
    """It reads as processing, and has ended; then the worker's report comes."""
    ended = {"started_at": START + 61, "finished_at": START + 61.04, "attempts": 1}
    for known in ([], [row("b")]):
        put(writer, *known)
        for state in ("processing", "completed", "completed"):
            put(writer, row("b" if known else "a", state=state, **ended))
    assert counted(writer)[f"completed 1 {BOUNDS.index(0.05)}"] == 2


def test_what_is_put_again_counts_for_nothing(writer: Writer) -> None:
    ended = row("a", state="completed", started_at=START, finished_at=START + 1, attempts=1)
    put(writer, row("a"), ended)
    once = counted(writer)
    put(writer, ended, list(ended), ended)
    held = row("b", state="failed", started_at=START, finished_at=START + 1, attempts=1, run_at=START + 9)
    put(writer, held)
    twice = counted(writer)
    put(writer, [*held[:1], "held", *held[2:]], held)
    assert counted(writer) == twice
    assert {key: twice[key] for key in once} != once  # the second job counts too
    assert sum(n for key, n in twice.items() if key.startswith("enqueued")) == 2


def test_what_was_counted_stays_when_the_job_is_deleted(writer: Writer) -> None:
    put(writer, row("a", state="dead", started_at=START, finished_at=START + 1, attempts=1))
    before = counted(writer)
    writer.remove("a")
    writer.commit()
    assert counted(writer) == before


@pytest.mark.parametrize("number", range(len(BOUNDS)))
def test_the_schema_and_the_bounds_say_the_same(writer: Writer, number: int) -> None:
    """A duration of just a bound falls into its bucket, one that is longer into the next."""
    for job_id, s, bucket in (("at", BOUNDS[number], number), ("above", BOUNDS[number] * 1.001, number + 1)):
        put(writer, row(job_id, state="completed", run_at=0, started_at=0, finished_at=s, attempts=1))
        rows = asked(writer.path, "SELECT bucket FROM minutes WHERE what = 'completed'")
        assert (bucket,) in rows, s


def test_attempts_that_failed_between_two_looks_are_counted(writer: Writer) -> None:
    """A job with a short backoff fails more often than the index is written; none is counted twice."""
    times = {"started_at": START, "finished_at": START + 1}
    put(writer, row("a", state="failed", attempts=1, failures=1, **times))
    put(writer, row("a", state="dead", attempts=4, failures=4, started_at=START, finished_at=START + 2))
    put(writer, row("b"), row("b", state="completed", attempts=3, failures=2, **times))
    put(writer, row("c"), row("c", state="processing", attempts=1, failures=1, **times))
    put(writer, row("c", state="failed", attempts=1, failures=1, **times))
    found = Figures(asked(writer.path, "SELECT what, bucket, n, total_s FROM minutes"))
    assert (found.failed_attempts, found.counts["dead"], found.counts["completed"]) == (4 + 2 + 1, 1, 1)


def test_what_never_ran_has_no_duration(writer: Writer) -> None:
    waited = row("a", state="failed", started_at=START, finished_at=START + 1, attempts=1, run_at=START + 9)
    put(writer, waited, row("a", state="cancelled", started_at=START, finished_at=START + 70, attempts=1))
    put(writer, row("b"), row("b", state="dead", dead_reason="expired", finished_at=START + 70))
    assert counted(writer)["cancelled 1 -1"] == 1
    assert counted(writer)["dead 1 -1"] == 1


def test_old_minutes_are_put_together_and_nothing_is_lost(tmp_path: Path) -> None:
    path, clock = str(tmp_path / "index.sqlite3"), FakeClock(START)
    with closing(Writer(path, clock)) as writer:
        for number in range(200):
            writer.put(row(f"j{number:03}", created_at=START + 60 * number, priority=number))
        writer.commit()
        with closing(Database(path, for_writing=True)) as database:
            for minutes, rows in ((200, 200), (KEPT_MINUTES + 300, 5), (KEPT_HOURS + 400, 1)):
                database.change(*rolling(START + 60 * minutes))
                database.change(*rolling(START + 60 * minutes))
                [(kept, total)] = database.all("SELECT count(*), sum(n) FROM minutes")
                assert (kept <= rows, total) == (True, 200), (minutes, kept)


def test_an_index_built_anew_counts_what_the_jobs_still_tell(home: Home) -> None:
    for number in range(3):
        home.enqueue(id=f"j{number}")
        home.finish(f"j{number}")
    home.catch_up()
    with home.reader() as reader:
        before = reader.totals()
    for _ in rebuild(home.spool, home.index):
        pass
    home.catch_up(full=True)
    with home.reader() as reader:
        after = reader.totals()
    assert before.counts == after.counts == {**Figures().counts, "enqueued": 3, "completed": 3}
    assert (sum(after.waits), sum(after.runs)) == (3, 3)


def test_percentiles_lie_within_their_buckets() -> None:
    assert percentile([0] * 17, 0.5) is None
    ten = [0] * 17
    ten[BOUNDS.index(5)] = 10
    assert percentile(ten, 0.5) == 3.75
    assert percentile(ten, 1.0) == 5
    far = [0] * 16 + [1]
    assert percentile(far, 0.95) == BOUNDS[-1]


def test_a_reader_tells_of_each_step(writer: Writer) -> None:
    from queuectl.index.reader import Reader

    put(writer, row("a", state="completed", started_at=START + 30, finished_at=START + 130, attempts=1, queue="q"))
    with Reader(writer.path) as reader:
        steps = reader.series(MINUTE, 1, 3)
        assert [step.counts["completed"] for step in steps] == [0, 0, 1]
        assert steps[2].run_s == 100
        assert [step.counts["completed"] for step in reader.series(MINUTE, 3, 1, "q")] == [1]
        assert [step.counts["completed"] for step in reader.series(MINUTE, 3, 1, "other")] == [0]
