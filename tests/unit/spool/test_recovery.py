"""What a crash left in processing/, and how it is mended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from queuectl.job.job import DEAD, DONE, PENDING, PROCESSING, Job
from queuectl.spool.claim import Claim
from queuectl.spool.fs import Files
from queuectl.spool.recovery import Recovered, reclaim, recover
from tests.support.clock import NOON
from tests.support.faulty_fs import FullDisk
from tests.support.spools import Home


def ended(_: Job) -> bool:
    return False


def only(spool: Home) -> Recovered:
    (found,) = recover(spool, ended)
    return found


def crashed(spool: Home, job_id: str | None = None) -> str:
    """Start a job and lose its worker."""
    job_id = job_id or spool.put("pending")
    spool.start(job_id).close()
    return job_id


def test_an_attempt_nobody_saw_the_end_of_is_an_interruption(spool: Home) -> None:
    job_id = crashed(spool)
    found = only(spool)
    assert (found.job_id, found.result) == (job_id, "interrupted")
    job = spool.job(job_id)
    assert (job.state, job.attempts, job.failures, job.interruptions, job.run_at) == ("pending", 1, 0, 1, NOON)
    assert job.last_error == "its worker died before the command's end was recorded"


def test_a_job_that_keeps_crashing_is_buried(spool: Home) -> None:
    """Proves G6."""
    job_id = spool.put("pending")
    for _ in range(3):
        crashed(spool, job_id)
        assert only(spool).result == "interrupted"
    assert spool.job(job_id).dead_reason == "interrupted"


def test_a_job_that_was_claimed_and_not_started_goes_back_uncounted(spool: Home) -> None:
    job_id = spool.put("pending")
    os.rename(spool.path(PENDING, job_id), spool.path(PROCESSING, job_id))
    assert only(spool).result == "moved"
    assert (spool.where(job_id), spool.events(job_id)) == ([PENDING], [])


def test_a_dropped_file_that_was_claimed_and_not_started_goes_back_untouched(spool: Home) -> None:
    path = spool.drop("a.json", '{"command":"true"}')
    os.rename(path, spool.path(PROCESSING, "a"))
    assert only(spool).result == "moved"
    assert path.read_text() == '{"command":"true"}'


def settle(claim: Claim, verb: str) -> None:
    if verb == "finish":
        claim.finish({"exit_code": 0})
    elif verb == "bury":
        claim.move_to_dead("x", {})
    elif verb == "reschedule":
        claim.reschedule("failed", NOON, {})
    else:
        claim.cancel()


@pytest.mark.parametrize(
    ("verb", "target"), [("finish", DONE), ("bury", DEAD), ("reschedule", PENDING), ("cancel", DONE)]
)
def test_a_verdict_that_was_written_is_carried_out(
    spool: Home, verb: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never judged again, never run again. Proves G7."""

    class Stop(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stop

    job_id = spool.put("pending")
    claim = spool.start(job_id)
    monkeypatch.setattr(Files, "move", stop)
    with pytest.raises(Stop):
        settle(claim, verb)
    monkeypatch.undo()
    claim.close()
    before = spool.text(PROCESSING, job_id)
    found = only(spool)
    assert (found.result, found.detail) == ("moved", f"to {target}/")
    assert (spool.where(job_id), spool.text(target, job_id)) == ([target], before)


def test_an_edit_in_the_history_of_a_running_job_is_no_verdict(spool: Home) -> None:
    job_id = spool.put("pending")
    spool.start(job_id).close()
    path = spool.path(PROCESSING, job_id)
    edit = ',{"event":"edited","at":"2026-11-30T10:00:00Z","set":{"priority":3}}]}'
    path.write_text(path.read_text().rstrip().removesuffix("]}") + edit)
    assert only(spool).result == "interrupted"
    assert (spool.where(job_id), spool.events(job_id)) == ([PENDING], ["started", "edited", "interrupted"])


def test_a_torn_verdict_counts_as_none(spool: Home) -> None:
    job_id = crashed(spool)
    path = spool.path(PROCESSING, job_id)
    path.write_bytes(path.read_bytes()[:-3] + b',{"event":"completed","at":"20\0\0\0\0')
    assert only(spool).result == "interrupted"
    assert spool.events(job_id) == ["started", "interrupted"]


@pytest.mark.parametrize("data", [b'{"command":"true"}\0\0\0\0', b'{"command":"true","history":[{"event":"sta\0\0\0'])
def test_a_torn_start_never_ran(spool: Home, data: bytes) -> None:
    """And the file is whole again before it lies in pending/, where nobody would mend it."""
    spool.path(PROCESSING, "a").write_bytes(data)
    spool.path(PROCESSING, "a").chmod(0o600)
    assert only(spool).result == "moved"
    assert spool.text(PENDING, "a") in ('{"command":"true"}\n', '{"command":"true","history":[]}\n')
    spool.start("a").close()


def test_a_run_that_still_lives_is_handed_over_locked(spool: Home) -> None:
    job_id = crashed(spool)
    asked: list[int] = []

    def alive(job: Job) -> bool:
        asked.append(job.attempts)
        return True

    (found,) = recover(spool, alive)
    assert (found.result, asked) == ("alive", [1])
    assert found.claim is not None
    assert [f.result for f in recover(spool, alive)] == ["owned"]
    found.claim.finish({"exit_code": 0})
    found.claim.close()
    assert spool.job(job_id).state == "completed"


def test_a_job_whose_worker_lives_is_left_alone(spool: Home) -> None:
    with spool.start(spool.put("pending")):
        assert only(spool).result == "owned"


def test_a_locked_file_is_not_judged_at_all(spool: Home) -> None:
    """Whoever runs it may have a file that others made world-writable meanwhile."""
    job_id = spool.put("pending")
    with spool.start(job_id):
        spool.path(PROCESSING, job_id).chmod(0o606)
        assert only(spool).result == "owned"
    assert only(spool).result == "rejected"


def test_a_job_that_has_gone_meanwhile_is_gone(spool: Home) -> None:
    assert reclaim(spool, "none", ended).result == "gone"


@pytest.mark.parametrize("stays", [DONE, DEAD, PENDING])
def test_of_two_names_of_one_inode_the_later_stays(spool: Home, stays: str) -> None:
    """The order is done, dead, pending, processing, whatever the last event says. Proves G2. Hole H16."""
    job_id = crashed(spool)
    os.link(spool.path(PROCESSING, job_id), spool.path(stays, job_id))
    assert only(spool).result == "gone"
    assert spool.where(job_id) == [stays]


def test_garbage_in_processing_is_set_aside_and_disturbs_nobody(spool: Home) -> None:
    """Proves G11."""
    spool.path(PROCESSING, "text").write_text("garbage")
    os.mkfifo(spool.path(PROCESSING, "fifo"))
    spool.path(PROCESSING, "directory").mkdir()
    spool.path(PROCESSING, "link").symlink_to("/etc/passwd")
    for name in ("a b.json", ".hidden", "\udcff.json"):
        Path(spool.layout.directory(PROCESSING), name).write_text("x")
    good = crashed(spool)
    results = {found.job_id: found.result for found in recover(spool, ended)}
    assert results == {
        **dict.fromkeys(("text", "fifo", "directory", "link", "a b.json", ".hidden", "\\xff.json"), "rejected"),
        good: "interrupted",
    }
    assert len(spool.rejected()) == 7
    assert os.listdir(spool.layout.directory(PROCESSING)) == []


def test_what_cannot_be_mended_now_does_not_stop_the_rest(tmp_path: Path) -> None:
    """A full disk, an unreadable file, an entry that cannot be moved: said, and looked at again later."""
    files = FullDisk()
    spool = Home(tmp_path / "home", files=files)
    first, second = crashed(spool), crashed(spool)
    files.full = True
    assert [(found.result, "full" in found.detail) for found in recover(spool, ended)] == [("owned", True)] * 2
    assert [spool.where(job_id) for job_id in (first, second)] == [[PROCESSING]] * 2
    files.full = False
    assert [found.result for found in recover(spool, ended)] == ["interrupted"] * 2


def test_an_unreadable_file_is_kept(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    crashed(spool)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "no")

    monkeypatch.setattr(Files, "read", refuse)
    assert only(spool).result == "owned"
    monkeypatch.undo()
    assert only(spool).result == "interrupted"


def test_an_entry_that_cannot_be_set_aside_is_reported(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(spool.layout.directory(PROCESSING), "a b.json").write_text("x")
    spool.path(PROCESSING, "b").write_text("x")

    def refuse(*_: object) -> None:
        raise PermissionError(1, "no")

    monkeypatch.setattr(Files, "move", refuse)
    for found in recover(spool, ended):
        assert (found.result, "cannot be moved to rejected/" in found.detail) == ("owned", True)


def test_done_and_dead_are_never_read_or_moved(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hole H13."""
    jobs = [spool.put(state) for state in ("completed", "dead", "pending", "failed")]
    before = {d: sorted(os.listdir(spool.layout.directory(d))) for d in (DONE, DEAD, PENDING)}
    opened: list[str] = []
    real = Files.open

    def record(self: Files, path: str, flags: int) -> int:
        opened.append(path)
        return real(self, path, flags)

    crashed(spool, jobs[2])
    monkeypatch.setattr(Files, "open", record)
    list(recover(spool, ended))
    assert {os.path.dirname(path) for path in opened} == {spool.layout.directory(PROCESSING)}
    assert {d: sorted(os.listdir(spool.layout.directory(d))) for d in (DONE, DEAD, PENDING)} == before


def test_recovery_can_be_repeated(spool: Home) -> None:
    job_id = crashed(spool)
    assert [found.result for found in recover(spool, ended)] == ["interrupted"]
    for _ in range(3):
        assert list(recover(spool, ended)) == []
    assert spool.events(job_id) == ["started", "interrupted"]


def test_a_bug_in_the_hunt_for_processes_leaves_no_lock_behind(spool: Home) -> None:
    crashed(spool)

    def broken(_: Job) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(recover(spool, broken))
    assert only(spool).result == "interrupted"
