"""The bound of output/, and what belongs to no job any more."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from queuectl.clock import Clock
from queuectl.config.settings import Settings
from queuectl.job.history import DONE
from queuectl.spool.fs import Files
from tests.support.maintained_home import do, do_all
from tests.support.spools import Home

DAY = 86400.0


def bound(spool: Home, size: object) -> None:
    spool.settings = Settings.from_dict({"durability": "relaxed", "retention_output": size})


def write(spool: Home, job_id: str, size: int = 1000, *, attempt: int = 1, kind: str = "log", age_s: float = 0) -> Path:
    path = Path(spool.layout.output_of(job_id, attempt, kind))
    path.write_bytes(b"x" * size)
    spool.age(path, age_s)
    return path


def test_the_oldest_output_of_completed_jobs_goes_until_it_fits(spool: Home) -> None:
    """The jobs stay, and so does what dead, waiting and running jobs wrote."""
    bound(spool, 4500)
    done = [spool.put("completed") for _ in range(4)]
    paths = [write(spool, job_id, age_s=DAY - number) for number, job_id in enumerate(done)]
    others = [write(spool, spool.put(state), 500, age_s=10 * DAY) for state in ("dead", "failed")]
    report = do(spool, "output")
    assert [path.exists() for path in paths] == [False, True, True, True]
    assert all(path.exists() for path in others)
    assert all(spool.find(job_id) == DONE for job_id in done)
    assert report.words == "removed the output of 1 job, 1 KiB"
    assert report.figures["left_bytes"] == 4000
    assert do(spool, "output").words == ""


def test_every_attempt_and_every_kind_counts_and_goes_together(spool: Home) -> None:
    bound(spool, 2999)
    job_id = spool.put("failed")
    spool.clock.advance(10)
    with spool.start(job_id) as claim:
        claim.finish({})
    old = [write(spool, job_id, attempt=1, age_s=DAY), write(spool, job_id, attempt=2, kind="result")]
    new = write(spool, spool.put("completed"), age_s=5)
    do(spool, "output")
    assert [path.exists() for path in (*old, new)] == [False, False, True]


def test_without_a_bound_nothing_goes(spool: Home) -> None:
    bound(spool, 0)
    path = write(spool, spool.put("completed"), 1 << 20, age_s=100 * DAY)
    assert do(spool, "output").words == ""
    assert path.exists()


def test_a_job_that_somebody_has_locked_keeps_its_output(spool: Home) -> None:
    bound(spool, 1500)
    first, second = spool.put("completed"), spool.put("completed")
    paths = [write(spool, first, age_s=DAY), write(spool, second)]
    with spool.take(first):
        do(spool, "output")
    assert [path.exists() for path in paths] == [True, False]


def test_what_belongs_to_no_job_goes_when_it_has_been_still_for_a_day(spool: Home) -> None:
    old = [write(spool, "gone", kind=kind, age_s=DAY + 10) for kind in ("log", "result", "progress")]
    young, owned = write(spool, "gone2", age_s=DAY - 10), write(spool, spool.put("dead"), age_s=9 * DAY)
    for name in ("notes.txt", "gone.log", "gone.x.log", ".hidden.1.log"):
        path = Path(spool.layout.output, name)
        path.write_bytes(b"")
        spool.age(path, 9 * DAY)
    report = do(spool, "output")
    assert report.words == "removed 3 files without a job, 2.9 KiB"
    assert not any(path.exists() for path in old)
    assert young.exists()
    assert owned.exists()
    assert len(os.listdir(spool.layout.output)) == 6


def test_what_was_just_put_there_is_young_whatever_its_mtime(spool: Home) -> None:
    """A copy from elsewhere keeps its times; its job may come next."""
    spool.clock = Clock()
    path = write(spool, "gone")
    os.utime(path, (0, 0))
    assert do(spool, "output").words == ""
    assert path.exists()


def test_what_a_run_still_holds_stays_although_its_job_is_gone(spool: Home) -> None:
    """The file of a running job may be missing for a while: it is written anew when the job is settled. Proves G9."""
    path = write(spool, "gone", age_s=9 * DAY)
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert do(spool, "output").words == ""
    assert path.exists()


def test_input_of_no_job_goes_too(spool: Home) -> None:
    job_id = spool.put("pending")
    for name in (job_id, "gone"):
        Path(spool.layout.input_of(name)).write_bytes(b"x")
    spool.clock.advance(400 * DAY)
    do(spool, "output")
    assert os.listdir(f"{spool.layout.home}/input") == [job_id]


def test_orphans_are_looked_for_once_a_day_or_when_asked_for(spool: Home) -> None:
    do(spool, "output")
    path = write(spool, "gone", age_s=9 * DAY)
    mark = spool.layout.mark("orphans-looked-for")
    now = spool.clock.now()
    os.utime(mark, (now - 3600, now - 3600))
    do(spool, "output")
    assert path.exists()
    os.utime(mark, (now - DAY, now - DAY))
    do(spool, "output", dry_run=True)
    assert path.exists()
    do(spool, "output")
    assert not path.exists()
    path = write(spool, "gone", age_s=9 * DAY)
    do(spool, "output", is_named=True)
    assert not path.exists()


def test_a_trial_says_what_would_go(spool: Home) -> None:
    bound(spool, 1500)
    paths = [write(spool, spool.put("completed"), age_s=DAY - number) for number in range(3)]
    paths.append(write(spool, "gone", 500, age_s=2 * DAY))
    words = do(spool, "output", dry_run=True).words
    assert words == "would remove 1 file without a job and the output of 2 jobs, 2.4 KiB"
    assert all(path.exists() for path in paths)


class Stuck(Files):
    """One file cannot be removed, as one that was made immutable."""

    def unlink(self, path: str) -> None:
        if path.endswith("/stuck.1.log"):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)
        super().unlink(path)


def test_what_cannot_be_removed_keeps_nothing_else_from_going(tmp_path: Path) -> None:
    """A directory with the name of an output is left alone; a file that resists is told of, and the bound holds."""
    spool = Home(tmp_path / "home", announce=True, files=Stuck())
    bound(spool, 1000)
    Path(spool.layout.output, "dir.1.log").mkdir()
    spool.age(Path(spool.layout.output, "dir.1.log"), 9 * DAY)
    stuck, other = write(spool, "stuck", 10, age_s=9 * DAY), write(spool, "gone", age_s=9 * DAY)
    done = [write(spool, spool.put("completed"), 900, age_s=number) for number in range(2)]
    report = do_all(spool, "output")["output"]
    assert [str(error) for error in report.failed] == [f"cannot remove {stuck}: Operation not permitted"]
    assert [path.exists() for path in (stuck, other, *done)] == [True, False, True, False]
