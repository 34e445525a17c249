"""The verbs of a claim: each in each state, and what they do to the file."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from queuectl.clock import spell
from queuectl.errors import Busy, Conflict, InvalidData, NotFound
from queuectl.fields import stamp
from queuectl.history import leads_to
from queuectl.job import DEAD, DONE, PENDING, PROCESSING
from queuectl.outcome import Exited
from queuectl.processes.runner import Ended
from queuectl.processes.settlement import settle
from queuectl.record import MAX_ENTRY_BYTES, parse
from queuectl.spool.claim import COMPACT_AT_BYTES, Claim, SpoolFull
from queuectl.spool.files import Files
from queuectl.spool.intake import NotNow
from queuectl.spool.jobfile import JobFile
from queuectl.spool.recovery import recover
from tests.support.clock import NOON
from tests.support.faults import Faulty, FullDisk
from tests.support.spools import Home, free

STATES = ("pending", "held", "failed", "completed", "cancelled", "dead")
WAITING = ("pending", "held", "failed")


@pytest.fixture
def full(tmp_path: Path) -> Home:
    return Home(tmp_path / "full", files=FullDisk())


def disk(spool: Home) -> FullDisk:
    assert isinstance(spool.files, FullDisk)
    return spool.files


# --- every verb in every state


@pytest.mark.parametrize("state", STATES)
def test_what_can_be_held(spool: Home, state: str) -> None:
    job_id = spool.put(state)
    with spool.take(job_id) as claim:
        if state in WAITING:
            claim.hold()
            assert spool.job(job_id).state == "held"
        else:
            with pytest.raises(Conflict, match=f"is {state}; this can be done to a waiting job only"):
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
    assert claim.job.as_dict() == job.as_dict()
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
    assert claim.job.as_dict() == job.as_dict()


@pytest.mark.parametrize("event", ["failed", "snoozed", "requeued", "interrupted"])
def test_a_rescheduled_job_waits_for_its_time(spool: Home, event: str) -> None:
    job_id = spool.put("pending")
    with spool.start(job_id) as claim:
        claim.reschedule(event, NOON + 60, {})
    answer = spool.claim(job_id, "w")
    assert isinstance(answer, NotNow)
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
        claim.bury("retries_exhausted", {"exit_code": 1})
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


# --- edits


def test_whoever_dies_between_changing_a_job_and_acknowledging_it_has_told_the_index(
    spool: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = spool.put("pending")
    spool.announce = True

    def die(_: JobFile) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(JobFile, "sync", die)
    with pytest.raises(KeyboardInterrupt), spool.take(job_id) as claim:
        claim.hold()
    assert spool.job(job_id).is_held
    assert spool.files.take(spool.changes_path) == f"{job_id}\n".encode()


def test_an_edit_that_rewrites_a_dropped_file_keeps_when_it_was_made(spool: Home) -> None:
    spool.drop("a.json", {"command": "true"}, still_s=3600.0)
    made_at = spool.job("a").created_at
    with spool.take("a") as claim:
        claim.edit({"env": {"A": "x" * 3000}})
    assert spool.job("a").created_at == made_at


def test_an_edit_that_makes_no_job_is_refused_and_changes_nothing(spool: Home) -> None:
    job_id = spool.put("pending")
    before = spool.text(PENDING, job_id)
    bad: list[dict[str, Any]] = [
        {"command": None},
        {"argv": ["ls"]},
        {"priority": "high"},
        {"id": "other"},
        {"state": "pending"},
        {"created_at": spell(NOON)},
        {"history": []},
        {"unique_key": "k"},
        {"command": "a\0b"},
        {"command": "a\udcff"},
        {"x": float("nan")},
        {"x": {1, 2}},
        {"x": json.loads("[" * 40 + "]" * 40)},
        {"command": "x" * (1 << 17)},
        {"x": "x" * (1 << 20)},
    ]
    with spool.take(job_id) as claim:
        for changes in bad:
            with pytest.raises(InvalidData):
                claim.edit(changes)
    assert spool.text(PENDING, job_id) == before
    assert spool.litter() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"command": "x" * (MAX_ENTRY_BYTES + 1)},
        {"command": "é" * 5000, "run_at": spell(NOON + 5)},
        {"note": json.loads("[" * 30 + "]" * 30)},
    ],
    ids=["long", "long, with a time", "deep"],
)
def test_an_edit_too_large_for_an_entry_rewrites_the_file(spool: Home, changes: dict[str, Any]) -> None:
    """What could not be read back inside `set` becomes the author's own; the history stays."""
    job_id = spool.put("failed")
    inode = spool.path(PENDING, job_id).stat().st_ino
    with spool.take(job_id) as claim:
        claim.edit({"queue": "q"})
        claim.edit(changes)
        assert claim.job.as_dict() == spool.job(job_id).as_dict()
        claim.hold()
    job = spool.job(job_id)
    assert {key: job.fields[key] for key in changes} == changes
    assert (job.queue, job.state, job.failures) == ("q", "held", 1)
    assert job.run_at == (NOON + 5 if "run_at" in changes else NOON + 2)
    assert spool.events(job_id) == ["started", "failed", "edited", "edited", "held"]
    assert spool.path(PENDING, job_id).stat().st_ino != inode
    assert spool.litter() == []


