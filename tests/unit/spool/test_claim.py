"""The verbs in every state, and what becomes of a job that runs."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from queuectl.clock import spell
from queuectl.errors import Conflict, NotFound
from queuectl.job.job import DEAD, DONE, PENDING, PROCESSING
from queuectl.job.job_file import parse
from queuectl.spool.fs import Files
from queuectl.spool.intake import ClaimRefused
from tests.support.clock import NOON
from tests.support.spools import Home, folded, free

STATES = ("pending", "held", "failed", "completed", "cancelled", "dead")
WAITING = ("pending", "held", "failed")


# --- every verb in every state


@pytest.mark.parametrize("state", STATES)
def test_what_can_be_held(spool: Home, state: str) -> None:
    job_id = spool.put(state)
    with spool.take(job_id) as claim:
        if state in WAITING:
            claim.hold()
            assert spool.job(job_id).state == "held"
        else:
            with pytest.raises(Conflict, match=f"is {state}; only waiting jobs can be changed in this way"):
                claim.hold()
            assert spool.job(job_id).state == state


@pytest.mark.parametrize("state", STATES)
def test_what_can_be_released(spool: Home, state: str) -> None:
    job_id = spool.put(state)
    with spool.take(job_id) as claim:
        if state == "held":
            claim.release()
            assert spool.job(job_id).state == "pending"
        else:
            with pytest.raises(Conflict, match=f"is {state}, not held"):
                claim.release()


@pytest.mark.parametrize("state", STATES)
def test_what_can_be_edited(spool: Home, state: str) -> None:
    job_id = spool.put(state, queue="a")
    with spool.take(job_id) as claim:
        if state in WAITING:
            claim.edit({"queue": "b", "note": "n"})
            job = spool.job(job_id)
            assert (job.queue, job.fields["note"], claim.job.queue) == ("b", "n", "b")
        else:
            with pytest.raises(Conflict):
                claim.edit({"queue": "b"})


@pytest.mark.parametrize("state", STATES)
def test_what_can_be_run_at_once(spool: Home, state: str) -> None:
    job_id = spool.put(state)
    with spool.take(job_id) as claim:
        if state in WAITING:
            claim.run_now()
            job = spool.job(job_id)
            assert (job.state, job.run_at) == ("pending", NOON)
            assert job.failures == (state == "failed")
        else:
            with pytest.raises(Conflict):
                claim.run_now()


@pytest.mark.parametrize("state", STATES)
def test_cancelling_ends_what_waits_and_leaves_what_has_ended(spool: Home, state: str) -> None:
    job_id = spool.put(state)
    before = spool.text(spool.where(job_id)[0], job_id)
    with spool.take(job_id) as claim:
        claim.cancel()
    assert spool.job(job_id).state == ("cancelled" if state in WAITING else state)
    if state not in WAITING:
        assert spool.text(spool.where(job_id)[0], job_id) == before


@pytest.mark.parametrize("state", STATES)
def test_what_can_be_revived(spool: Home, state: str) -> None:
    job_id = spool.put(state)
    with spool.take(job_id) as claim:
        if state in WAITING:
            with pytest.raises(Conflict, match="only a finished or dead job"):
                claim.revive()
            return
        claim.revive()
        assert claim.directory == PENDING
    job = spool.job(job_id)
    assert (job.state, job.failures, job.run_at, job.dead_reason) == ("pending", 0, NOON, None)
    spool.start(job_id).close()
    assert spool.job(job_id).attempts == job.attempts + 1


@pytest.mark.parametrize(
    ("state", "verb"), [("dead", "revive"), ("completed", "revive"), ("pending", "run_now"), ("held", "release")]
)
def test_a_job_that_is_asked_to_run_loses_an_expiry_that_has_passed(spool: Home, state: str, verb: str) -> None:
    expiry = NOON + 60
    job_id = spool.put(state, expires_at=spell(expiry), note="kept")
    spool.clock.advance(120)
    with spool.take(job_id) as claim:
        getattr(claim, verb)()
        assert claim.job.removed_expiry == expiry
    job = spool.job(job_id)
    assert (job.expires_at, job.fields["note"]) == (None, "kept")
    assert job.history[-1]["set"] == {"expires_at": None}
    spool.start(job_id).close()


@pytest.mark.parametrize(("state", "verb"), [("dead", "revive"), ("pending", "run_now"), ("held", "release")])
def test_an_expiry_that_has_not_passed_stays(spool: Home, state: str, verb: str) -> None:
    job_id = spool.put(state, expires_at=spell(NOON + 60))
    with spool.take(job_id) as claim:
        getattr(claim, verb)()
        assert claim.job.removed_expiry is None
    assert spool.job(job_id).expires_at == NOON + 60


def test_a_job_that_expired_can_be_revived(spool: Home) -> None:
    job_id = spool.put("pending", expires_at=spell(NOON + 60))
    spool.clock.advance(120)
    assert isinstance(spool.claim(job_id, "w"), ClaimRefused)
    assert spool.job(job_id).dead_reason == "expired"
    with spool.take(job_id) as claim:
        claim.revive()
    spool.start(job_id).close()
    assert spool.job(job_id).attempts == 1


@pytest.mark.parametrize("state", STATES)
def test_deleting_removes_the_job_and_all_it_wrote(spool: Home, state: str) -> None:
    """Proves G8."""
    job_id = spool.put(state)
    other = spool.put(state)
    belongings = [spool.layout.input_of(job_id)] + [
        spool.layout.output_of(job_id, 1, kind) for kind in ("log", "result", "progress")
    ]
    for path in [*belongings, spool.layout.output_of(other, 1)]:
        Path(path).write_text("x")
    with spool.take(job_id) as claim:
        claim.delete()
    assert spool.where(job_id) == []
    gone = belongings if state in ("failed", "completed", "dead") else belongings[:1]
    assert not any(os.path.exists(path) for path in gone)
    assert os.path.exists(spool.layout.output_of(other, 1))
    assert spool.litter() == []
    with pytest.raises(NotFound):
        spool.take(job_id)


def test_a_running_job_is_not_deleted_held_edited_or_revived(spool: Home) -> None:
    job_id = spool.put("pending")
    claim = spool.start(job_id)
    for verb in (claim.delete, claim.hold, claim.revive, claim.run_now, lambda: claim.edit({"queue": "b"})):
        with pytest.raises(Conflict):
            verb()
    assert spool.events(job_id) == ["started"]
    with pytest.raises(Conflict, match="is running"):
        spool.take(job_id)
    claim.close()


def test_a_held_job_is_held_once(spool: Home) -> None:
    job_id = spool.put("held")
    with spool.take(job_id) as claim:
        claim.hold()
    assert spool.events(job_id) == ["held"]


# --- a running job


def test_a_claim_writes_that_an_attempt_begins(spool: Home) -> None:
    job_id = spool.put("pending")
    claim = spool.start(job_id, "worker-7")
    assert spool.where(job_id) == [PROCESSING]
    job = spool.job(job_id)
    assert (job.state, job.attempts, job.worker, job.started_at) == ("processing", 1, "worker-7", NOON)
    assert folded(claim.job) == folded(job)
    assert not free(spool, PROCESSING, job_id)
    claim.close()
    claim.close()
    assert free(spool, PROCESSING, job_id)


def test_a_finished_job_lies_in_done(spool: Home) -> None:
    job_id = spool.put("pending")
    with spool.start(job_id) as claim:
        spool.clock.advance(5)
        claim.finish({"exit_code": 0, "cpu_s": 0.5, "max_rss_bytes": 4096})
        assert (claim.directory, claim.details_lost) == (DONE, False)
    job = spool.job(job_id)
    assert (job.state, job.exit_code, job.cpu_s, job.finished_at) == ("completed", 0, 0.5, NOON + 5)
    assert folded(claim.job) == folded(job)


@pytest.mark.parametrize("event", ["failed", "snoozed", "requeued", "interrupted"])
def test_a_rescheduled_job_waits_for_its_time(spool: Home, event: str) -> None:
    job_id = spool.put("pending")
    with spool.start(job_id) as claim:
        claim.reschedule(event, NOON + 60, {})
    answer = spool.claim(job_id, "w")
    assert isinstance(answer, ClaimRefused)
    assert (answer.reason, answer.again_s) == ("early", 60.0)
    spool.clock.advance(60)
    spool.start(job_id).close()


def test_a_buried_job_lies_in_dead(spool: Home) -> None:
    job_id = spool.put("dead")
    assert (spool.where(job_id), spool.job(job_id).dead_reason) == ([DEAD], "retries_exhausted")


def test_a_running_job_is_cancelled_by_whoever_holds_it(spool: Home) -> None:
    job_id = spool.put("pending")
    with spool.start(job_id) as claim:
        claim.cancel({"exit_code": 143, "signal": "SIGTERM"})
    job = spool.job(job_id)
    assert (job.state, job.exit_code, job.outcome) == ("cancelled", 143, "signal")


def test_a_job_that_is_interrupted_too_often_is_buried(spool: Home) -> None:
    job_id = spool.put("pending")
    for number in (1, 2, 3):
        with spool.start(job_id) as claim:
            claim.interrupt("gone")
        assert spool.job(job_id).state == ("pending" if number < 3 else "dead")
    assert spool.job(job_id).dead_reason == "interrupted"


def test_a_job_may_ask_to_be_buried_by_the_first_interruption(spool: Home) -> None:
    job_id = spool.put("pending", on_interrupt="bury")
    with spool.start(job_id) as claim:
        claim.interrupt("gone")
    assert spool.job(job_id).dead_reason == "interrupted"


def test_a_job_is_one_inode_all_its_life(spool: Home) -> None:
    job_id = spool.put("pending")
    inode = spool.path(PENDING, job_id).stat().st_ino
    with spool.start(job_id) as claim:
        claim.reschedule("failed", NOON, {"exit_code": 1})
    with spool.start(job_id) as claim:
        claim.move_to_dead("retries_exhausted", {"exit_code": 1})
    with spool.take(job_id) as claim:
        claim.revive()
        claim.hold()
        claim.cancel()
    assert spool.path(DONE, job_id).stat().st_ino == inode
    assert spool.events(job_id) == ["started", "failed", "started", "died", "revived", "held", "cancelled"]
    assert os.path.getsize(spool.path(DONE, job_id)) == len(parse(spool.path(DONE, job_id).read_bytes()).body) + 3


def test_a_verdict_that_was_written_is_only_filed_the_next_time(tmp_path: Path) -> None:
    """After an error of the disk the worker settles again: the history must not say it twice."""

    class Failing(Files):
        def sync_data(self, fd: int) -> None:
            raise OSError(errno.EIO, "io")

    spool = Home(tmp_path / "home", files=Failing(), durability="full")
    job_id = spool.put("pending")
    with spool.start(job_id) as claim:
        with pytest.raises(OSError, match="io"):
            claim.finish({"exit_code": 0})
        assert spool.where(job_id) == [PROCESSING]
        claim.finish({"exit_code": 0})
    assert spool.where(job_id) == [DONE]
    assert spool.events(job_id) == ["started", "completed"]


def test_what_a_failed_sync_has_not_written_is_written_anew(tmp_path: Path) -> None:
    """The kernel tells of it once and then takes it for written: another sync of the same file proves nothing.

    Proves G16.
    """

    synced: set[int] = set()

    class Failing(Files):
        inode = 0

        def sync_data(self, fd: int) -> None:
            if os.fstat(fd).st_ino == self.inode:
                Failing.inode = 0
                raise OSError(errno.EIO, "io")

        def sync(self, fd: int) -> None:
            synced.add(os.fstat(fd).st_ino)

    spool = Home(tmp_path / "home", files=Failing(), durability="full")
    job_id = spool.put("pending")
    with spool.start(job_id) as claim:
        Failing.inode = claim.inode
        synced.clear()
        with pytest.raises(OSError, match="io"):
            claim.finish({"exit_code": 0})
        claim.finish({"exit_code": 0})
    assert spool.path(DONE, job_id).stat().st_ino in synced
    assert spool.events(job_id) == ["started", "completed"]


@pytest.mark.parametrize(("durability", "synced"), [("full", True), ("relaxed", False)])
def test_relaxed_durability_leaves_the_syncs_out(tmp_path: Path, durability: str, synced: bool) -> None:
    calls: list[str] = []

    class Counting(Files):
        def sync(self, fd: int) -> None:
            calls.append("sync")

        def sync_data(self, fd: int) -> None:
            calls.append("sync_data")

        def sync_directory(self, path: str) -> None:
            calls.append(os.path.basename(path))

    spool = Home(tmp_path / "home", files=Counting(), durability=durability)
    job_id = spool.put("pending")
    with spool.start(job_id) as claim:
        claim.finish({})
    with spool.take(job_id) as claim:
        claim.revive()
        claim.hold()
    spool.sync_started(job_id)  # it has moved on
    wanted = ["sync", "pending", "sync_data", "done", "pending", "done", "sync_data", "sync_data"]
    assert calls == (wanted if synced else [])
