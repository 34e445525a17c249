"""What doctor leaves alone: what is young, in use, or in somebody's hand; and what it does beside a supervisor at work."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.doctor import check_jobs, scan
from queuectl.doctor.checks import repair_all
from queuectl.doctor.scan import Context
from queuectl.job.job import DEAD, DONE, PENDING, PROCESSING
from queuectl.supervisor import supervisor_lock
from tests.support.damaged_home import DamagedHome


@contextlib.contextmanager
def opened(path: Path, flags: int, *, lock: bool = False) -> Iterator[None]:
    fd = os.open(path, flags)
    try:
        if lock:
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


@pytest.mark.parametrize("how", ["written", "locked", "young"])
def test_what_is_still_being_made_is_no_litter(damaged: DamagedHome, how: str) -> None:
    path = damaged.write("spool/tmp/1.2.ab", "x", age_s=60 if how == "young" else 7200)
    flags = os.O_RDONLY if how == "locked" else os.O_RDWR
    with opened(path, flags, lock=how == "locked") if how != "young" else contextlib.nullcontext():
        assert damaged.findings("litter") == []
    if how != "young":
        assert len(damaged.findings("litter")) == 1


def test_what_has_just_got_its_name_is_young_whatever_its_mtime_says(
    damaged: DamagedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cp -p` and `mv` keep the mtime: a producer may be about to link it, somebody may have just restored it."""
    monkeypatch.undo()
    monkeypatch.setattr(supervisor_lock, "file_system_of", lambda path: "ext4")
    for name in ("spool/tmp/4711", "spool/pending/a.tmp", "output/ghost.1.log", "input/ghost", "config.yaml.7.tmp"):
        damaged.write(name)
    assert {finding["check"] for finding in damaged.findings("", "--home", str(damaged.home))} == {"workers"}


def test_files_of_others_in_the_home_are_never_litter(damaged: DamagedHome) -> None:
    damaged.write("notes.tmp", "mine")
    assert damaged.findings("litter") == []
    assert "notes.tmp" in damaged.findings("strangers")[0]["text"]


def test_the_output_of_a_run_whose_job_was_taken_away_stays(damaged: DamagedHome) -> None:
    """It is written to, and the job's file comes back when the job is settled."""
    path = damaged.write("output/running.1.log", "text")
    with opened(path, os.O_RDONLY, lock=True):
        assert damaged.findings("outputs") == []
    assert len(damaged.findings("outputs")) == 1


def test_young_output_names_that_are_none_and_jobs_that_are_there_are_no_orphans(damaged: DamagedHome) -> None:
    damaged.write("output/young.1.log", age_s=3600)
    for name in ("output/done.1.log", "output/done.1.result", "output/readme.txt", "output/a.b.log", "input/first"):
        damaged.write(name)
    assert damaged.findings("outputs") + damaged.findings("inputs") == []


def test_a_run_that_still_lives_is_not_put_back(damaged: DamagedHome) -> None:
    """Proves G4. Nobody has the job's lock, but a process of its run holds the run's: --fix says so, and leaves it."""
    damaged.run("alive")
    output = Path(damaged.layout.output_of("alive", 1))
    with opened(output, os.O_RDONLY, lock=True):
        mended = damaged.doctor("--fix")
        assert mended.code == 7
        assert "the command of alive is still running" in mended.out
        assert damaged.spool.find("alive") == PROCESSING
        assert damaged.spool.read("alive").last_event == "started"
    assert damaged.doctor("--fix").code == 0
    assert damaged.spool.read("alive").last_event == "interrupted"
    damaged.work()
    damaged.check()


def test_what_somebody_has_in_hand_is_no_finding(damaged: DamagedHome) -> None:
    """A verb passes through states that would be faults if they stayed; it holds the job's lock meanwhile."""
    os.rename(damaged.file(DEAD, "gone"), damaged.file(PENDING, "gone"))
    os.link(damaged.file(DONE, "done"), damaged.file(PENDING, "done"))
    for path in (damaged.file(PENDING, "gone"), damaged.file(PENDING, "done")):
        with opened(path, os.O_RDONLY, lock=True):
            found = damaged.findings()
        assert not [finding for finding in found if str(path.name) in finding["text"]]
    assert {finding["check"] for finding in damaged.findings()} == {"workers", "unfiled", "links"}