def test_many_edits_never_make_a_file_that_cannot_be_read(spool: Home) -> None:
    job_id = spool.put("pending", note="x" * (400 << 10))
    with spool.take(job_id) as claim:
        for number in range(200):
            claim.edit({"note2": f"{number}" * 400})
    job = spool.job(job_id)
    assert job.fields["note2"] == "199" * 400
    assert os.path.getsize(spool.path(PENDING, job_id)) < (400 << 10) + COMPACT_AT_BYTES + 3 * MAX_ENTRY_BYTES


@pytest.mark.parametrize("state", ["completed", "cancelled", "dead"])
def test_at_no_moment_of_a_revival_does_done_or_dead_say_run_me(tmp_path: Path, state: str) -> None:
    """It moves first and then grows: whoever looks into done/ or dead/ finds what has ended, and nothing to be run.

    Hole H12.
    """
    looked = 0

    class Looking(Faulty):
        def at(self, method: str, *args: Any) -> None:
            nonlocal looked
            looked += 1
            for directory in (DONE, DEAD):
                for name in os.listdir(home.layout.directory(directory)):
                    record = parse(Path(home.layout.directory(directory), name).read_bytes())
                    assert leads_to(record.history) == directory, f"before {method}"

    home = Home(tmp_path / "home")
    job_id = home.put(state)
    spool = Home(tmp_path / "home", files=Looking(), durability="full")
    with spool.take(job_id) as claim:
        claim.revive()
    assert home.events(job_id)[-1] == "revived"
    assert looked > 5


# --- growing


def test_a_growth_that_was_torn_is_cut_off_before_the_next(spool: Home) -> None:
    """Hole H4."""
    job_id = spool.put("failed")
    path = spool.path(PENDING, job_id)
    whole = path.read_bytes()
    path.write_bytes(whole[:-3] + b',{"event":"held","at":"2027-01' + b"\0" * 40)
    assert spool.job(job_id).state == "failed"
    with spool.take(job_id) as claim:
        claim.run_now()
    assert spool.events(job_id) == ["started", "failed", "requeued"]
    assert path.read_bytes() == parse(path.read_bytes()).body + b"]}\n"


def test_what_a_crash_left_is_never_read_together_with_what_is_written_next(spool: Home) -> None:
    """Whoever mends it may die in the middle of a growth as well: of two halves no entry is made. Holes H4, H25."""

    class Died(BaseException):
        pass

    class Dying(Files):
        length = 0

        def write(self, fd: int, data: bytes, offset: int) -> None:
            if b"bbb" in data:
                super().write(fd, data[: self.length], offset)
                raise Died
            super().write(fd, data, offset)

    job_id = spool.put("pending")
    spool.start(job_id).close()
    path = spool.path(PROCESSING, job_id)
    whole = path.read_bytes()
    record = parse(whole)
    first = record.growth({"event": "failed", "at": stamp(NOON), "run_at": spell(NOON), "error": "a" * 100})
    spool.files = Dying()
    for length in range(20, len(first) - 20):
        path.write_bytes(record.body + b",".ljust(20, b"\0") + first[20:])
        assert spool.events(job_id) == ["started"]
        Dying.length = length
        with spool.take_in(PROCESSING, job_id) as claim, pytest.raises(Died):  # type: ignore[union-attr]
            claim.reschedule("failed", NOON, {"error": "b" * 100})
        assert spool.events(job_id) == ["started"], length


