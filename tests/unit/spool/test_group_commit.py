"""Moving a job between directories, and a full disk while it is done."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from queuectl.executor.local import Ended
from queuectl.job.job import DEAD, DONE, PENDING, PROCESSING
from queuectl.job.outcome import Exited
from queuectl.spool.claim import Claim, SpoolFull
from queuectl.spool.fs import Files
from queuectl.spool.group_commit import commit_group
from queuectl.spool.intake import ClaimRefused
from queuectl.spool.recovery import recover
from queuectl.worker.settle import settle
from tests.support.clock import NOON
from tests.support.spools import Home, free
from tests.unit.spool.conftest import disk

STATES = ("pending", "held", "failed", "completed", "cancelled", "dead")
WAITING = ("pending", "held", "failed")


# --- moving


@pytest.mark.parametrize(("verb", "target"), [("finish", DONE), ("bury", DEAD)])
def test_a_job_that_ran_owns_its_name(spool: Home, verb: str, target: str) -> None:
    """Proves G9. Hole H17."""
    job_id = spool.put("pending")
    with spool.start(job_id) as claim:
        spool.path(target, job_id).write_text("an impostor")
        claim.finish({}) if verb == "finish" else claim.move_to_dead("x", {})
    assert spool.where(job_id) == [target]
    rejected = spool.rejected()
    assert list(rejected) == [f"{job_id}.json"]
    assert f"duplicate-of {job_id}" in rejected[f"{job_id}.json"]


@pytest.mark.parametrize("where", [DONE, DEAD])
def test_a_job_that_is_to_run_again_owns_its_name(spool: Home, where: str) -> None:
    """Else the impostor would make it a duplicate of his, and it would be rejected."""
    job_id = spool.put("pending")
    with spool.start(job_id) as claim:
        spool.path(where, job_id).write_text('{"command":"true","history":[]}')
        claim.reschedule("failed", NOON, {"exit_code": 1})
    assert spool.where(job_id) == [PENDING]
    assert list(spool.rejected()) == [f"{job_id}.json"]
    spool.start(job_id).close()


def test_a_drop_that_took_the_name_of_a_running_job_gets_another(spool: Home) -> None:
    """A nightly backup.json that comes while the last one waits for its retry runs too. Proves G9. Hole H17."""
    spool.drop("backup.json", {"command": "first"})
    with spool.start("backup") as claim:
        spool.drop("backup.json", {"command": "second"})
        claim.reschedule("failed", NOON, {"exit_code": 1})
    names = sorted(os.listdir(spool.layout.directory(PENDING)))
    assert [name[:7] for name in names] == ["backup-", "backup."]
    assert names[1] == "backup.json"
    assert spool.job("backup").command == "first"
    assert spool.job(names[0].removesuffix(".json")).command == "second"
    assert spool.rejected() == {}


def test_a_revived_job_gets_its_name_back(spool: Home) -> None:
    job_id = spool.put("dead")
    spool.drop(f"{job_id}.json", {"command": "other"})
    with spool.take_in(DEAD, job_id) as claim:  # type: ignore[union-attr]
        claim.revive()
    assert spool.job(job_id).command == "true"
    assert len(os.listdir(spool.layout.directory(PENDING))) == 2


def test_whoever_is_in_the_way_and_locked_is_waited_for_but_not_for_ever(spool: Home) -> None:
    job_id = spool.put("pending")
    with spool.start(job_id) as claim:
        spool.drop(f"{job_id}.json", {"command": "other"})
        fd = os.open(spool.path(PENDING, job_id), os.O_RDONLY)
        assert spool.files.try_lock(fd)
        claim.reschedule("failed", NOON, {})
        os.close(fd)
    assert spool.job(job_id).state == "failed"
    assert len(os.listdir(spool.layout.directory(PENDING))) == 2


def test_any_kind_of_entry_may_be_in_the_way(spool: Home) -> None:
    for make in (lambda p: p.mkdir(), os.mkfifo, lambda p: p.symlink_to("/etc/passwd")):
        for target in (PENDING, DONE):
            job_id = spool.put("pending")
            with spool.start(job_id) as claim:
                make(spool.path(target, job_id))
                claim.finish({}) if target == DONE else claim.reschedule("failed", NOON, {})
            assert spool.job(job_id).state == ("completed" if target == DONE else "failed")
    assert len(spool.rejected()) == 3


def test_a_running_job_whose_file_was_removed_is_written_anew(spool: Home) -> None:
    job_id = spool.put("pending", note="kept")
    with spool.start(job_id) as claim:
        spool.path(PROCESSING, job_id).unlink()
        claim.finish({"exit_code": 0})
    job = spool.job(job_id)
    assert (job.state, job.fields["note"], job.exit_code) == ("completed", "kept", 0)
    assert spool.litter() == []


def test_a_second_name_of_the_same_inode_is_no_stranger(spool: Home) -> None:
    job_id = spool.put("pending")
    with spool.start(job_id) as claim:
        os.link(spool.path(PROCESSING, job_id), spool.path(DONE, job_id))
        claim.finish({})
    assert (spool.where(job_id), spool.rejected()) == ([DONE], {})


# --- a full disk


@pytest.mark.parametrize("short", [0, 1, 17, 60])
def test_on_a_full_disk_what_ended_is_moved_without_its_details(full: Home, short: int) -> None:
    for verb, state in (("finish", "completed"), ("bury", "dead")):
        job_id = full.put("pending")
        with full.start(job_id) as claim:
            disk(full).full, disk(full).short = True, short
            claim.finish({"exit_code": 0}) if verb == "finish" else claim.move_to_dead("x", {"exit_code": 1})
            assert claim.details_lost
        disk(full).full = False
        assert (full.job(job_id).state, full.events(job_id)) == (state, ["started"])


def test_on_a_full_disk_nothing_is_cancelled(full: Home) -> None:
    """Moved without the word it would read as completed."""
    job_id = full.put("pending")
    disk(full).full = True
    with full.take(job_id) as claim, pytest.raises(SpoolFull):
        claim.cancel()
    assert full.where(job_id) == [PENDING]


def test_on_a_full_disk_what_has_to_run_again_stays_claimed(full: Home) -> None:
    """Put back without its verdict it would be tried for ever; the worker keeps it and tries again.

    Proves G16. Hole H6.
    """
    job_id = full.put("pending")
    with full.start(job_id) as claim:
        before = full.text(PROCESSING, job_id)
        for short in (0, 1, 30, 90):
            disk(full).full, disk(full).short = True, short
            with pytest.raises(SpoolFull, match="the disk is full"):
                claim.reschedule("failed", NOON + 2, {"exit_code": 1})
            assert full.text(PROCESSING, job_id) == before
            assert not free(full, PROCESSING, job_id)
        disk(full).full = False
        claim.reschedule("failed", NOON + 2, {"exit_code": 1})
    assert full.events(job_id) == ["started", "failed"]


def test_the_ballast_is_given_up_for_a_verdict(full: Home) -> None:
    job_id = full.put("pending")
    full.keep_ballast()
    assert os.path.getsize(full.layout.ballast) == 1 << 20
    with full.start(job_id) as claim:
        disk(full).full = disk(full).ballast_helps = True
        claim.finish({"exit_code": 0})
        assert not claim.details_lost
    assert full.events(job_id) == ["started", "completed"]
    assert not os.path.exists(full.layout.ballast)


def test_the_ballast_is_not_given_up_to_begin_something(full: Home) -> None:
    job_id = full.put("pending")
    full.keep_ballast()
    disk(full).full = disk(full).ballast_helps = True
    answer = full.claim(job_id, "w")
    assert isinstance(answer, ClaimRefused)
    assert (answer.reason, full.where(job_id)) == ("full", [PENDING])
    with full.take(job_id) as claim, pytest.raises(SpoolFull):
        claim.hold()
    assert os.path.exists(full.layout.ballast)
    disk(full).full = False
    full.start(job_id).close()


def test_a_dropped_file_is_not_claimed_on_a_full_disk(full: Home) -> None:
    path = full.drop("a.json", '{"command":"true"}\n')
    for short in (0, 5, 20):
        disk(full).full, disk(full).short = True, short
        answer = full.claim("a", "w")
        assert isinstance(answer, ClaimRefused)
        assert (answer.reason, path.read_text()) == ("full", '{"command":"true"}\n')
    disk(full).full = False
    full.start("a").close()


def test_reviving_on_a_full_disk_changes_nothing(full: Home) -> None:
    job_id = full.put("dead")
    before = full.text(DEAD, job_id)
    disk(full).full, disk(full).short = True, 9
    with full.take(job_id) as claim, pytest.raises(SpoolFull):
        claim.revive()
    assert (full.where(job_id), full.text(DEAD, job_id)) == ([DEAD], before)


def test_a_history_that_cannot_be_compacted_for_want_of_room_grows_on(full: Home) -> None:
    job_id = full.put("pending")
    for _ in range(34):
        with full.start(job_id) as claim:
            claim.reschedule("failed", NOON, {"exit_code": 1, "error": "x" * 1900})
    claim = full.start(job_id)
    disk(full).full = True
    with pytest.raises(SpoolFull):
        claim.reschedule("failed", NOON, {"exit_code": 1, "error": "x" * 1900})
    disk(full).full = False
    claim.finish({})
    claim.close()
    assert full.job(job_id).state == "completed"
    assert full.litter() == []


def test_a_disk_that_fails_in_the_undoing_too_leaves_a_torn_growth(tmp_path: Path) -> None:
    class Broken(Files):
        broken = False

        def write(self, fd: int, data: bytes, offset: int) -> None:
            if self.broken:
                super().write(fd, data[:40], offset) if len(data) > 40 else None
                raise OSError(errno.EIO, "io")
            super().write(fd, data, offset)

    spool = Home(tmp_path / "home", files=Broken())
    job_id = spool.put("pending")
    with spool.start(job_id) as claim:
        Broken.broken = True
        with pytest.raises(OSError, match="io"):
            claim.reschedule("failed", NOON, {"exit_code": 1})
        Broken.broken = False
        assert spool.events(job_id) == ["started"]
        claim.reschedule("failed", NOON, {"exit_code": 1})
    assert spool.events(job_id) == ["started", "failed"]
    assert isinstance(spool.claim(job_id, "w"), Claim)


def test_a_verdict_whose_directory_could_not_be_synced_is_not_given_again(tmp_path: Path) -> None:
    """The first has counted a failure: asked again, the retry rules would bury the job."""

    class Failing(Files):
        fails = True

        def sync_directory(self, path: str) -> None:
            if self.fails and path.endswith(PENDING):
                self.fails = False
                raise OSError(errno.EIO, "the disk failed")

    spool = Home(tmp_path / "home", files=Failing(), durability="full", max_retries_default=1)
    spool.files.fails = False  # type: ignore[attr-defined]
    job_id = spool.put("pending")
    with spool.start(job_id) as claim:
        spool.files.fails = True  # type: ignore[attr-defined]
        with pytest.raises(OSError, match="the disk failed"):
            settle(spool, claim, Ended(Exited(1), None), None)
        assert settle(spool, claim, Ended(Exited(1), None), None) == "failed"
    assert spool.events(job_id) == ["started", "failed"]
    assert spool.where(job_id) == [PENDING]


# --- many together


class Picky(Files):
    """Refuses to sync a file, to sync a directory, or to move."""

    file = directory = target = ""

    def __init__(self) -> None:
        super().__init__()
        self.synced: list[str] = []

    def sync_data(self, fd: int) -> None:
        if self.file and os.readlink(f"/proc/self/fd/{fd}").endswith(self.file):
            raise OSError(errno.EIO, "the disk failed")
        super().sync_data(fd)

    def sync_directory(self, path: str) -> None:
        self.synced.append(os.path.basename(path))
        if self.directory and path.endswith(self.directory):
            raise OSError(errno.EIO, "the disk failed")
        super().sync_directory(path)

    def move(self, source: str, target: str, *, is_fresh: bool = False) -> None:
        if self.target and target.endswith(self.target):
            raise OSError(errno.EIO, "the disk failed")
        super().move(source, target, is_fresh=is_fresh)


@pytest.fixture
def picky(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", files=Picky(), durability="full")


def three_with_verdicts(spool: Home) -> list[Claim]:
    """Two completed, one failed; written, not carried out."""
    claims = [spool.start(spool.put("pending", id=job_id)) for job_id in ("a", "b", "c")]
    for claim in claims:
        if claim.job.id != "c":
            claim.finish({}, commit=False)
        else:
            claim.reschedule("failed", NOON, {"exit_code": 1}, commit=False)
        assert spool.where(claim.job.id) == [PROCESSING]
    spool.files.synced.clear()  # type: ignore[attr-defined]
    return claims


def test_a_group_is_carried_out_with_one_sync_of_each_directory(picky: Home) -> None:
    claims = three_with_verdicts(picky)
    assert commit_group(picky, claims) == {}
    assert [picky.where(job_id) for job_id in "abc"] == [[DONE], [DONE], [PENDING]]
    assert picky.files.synced == ["done", "pending"]  # type: ignore[attr-defined]
    for claim in claims:
        claim.close()


@pytest.mark.parametrize("refused", ["file", "target"])
def test_one_whose_verdict_fails_keeps_none_back(picky: Home, refused: str) -> None:
    claims = three_with_verdicts(picky)
    setattr(picky.files, refused, "/b.json")
    failed = commit_group(picky, claims)
    assert list(failed) == [claims[1]]
    assert [picky.where(job_id) for job_id in "abc"] == [[DONE], [PROCESSING], [PENDING]]
    assert not free(picky, PROCESSING, "b")
    setattr(picky.files, refused, "")
    assert commit_group(picky, failed) == {}
    assert (picky.where("b"), picky.events("b")) == ([DONE], ["started", "completed"])
    for claim in claims:
        claim.close()


def test_a_directory_that_cannot_be_synced_acknowledges_none_of_its_jobs(picky: Home) -> None:
    claims = three_with_verdicts(picky)
    picky.files.directory = "done"  # type: ignore[attr-defined]
    assert list(commit_group(picky, claims)) == claims[:2]
    assert [picky.where(job_id) for job_id in "abc"] == [[DONE], [DONE], [PENDING]]
    picky.files.directory = ""  # type: ignore[attr-defined]
    picky.files.synced.clear()  # type: ignore[attr-defined]
    assert commit_group(picky, claims[:2]) == {}
    assert picky.files.synced == ["done"]  # type: ignore[attr-defined]
    assert [picky.events(job_id) for job_id in "ab"] == [["started", "completed"]] * 2
    for claim in claims:
        claim.close()


def test_one_that_was_taken_away_meanwhile_keeps_none_back(picky: Home) -> None:
    claims = three_with_verdicts(picky)
    picky.path(PROCESSING, "b").unlink()
    assert commit_group(picky, claims) == {}  # it is written anew
    assert [picky.where(job_id) for job_id in "abc"] == [[DONE], [DONE], [PENDING]]
    for claim in claims:
        claim.close()


def test_what_waits_to_be_carried_out_is_locked_and_found_by_recovery(picky: Home) -> None:
    """Proves G7: whoever dies in between has judged all the same."""
    claims = three_with_verdicts(picky)
    assert not any(free(picky, PROCESSING, job_id) for job_id in "abc")
    for claim in claims:
        claim.close()
    for _ in recover(picky, lambda job: False):
        continue
    assert [picky.where(job_id) for job_id in "abc"] == [[DONE], [DONE], [PENDING]]
    assert [picky.events(job_id)[-1] for job_id in "abc"] == ["completed", "completed", "failed"]