def test_what_has_changed_meanwhile_is_not_found(damaged: DamagedHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the second look the file is another one; so that was no fault, but a job on its way."""
    path = damaged.file(PENDING, "gone")
    os.rename(damaged.file(DEAD, "gone"), path)
    monkeypatch.setattr(Context, "wait", lambda self: os.rename(path, damaged.file(DEAD, "gone")))
    assert {finding["check"] for finding in damaged.findings()} == {"workers"}


def test_looking_changes_nothing(damaged: DamagedHome) -> None:
    """Without --fix every name, mode, size and mtime in a home with faults stays as it was."""
    damaged.run("left")
    damaged.write("spool/tmp/1", "x")
    damaged.write("spool/pending/junk.json", "{")
    damaged.path("spool/dead").chmod(0o777)
    damaged.doctor()  # SQLite may make its own files

    def everything() -> dict[str, tuple[int, int, int, int]]:
        found = {}
        for path in sorted(damaged.home.rglob("*")):
            status = path.lstat()
            found[str(path)] = (status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns)
        return found

    before = everything()
    damaged.doctor("--verbose")
    assert everything() == before


def test_fix_beside_workers_that_drain_a_queue_disturbs_none(damaged: DamagedHome) -> None:
    """Ten times --fix while sixty jobs run: each runs once, and nothing had to be mended."""
    for number in range(60):
        damaged.wait(f"job-{number}")
    damaged.supervised.start(3)
    for _ in range(10):
        done = damaged.doctor("--fix")
        assert (done.code, done.out) == (0, ""), done
    damaged.work()
    damaged.check()


def test_a_wrong_row_is_mended_beside_a_running_supervisor(damaged: DamagedHome) -> None:
    """Its writer reads the job again; nothing is rebuilt, and nobody has to be stopped."""
    damaged.supervised.start(1)
    damaged.work()
    with contextlib.closing(sqlite3.connect(damaged.path("index.sqlite3"))) as database, database:
        database.execute("UPDATE jobs SET priority = 77 WHERE id = 'done'")
    [found] = damaged.findings("index")
    assert "done: stale: priority is 0, not 77" in found["text"]
    assert "the supervisor read done again" in damaged.doctor("--fix").out
    assert damaged.findings() == []
    damaged.check()


def test_a_cure_that_fails_is_told_and_the_others_are_done(
    damaged: DamagedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line "left" with the reason, exit 7; what else there was is mended."""
    damaged.write("spool/tmp/1", "x")
    damaged.write("spool/done/junk.json", "{")
    os.rename(damaged.path("spool/rejected"), damaged.path("spool/rejected.away"))
    damaged.path("spool/rejected").symlink_to(damaged.path("nowhere"))
    done = damaged.doctor("--fix")
    assert done.code == 7
    assert "left   no-jobs" in done.out
    assert "fixed  litter" in done.out
    assert damaged.file(DONE, "junk").exists()


def test_a_check_that_cannot_be_made_keeps_no_other_from_being_made(
    damaged: DamagedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error of its own, which says what could not be told and why."""

    def broken(_path: object) -> os.statvfs_result:
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr(os, "statvfs", broken)
    found = damaged.findings()
    assert [each["check"] for each in found] == ["workers", "disk", "inodes"]
    assert "could not check that the disk has free space: Input/output error" in found[1]["text"]
    assert repair_all(Context(damaged.layout, {}, lambda _count: None)) == []


def test_a_job_that_somebody_runs_is_not_stranded(damaged: DamagedHome) -> None:
    """A worker holds its lock, also one whose supervisor has gone."""
    with damaged.jobs.running("busy", command=damaged.command) as claim:
        assert damaged.findings("stranded") == []
        assert damaged.doctor("--fix").code == 0
        claim.finish({"exit_code": 0})


def test_what_was_mended_by_another_cure_is_not_mended_again(damaged: DamagedHome) -> None:
    """Recovery files the job and sets aside who had taken its name: the duplicate is gone before it is looked for."""
    os.rename(damaged.end("left", "completed"), damaged.file(PROCESSING, "left"))
    damaged.file(DONE, "left").write_bytes(damaged.file(DONE, "done").read_bytes())
    damaged.file(DONE, "left").chmod(0o600)
    assert {finding["check"] for finding in damaged.findings()} == {"workers", "stranded", "duplicates"}
    home = Context(damaged.layout, {}, lambda _count: None)
    assert [(done.check, done.is_done) for done in repair_all(home)] == [("stranded", True)]
    damaged.work()
    damaged.check()


def test_a_job_that_was_revived_between_finding_and_cure_is_left_to_run(damaged: DamagedHome) -> None:
    path = damaged.file(PENDING, "gone")
    os.rename(damaged.file(DEAD, "gone"), path)
    home = Context(damaged.layout, {}, lambda _count: None)
    [found] = check_jobs.unfiled(home)
    os.rename(path, damaged.file(DEAD, "gone"))
    damaged.queue.retry("gone")
    assert found.repair is not None
    assert found.repair() == "kept spool/pending/gone.json"
    assert damaged.spool.read("gone").state == "pending"


def test_a_number_that_is_cut_is_said_to_be_the_least(damaged: DamagedHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "LIMIT", 5)
    for number in range(7):
        damaged.write(f"spool/pending/{number}.jsn", "{}")
        damaged.wait(f"far{number}", run_at="2999-01-01T00:00:00Z")
    assert "and at least 2 more" in damaged.findings("ignored")[0]["text"]
    assert damaged.findings("far")[0]["text"].startswith("7 jobs will not start")