def test_somebody_who_still_writes_cannot_change_what_was_read(spool: Home) -> None:
    """A producer who kept the file open: the job is written anew from memory, and he writes to a dead inode.

    Hole H3.
    """
    spool.drop("late.json", '{"command":"true"}')
    claim = spool.start("late")
    with open(spool.path(PROCESSING, "late"), "r+b") as late:
        late.seek(0, os.SEEK_END)
        late.write(b'{"garbage')
        late.flush()
        claim.finish({"exit_code": 0})
        late.write(b"more")
    claim.close()
    assert spool.job("late").state == "completed"
    assert spool.events("late") == ["started", "completed"]
    assert (spool.litter(), spool.where("late")) == ([], [DONE])


def test_a_file_that_was_truncated_by_its_producer_is_written_anew(spool: Home) -> None:
    """Hole H3."""
    spool.drop("late.json", '{"command":"true","note":"' + "x" * 3000 + '"}')
    claim = spool.start("late")
    os.truncate(spool.path(PROCESSING, "late"), 0)
    claim.reschedule("failed", NOON, {"exit_code": 1})
    claim.close()
    assert spool.job("late").fields["note"] == "x" * 3000
    assert spool.events("late") == ["started", "failed"]


def test_a_file_without_a_history_is_not_grown_in_pending(spool: Home) -> None:
    """Torn there, it could not be told from the first half of what a stranger writes: it is replaced first."""
    path = spool.drop("a.json", '{"command":"true","note":1e9}')
    inode = path.stat().st_ino
    with spool.take("a") as claim:
        claim.hold()
    assert path.stat().st_ino != inode
    assert path.read_bytes().startswith(b'{"command":"true","note":1e9,"history":[{"event":"held"')
    assert spool.litter() == []


def test_a_job_that_was_replaced_is_locked_all_the_same(spool: Home) -> None:
    """The new inode takes over the lock of the old one before it has a name."""
    spool.drop("a.json", '{"command":"true"}')
    with spool.take("a") as claim:
        claim.hold()
        assert not free(spool, PENDING, "a")
    assert free(spool, PENDING, "a")


def test_a_dropped_file_is_written_anew_before_its_first_growth(tmp_path: Path) -> None:
    """A growth whose bytes, but not whose length, reached the disk would leave it without its last bracket."""
    spool = Home(tmp_path / "home", durability="full")
    path = spool.drop("a.json", '{"command":"true"}')
    dropped = path.open("rb")
    inode = os.fstat(dropped.fileno()).st_ino
    spool.start("a").close()
    assert spool.path(PROCESSING, "a").stat().st_ino != inode
    assert dropped.read() == b'{"command":"true"}'
    dropped.close()
    assert spool.litter() == []


def test_where_a_power_cut_may_lose_what_happened_last_it_grows_in_place(spool: Home) -> None:
    """Nobody waits for the disk then."""
    inode = spool.drop("a.json", '{"command":"true"}').stat().st_ino
    spool.start("a").close()
    assert spool.path(PROCESSING, "a").stat().st_ino == inode


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_first_growth_of_any_length_leaves_a_job(tmp_path: Path, cut: int) -> None:
    """Of what was written only the first bytes are there: it is an attempt whose end nobody saw, or none."""
    spool = Home(tmp_path / "home", durability="full")
    spool.drop("a.json", '{"command":"true"}')
    spool.start("a").close()
    path = spool.path(PROCESSING, "a")
    text = path.read_text()
    path.write_text(text[: text.index("[") + cut])
    (found,) = recover(spool, lambda job: False)
    assert found.result == "moved"
    assert (spool.where("a"), spool.job("a").command) == ([PENDING], "true")


