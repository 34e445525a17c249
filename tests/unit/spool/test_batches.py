"""The completion job of a batch: once, whatever crashes, whatever happens to jobs meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.job.job import DONE, PENDING
from queuectl.spool import batches
from tests.support.faulty_fs import DIED, Faulty, Point
from tests.support.spools import Home

MEMBER = {"batch": "b", "on_batch_done": "true"}
FIELDS = {"command": "true", "note": "done"}


def complete(spool: Home) -> str:
    """Complete the batch, or continue, as maintenance does."""
    fd = batches.take(spool, "b")
    assert fd is not None
    try:
        note = batches.note_of(spool, "b")
        if note is None:
            return batches.complete(spool, "b", FIELDS, {"completed": 1})
        batches.publish(spool, "b", note["job"])
        return str(note["job"])
    finally:
        spool.files.close(fd)


def dies_at(home: Path, number: int) -> bool:
    """Complete the batch in a process that dies before an operation; False when there are not so many."""
    pid = os.fork()
    if pid == 0:
        try:
            complete(Home(home, files=Faulty(Point(number)), durability="full"))
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == DIED


def completions(spool: Home) -> list[str]:
    found = [(name, job_id) for name in (PENDING, DONE) for job_id in spool.ids(name)]
    return [job_id for name, job_id in found if spool.read(job_id).fields.get("note") == "done"]


@pytest.mark.parametrize("is_removed", [False, True])
def test_the_job_is_added_once_wherever_the_process_dies(tmp_path: Path, is_removed: bool) -> None:
    """Proves G24: also when the job was run and deleted before anybody looks again."""
    number = added_before_the_crash = 0
    while True:
        number += 1
        spool = Home(tmp_path / str(number))
        spool.put("completed", **MEMBER)
        if not dies_at(tmp_path / str(number), number):
            break
        early = completions(spool)
        added_before_the_crash += bool(early)
        if is_removed:
            for job_id in early:
                with spool.take(job_id) as claim:
                    claim.delete()
        if batches.open_batches(spool):
            complete(spool)
        expected = [] if is_removed and early else ["b@done"]
        assert completions(spool) == expected, number
        assert (batches.open_batches(spool), os.listdir(spool.layout.batches)) == ([], ["b"]), number
    assert number > 15
    assert added_before_the_crash > 1


def test_a_batch_is_open_while_a_process_adds_jobs(spool: Home) -> None:
    """Proves G24."""
    with batches.Adding(spool) as adding:
        adding.open("b")
        adding.open("b")
        assert batches.take(spool, "b") is None
    fd = batches.take(spool, "b")
    assert fd is not None
    spool.files.close(fd)


def test_jobs_that_are_added_together_keep_it_open_until_the_last(spool: Home) -> None:
    """Proves G24: the first may have ended long before the last is there."""
    was_open = []

    def jobs() -> Iterator[dict[str, str] | None]:
        yield {"command": "true", **MEMBER}
        yield None
        fd = batches.take(spool, "b")
        was_open.append(fd is None)
        if fd is not None:
            spool.files.close(fd)
        yield {"command": "true", **MEMBER}

    assert len([*spool.enqueue_many(jobs())]) == 2
    assert was_open == [True]
    assert batches.open_batches(spool) == ["b"]
    fd = batches.take(spool, "b")
    assert fd is not None
    spool.files.close(fd)


def test_a_process_that_died_while_it_added_keeps_nothing_open(spool: Home) -> None:
    pid = os.fork()
    if pid == 0:
        batches.Adding(spool).open("b")
        os._exit(0)
    os.waitpid(pid, 0)
    fd = batches.take(spool, "b")
    assert fd is not None
    spool.files.close(fd)


def test_jobs_without_the_field_leave_nothing(spool: Home) -> None:
    spool.put("completed", batch="b")
    assert os.listdir(spool.layout.batches) == []


def test_a_dropped_file_registers_its_batch_when_it_ends(spool: Home) -> None:
    spool.drop("a.json", {"command": "true", **MEMBER})
    with spool.start("a") as claim:
        assert batches.open_batches(spool) == []
        claim.finish({})
    assert batches.open_batches(spool) == ["b"]


def test_another_job_of_that_name_is_not_touched(spool: Home) -> None:
    spool.put("completed", id="b@done")
    spool.put("completed", **MEMBER)
    job_id = complete(spool)
    assert job_id.startswith("b@done-")
    assert spool.job("b@done").state == "completed"
    assert batches.note_of(spool, "b")["job"] == job_id  # type: ignore[index]


def test_the_completion_job_is_told_the_counts_and_runs_where_the_member_ran(spool: Home) -> None:
    job_id = spool.put("completed", **MEMBER, cwd="/tmp", env={"PATH": "/bin"}, queue="mail", priority=3)
    fields = batches.completion_job("b", "echo done", spool.job(job_id), {"completed": 7, "dead": 2})
    assert fields == {
        "command": "echo done",
        "cwd": "/tmp",
        "queue": "mail",
        "priority": 3,
        "env": {
            "PATH": "/bin",
            "QUEUECTL_BATCH": "b",
            "QUEUECTL_BATCH_JOBS": "9",
            "QUEUECTL_BATCH_COMPLETED": "7",
            "QUEUECTL_BATCH_DEAD": "2",
            "QUEUECTL_BATCH_CANCELLED": "0",
        },
    }


def test_a_long_name_gets_an_id_that_is_one(spool: Home) -> None:
    name = "x" * 128
    spool.put("completed", batch=name, on_batch_done="true")
    assert batches.complete(spool, name, FIELDS, {}) == "x" * 123 + "@done"
