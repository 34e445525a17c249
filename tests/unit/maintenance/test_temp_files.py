"""Litter, logs, what a crash left in processing/, the index and the minutes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.errors import QueueError
from queuectl.index.reader import Reader
from queuectl.index.sync import catch_up
from queuectl.index.writer import Writer
from queuectl.job.history import PENDING, PROCESSING
from queuectl.supervisor.supervisor_lock import SupervisorLock
from tests.support.maintained_home import Queued, do
from tests.support.spools import Home

DAY = 86400.0
HOUR = 3600.0


def make(spool: Home, *names: str) -> list[Path]:
    paths = [Path(spool.layout.home, name) for name in names]
    for path in paths:
        path.write_bytes(b"x")
    return paths


def pass_time(spool: Home, seconds: float) -> None:
    """Let this much time pass since the files were made: they have the system's, not the spool's."""
    spool.clock.advance(os.stat(spool.layout.home).st_ctime + seconds - spool.clock.now())


# --- litter

LEFT = ("spool/tmp/12.1.abc", "spool/tmp/.x", "config.yaml.12.tmp", "web.token.7.tmp", "run/config.json.9.tmp")
LEFT_TOO = ("index.sqlite3.new", "index.sqlite3.new-wal")
NOT_OURS = ("config.yaml", "config.yaml.bak", "run/ballast2", "spool/pending/.x.tmp", "spool/rejected/a", "web.token")


def test_what_a_crash_left_goes_after_a_day_and_a_half_and_nothing_else(spool: Home) -> None:
    litter, others = make(spool, *LEFT, *LEFT_TOO), make(spool, *NOT_OURS)
    Path(spool.layout.tmp, "directory").mkdir()
    pass_time(spool, 35 * HOUR)
    assert do(spool, "litter").words == ""
    pass_time(spool, 37 * HOUR)
    assert do(spool, "litter", dry_run=True).words == "would remove 7 files left by a crash"
    assert all(path.exists() for path in litter)
    assert do(spool, "litter").words == "removed 7 files left by a crash"
    assert not any(path.exists() for path in litter)
    assert all(path.exists() for path in others)
    assert spool.litter() == ["directory"]


def test_a_file_that_is_old_but_has_just_come_to_tmp_stays(spool: Home) -> None:
    """As one that was exchanged, or copied with its times: what counts is when it came."""
    [path] = make(spool, "spool/tmp/a")
    os.utime(path, (1e9, 1e9))
    pass_time(spool, HOUR)
    do(spool, "litter")
    assert path.exists()


def test_what_somebody_has_locked_stays(spool: Home) -> None:
    """A job that is being replaced is locked in tmp/ before it is exchanged."""
    [path] = make(spool, "spool/tmp/a")
    pass_time(spool, 100 * DAY)
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        do(spool, "litter")
    assert path.exists()


def test_locks_of_unique_keys_do_not_pile_up(spool: Home) -> None:
    free, held, other = make(spool, f"run/unique.{'0' * 32}", f"run/unique.{'1' * 32}", "run/unique.x")
    pass_time(spool, 2 * HOUR)
    with held.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert do(spool, "litter").words == "removed 1 lock that no process holds"
    assert [path.exists() for path in (free, held, other)] == [False, True, True]


# --- logs


def test_old_parts_of_logs_go_and_what_may_be_written_to_stays(spool: Home) -> None:
    old = make(spool, "logs/supervisor.log.1", "logs/worker-3.log.5", "logs/worker-9.log")
    kept = make(spool, "logs/supervisor.log", "logs/web.log", "logs/notes", "logs/worker-1.log.bak")
    [young] = make(spool, "logs/worker-1.log.1")
    for path in (*old, *kept):
        spool.age(path, 31 * DAY)
    spool.age(young, 29 * DAY)
    with SupervisorLock(spool.layout):
        assert do(spool, "logs").words == "removed 2 old logs, 2 B"
    assert old[2].exists()
    assert do(spool, "logs").words == "removed 1 old log, 1 B"
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in (*kept, young))


# --- reclaim


def test_what_a_crash_left_in_processing_is_put_where_it_belongs(spool: Home) -> None:
    spool.put("pending", id="started")
    spool.start("started").close()
    spool.put("completed", id="ended")
    os.rename(spool.path("done", "ended"), spool.path(PROCESSING, "ended"))
    assert do(spool, "reclaim", dry_run=True).words == "would recover 2 jobs left in processing/"
    assert do(spool, "reclaim").words == "moved 2 jobs to their directories"
    assert (spool.where("started"), spool.where("ended")) == ([PENDING], ["done"])
    assert spool.job("started").interruptions == 1


def test_a_job_whose_run_lives_is_left_to_the_next_supervisor(spool: Home) -> None:
    spool.put("pending", id="a")
    spool.start("a").close()
    with Path(spool.layout.output_of("a", 1)).open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert do(spool, "reclaim").words == "1 job is still running without a supervisor"
    assert spool.where("a") == [PROCESSING]


def test_with_a_supervisor_processing_is_its_own(spool: Home) -> None:
    """It knows how an attempt has ended that would only be counted as interrupted here."""
    spool.put("pending", id="a")
    spool.start("a").close()
    with SupervisorLock(spool.layout):
        assert do(spool, "reclaim").words == ""
    assert spool.where("a") == [PROCESSING]


# --- index and statistics


def test_rows_that_a_stranger_has_made_stale_are_mended(spool: Home) -> None:
    """A job changed in a way that leaves no trace, as after a restore with its times. Proves G12."""
    ids = [spool.put("pending") for _ in range(5)]
    spool.put("completed")
    pass_time(spool, 10)
    do(spool, "index")
    writer = Writer(spool.layout.index, spool.clock)
    writer._database._connection.execute("UPDATE jobs SET queue = 'wrong' WHERE id = ?", (ids[0],))
    for _ in catch_up_with(spool, writer):
        pass
    writer.close()
    assert do(spool, "index", is_named=True, dry_run=True).words == "compared 6 jobs: 1 differ"
    assert do(spool, "index", is_named=True).words == "compared 6 jobs, repaired 1 row"
    assert do(spool, "index", is_named=True).words == "compared 6 jobs"


def catch_up_with(spool: Home, writer: Writer):  # type: ignore[no-untyped-def]
    from queuectl.index.sync import sync

    return sync(spool, writer)


def test_an_index_that_differs_in_too_much_is_an_error_with_the_cure(
    spool: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("queuectl.maintenance.index.MOST", 3)
    for _ in range(5):
        spool.put("pending")
    pass_time(spool, 10)
    do(spool, "index")
    writer = Writer(spool.layout.index, spool.clock)
    writer._database._connection.execute("UPDATE jobs SET queue = 'wrong'")
    for _ in catch_up_with(spool, writer):
        pass
    writer.close()
    with pytest.raises(QueueError, match="differ for at least 3 jobs") as error:
        do(spool, "index", is_named=True)
    assert error.value.hint == "to rebuild it: queuectl index rebuild"


def test_every_job_is_compared_once_a_day(spool: Home) -> None:
    spool.put("completed")
    assert do(spool, "index").words == "compared 1 job"
    now = spool.clock.now()
    os.utime(spool.layout.mark("index-compared"), (now - 80_000, now - 80_000))
    assert do(spool, "index").words == ""
    os.utime(spool.layout.mark("index-compared"), (now - DAY, now - DAY))
    assert do(spool, "index").words == "compared 1 job"
    os.utime(spool.layout.mark("index-compared"), (now + DAY, now + DAY))  # the clock was set back since
    assert do(spool, "index").words == "compared 1 job"


def test_old_minutes_are_put_together_and_none_is_lost(spool: Home) -> None:
    """Without a supervisor too, and also when nothing else has changed."""
    for _ in range(10):
        spool.put("completed")
        spool.clock.advance(60)
    for _ in catch_up(spool):
        pass

    def rows() -> tuple[int, int]:
        with Reader(spool.layout.index) as reader:
            return len(reader._database.all("SELECT * FROM minutes")), reader.totals().counts["completed"]

    before = rows()
    spool.clock.advance(40 * DAY)
    do(spool, "statistics")
    after = rows()
    assert after[0] < before[0]
    assert after[1] == before[1] == 10


@pytest.mark.parametrize("what", ["runs", "has just ended"])
def test_what_a_queue_at_work_does_meanwhile_is_no_difference(
    spool: Home, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A supervisor hears of a short run when it ends, and writes what it heard a moment later."""
    spool.put("pending", id="a")
    do(spool, "index")
    reader = Queued.reader

    def stale(queued: Queued, _warn: Callable[[str], None] | None = None) -> Reader:
        return Reader(queued.layout.index)

    def lagging(queued: Queued, warn: Callable[[str], None] | None = None) -> Reader:
        made = reader(queued, warn)
        if what == "has just ended" and spool.where("a") == [PENDING]:
            with spool.start("a") as claim:
                claim.finish({})
        return made

    if what == "runs":
        spool.start("a").close()
    monkeypatch.setattr(Queued, "reader", stale if what == "runs" else lagging)
    with SupervisorLock(spool.layout):
        assert do(spool, "index", is_named=True).words == "compared 1 job"