def test_a_dropped_files_time_of_arrival_is_remembered(spool: Home) -> None:
    spool.drop("a.json", {"command": "true"}, still_s=90)
    before = spool.job("a").created_at
    with spool.start("a") as claim:
        claim.reschedule("failed", NOON, {})
    spool.age(spool.path(PENDING, "a"), -500)
    assert spool.job("a").created_at == before == NOON - 90


def test_a_long_history_is_compacted(spool: Home) -> None:
    """The file stops growing, the view stays, and no litter is left."""
    job_id = spool.put("pending", queue="q")
    rounds = 0
    while rounds < 200 and "compacted" not in spool.events(job_id):
        rounds += 1
        with spool.start(job_id) as claim:
            claim.reschedule("failed", NOON, {"exit_code": 1, "error": "x" * 1900})
    job = spool.job(job_id)
    assert 30 < rounds < 40
    assert (job.attempts, job.failures, job.queue, job.state) == (rounds, rounds, "q", "failed")
    assert spool.events(job_id) == ["compacted", "failed"] or spool.events(job_id)[0] == "compacted"
    assert os.path.getsize(spool.path(PENDING, job_id)) < 8192
    assert spool.litter() == []
    with spool.start(job_id) as claim:
        assert claim.job.attempts == rounds + 1
        claim.finish({})


def test_a_long_author_part_is_no_reason_to_compact(spool: Home) -> None:
    job_id = spool.put("pending", note="x" * (300 << 10))
    inode = spool.path(PENDING, job_id).stat().st_ino
    with spool.start(job_id) as claim:
        claim.finish({})
    assert spool.path(DONE, job_id).stat().st_ino == inode


def test_a_compaction_that_finds_a_stranger_in_its_place_steps_back(
    spool: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exchange brings out what it did not expect: it is undone, and the stranger keeps the name. Hole H7."""
    path = spool.drop("a.json", '{"command":"true"}')
    claim = spool.take("a")
    real = spool.files.exchange

    def slip_in(one: str, other: str) -> bool:
        monkeypatch.undo()
        os.rename(spool.drop(".new", '{"command":"false"}'), path)
        return real(one, other)

    monkeypatch.setattr(type(spool.files), "exchange", lambda self, one, other: slip_in(one, other))
    with pytest.raises(Busy, match="replaced by another program"):
        claim.hold()
    claim.close()
    assert path.read_text() == '{"command":"false"}'
    assert spool.litter() == []


def test_a_job_that_was_overwritten_is_not_changed_any_more(spool: Home) -> None:
    path = spool.drop("a.json", '{"command":"true"}')
    with spool.take("a") as claim:
        os.rename(spool.drop(".new", '{"command":"false"}'), path)
        for verb in (claim.hold, claim.cancel):
            with pytest.raises(Busy):
                verb()
        claim.delete()
    assert path.read_text() == '{"command":"false"}'
    assert (spool.where("a"), spool.litter()) == ([PENDING], [])


def test_details_are_written_without_spoiling_the_file(spool: Home) -> None:
    job_id = spool.put("pending")
    with spool.start(job_id) as claim:
        claim.reschedule("failed", NOON, {"exit_code": 1, "error": "a\0b\udcff" + "\x1b[31m" * 5000})
    error = spool.job(job_id).last_error
    assert error is not None
    assert error.endswith("\x1b[31m")
    spool.start(job_id).close()


# --- moving


@pytest.mark.parametrize(("verb", "target"), [("finish", DONE), ("bury", DEAD)])
def test_a_job_that_ran_owns_its_name(spool: Home, verb: str, target: str) -> None:
    """Proves G9. Hole H17."""
    job_id = spool.put("pending")
    with spool.start(job_id) as claim:
        spool.path(target, job_id).write_text("an impostor")
        claim.finish({}) if verb == "finish" else claim.bury("x", {})
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
            claim.finish({"exit_code": 0}) if verb == "finish" else claim.bury("x", {"exit_code": 1})
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
    assert isinstance(answer, NotNow)
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
        assert isinstance(answer, NotNow)
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
