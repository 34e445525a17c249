"""What happened in each minute is counted once, whatever is read again, deleted or built anew."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from queuectl.clock import spell
from queuectl.index.database import Database
from queuectl.index.rebuild import rebuild
from queuectl.index.rows import row_of
from queuectl.index.statistics import BOUNDS, KEPT_HOURS, KEPT_MINUTES, Figures, percentile, rolling
from queuectl.index.writer import Writer
from queuectl.job.job import Job
from queuectl.job.job_file import parse
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


def told(job_id: str, directory: str, *entries: tuple[str, float, dict[str, Any]], **fields: Any) -> list[Any]:
    """The row of a job that was enqueued at START, and whose history has these entries: event, seconds since, members."""
    history = [{"event": event, "at": spell(START + after), **more} for event, after, more in entries]
    text = {"command": "true", "created_at": spell(START), **fields, "history": history}
    return row_of(Job(job_id, parse(json.dumps(text).encode()), directory, START))


def failed(after: float, again: float) -> tuple[str, float, dict[str, Any]]:
    return ("failed", after, {"exit_code": 1, "run_at": spell(START + again)})


DIED = {"exit_code": 1, "reason": "retries_exhausted"}
RETRIED_BY_HAND = (
    *(("started", 61, {}), failed(62, 70), ("started", 71, {}), ("died", 73, DIED), ("revived", 130, {})),
    *(("started", 131, {}), ("died", 134, DIED), ("revived", 190, {}), ("started", 191, {}), ("completed", 192, {})),
)


def test_a_job_leaves_its_traces_in_the_minutes_in_which_things_happened(writer: Writer) -> None:
    """The wait of a short attempt, which is known only once it has failed, is that before it, not that for the next."""
    history = [("started", 61, {}), failed(61.04, 180), ("started", 183, {}), ("completed", 190, {})]
    places = (("pending", 0), ("pending", 2), ("processing", 3), ("done", 4))
    put(writer, *(told("a", directory, *history[:count]) for directory, count in places))
    assert counted(writer) == {
        "enqueued 0 -1": 1,
        f"wait 1 {BOUNDS.index(300)}": 1,
        f"failed 1 {BOUNDS.index(0.05)}": 1,
        f"wait 3 {BOUNDS.index(5)}": 1,
        f"completed 3 {BOUNDS.index(10)}": 1,
    }


@pytest.mark.parametrize(
    ("run_at", "history", "waits"),
    [
        (-86400, [("started", 5, {})], [5]),  # a time in the past
        (30, [("started", 32, {})], [2]),
        (0, [("held", 1, {}), ("released", 60, {}), ("started", 61, {})], [1]),
        (0, [("edited", 60, {"set": {"priority": 1}}), ("started", 61, {})], [61]),
        (0, [("edited", 10, {"set": {"run_at": spell(START + 60)}}), ("started", 61, {})], [1]),
        (0, [("requeued", 60, {"run_at": spell(START + 60)}), ("started", 61, {})], [1]),
        (0, [("started", 1, {}), ("interrupted", 9, {"run_at": spell(START + 9)}), ("started", 12, {})], [1, 3]),
        (99, [("started", 1, {})], [0]),  # the clock was set back
    ],
)
def test_a_job_waits_while_it_may_start(writer: Writer, run_at: float, history: Any, waits: list[float]) -> None:
    put(writer, told("a", "processing", *history, run_at=spell(START + run_at)))
    [(n, total)] = asked(writer.path, "SELECT sum(n), sum(total_s) FROM minutes WHERE what = 'wait'")
    assert (n, total) == (len(waits), pytest.approx(sum(waits)))


@pytest.mark.parametrize("looks", [range(len(RETRIED_BY_HAND) + 1), (0, 10), (10,), (1, 4, 5, 7, 10), (3, 6, 10)])
def test_a_job_counts_once_and_its_attempts_each_however_often_it_is_looked_at(writer: Writer, looks: Any) -> None:
    """What the index did not see in time, as when it is built anew, is in the history."""
    directory = {"": "pending", "started": "processing", "failed": "pending", "died": "dead", "revived": "pending"}
    for count in looks:
        last = RETRIED_BY_HAND[count - 1][0] if count else ""
        put(writer, told("a", directory.get(last, "done"), *RETRIED_BY_HAND[:count]))
    found = Figures(asked(writer.path, "SELECT what, bucket, n, total_s FROM minutes"))
    assert found.counts == {"enqueued": 1, "completed": 1, "failed": 1, "dead": 0, "cancelled": 0}
    assert found.ends == {"completed": 1, "failed": 1, "dead": 2, "cancelled": 0}
    assert (found.failed_attempts, sum(found.waits), sum(found.runs)) == (3, 4, 4)
    assert (found.wait_s, found.run_s) == (pytest.approx(61 + 1 + 1 + 1), pytest.approx(1 + 2 + 3 + 1))
    minutes = asked(writer.path, "SELECT minute FROM minutes WHERE what LIKE 'rerun%' ORDER BY 1")
    assert minutes == [(MINUTE + 1,), (MINUTE + 2,)]  # where the ends are that they take back


def test_a_job_that_waits_is_not_dead_again(writer: Writer) -> None:
    put(writer, *(told("a", place, *RETRIED_BY_HAND[:count]) for place, count in (("dead", 4), ("pending", 5))))
    assert Figures(asked(writer.path, "SELECT what, bucket, n, total_s FROM minutes")).counts["dead"] == 0


def test_a_cancelled_job_keeps_what_its_last_attempt_was(writer: Writer) -> None:
    history = [("started", 1, {}), failed(3, 9), ("cancelled", 5, {})]
    put(writer, told("a", "done", *history), told("b", "pending", *history[:2]), told("b", "done", *history))
    found = Figures(asked(writer.path, "SELECT what, bucket, n, total_s FROM minutes"))
    assert (found.ends["failed"], found.ends["cancelled"], found.failed_attempts, found.run_s) == (2, 2, 2, 4)


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
    home.enqueue(id="again")
    home.fail("again", 0.0)
    home.fail("again", 0.0)
    home.finish("again")
    home.catch_up()
    with home.reader() as reader:
        before = reader.totals()
    for _ in rebuild(home.spool, home.index):
        pass
    home.catch_up(full=True)
    with home.reader() as reader:
        after = reader.totals()
    assert before.counts == after.counts == {**Figures().counts, "enqueued": 4, "completed": 4, "failed": 2}
    assert before.waits == after.waits
    assert before.runs == after.runs
    assert (sum(after.waits), sum(after.runs), after.failed_attempts) == (6, 6, 2)


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
