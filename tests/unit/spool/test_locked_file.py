"""Edits, and how a file grows: what is added, what is replaced, what a small or relaxed disk changes."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from queuectl.clock import spell, stamp
from queuectl.errors import Busy, InvalidData
from queuectl.job.history import leads_to
from queuectl.job.job import DEAD, DONE, PENDING, PROCESSING
from queuectl.job.job_file import MAX_ENTRY_BYTES, parse
from queuectl.spool.claim import COMPACT_AT_BYTES
from queuectl.spool.fs import Files
from queuectl.spool.locked_file import LockedFile
from queuectl.spool.recovery import recover
from tests.support.clock import NOON
from tests.support.faulty_fs import Faulty, FullDisk
from tests.support.spools import Home, folded, free

WHOLE = '{"command":"true"}\n'
STATES = ("pending", "held", "failed", "completed", "cancelled", "dead")
WAITING = ("pending", "held", "failed")


# --- edits


def test_whoever_dies_between_changing_a_job_and_acknowledging_it_has_told_the_index(
    spool: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = spool.put("pending")
    spool.announce = True

    def die(_: LockedFile) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LockedFile, "sync", die)
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
        assert folded(claim.job) == folded(spool.job(job_id))
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


def test_a_dropped_file_keeps_every_byte_until_what_follows_is_durable(tmp_path: Path) -> None:
    """A bracket that gave way before the new length reached the disk would leave what cannot be told from half a file."""
    calls: list[str] = []

    class Noting(Files):
        def write(self, fd: int, data: bytes, offset: int) -> None:
            calls.append(data.decode()[:11])
            super().write(fd, data, offset)

        def sync_data(self, fd: int) -> None:
            calls.append("sync")
            super().sync_data(fd)

    spool = Home(tmp_path / "home", files=Noting(), durability="full")
    inode = spool.drop("a.json", WHOLE).stat().st_ino
    claim = spool.start("a")
    path = spool.path(PROCESSING, "a")
    assert path.read_bytes().startswith(WHOLE.encode())
    assert (spool.events("a"), spool.job("a").command) == (["started"], "true")
    claim.finish_start()
    assert calls == ['"history":[', "sync", ","]
    assert json.loads(path.read_bytes())["history"][0]["event"] == "started"
    assert path.read_bytes().startswith(WHOLE.replace("}", ",").encode())
    assert (path.stat().st_ino, path.stat().st_mode & 0o7777) == (inode, 0o600)
    claim.close()


def test_where_a_power_cut_may_lose_what_happened_last_nobody_waits_for_the_disk(spool: Home) -> None:
    inode = spool.drop("a.json", WHOLE).stat().st_ino
    spool.start("a").close()
    path = spool.path(PROCESSING, "a")
    assert parse(path.read_bytes()).history[0]["event"] == "started"
    assert (path.stat().st_ino, path.stat().st_mode & 0o7777) == (inode, 0o600)


def test_a_first_growth_that_nobody_finished_is_finished_by_the_next(tmp_path: Path) -> None:
    """Its worker died before the bracket gave way: it is an attempt whose end nobody saw."""
    spool = Home(tmp_path / "home", durability="full")
    spool.drop("a.json", WHOLE)
    spool.start("a").close()
    (found,) = recover(spool, lambda job: False)
    assert found.result == "interrupted"
    assert spool.events("a") == ["started", "interrupted"]
    path = spool.path(PENDING, "a")
    assert path.read_bytes() == parse(path.read_bytes()).body + b"]}\n"
    assert path.stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize("change", ["more", "less", "other"])
def test_who_writes_to_it_before_the_bracket_gives_way_changes_nothing(tmp_path: Path, change: str) -> None:
    """Hole H3."""
    spool = Home(tmp_path / "home", durability="full")
    spool.drop("a.json", WHOLE)
    claim = spool.start("a")
    with spool.path(PROCESSING, "a").open("r+b") as late:
        if change == "less":
            late.truncate(5)
        else:
            late.seek(0 if change == "more" else len(WHOLE) - 2, os.SEEK_END if change == "more" else os.SEEK_SET)
            late.write(b"xx")
    claim.finish({})
    claim.close()
    assert (spool.where("a"), spool.events("a")) == ([DONE], ["started", "completed"])
    assert spool.job("a").command == "true"


def test_a_first_growth_that_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    files = FullDisk()
    spool = Home(tmp_path / "home", files=files, durability="full")
    spool.drop("a.json", WHOLE)
    for short in (0, 5, 30):
        files.full, files.short = True, short
        assert getattr(spool.claim("a", "w"), "reason", "") == "full"
        assert spool.path(PENDING, "a").read_text() == WHOLE
        assert spool.path(PENDING, "a").stat().st_mode & 0o7777 == 0o600
    files.full = False
    spool.start("a").close()


def test_a_sync_of_a_first_growth_that_failed_is_not_trusted(tmp_path: Path) -> None:
    """What it has not written, the next one may take for written: the file is written anew. The bracket stays till then."""

    class Failing(Files):
        left = 1

        def sync_data(self, fd: int) -> None:
            self.left -= 1
            if self.left >= 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            super().sync_data(fd)

    spool = Home(tmp_path / "home", files=Failing(), durability="full")
    inode = spool.drop("a.json", WHOLE).stat().st_ino
    with spool.start("a") as claim:
        claim.finish_start()
        assert spool.path(PROCESSING, "a").read_text().startswith(WHOLE)
        claim.finish({})
    assert spool.path(DONE, "a").stat().st_ino != inode
    assert spool.events("a") == ["started", "completed"]


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_first_growth_of_any_length_leaves_a_job(tmp_path: Path, cut: int) -> None:
    """Of what was written only the first bytes are there: it is an attempt whose end nobody saw, or none."""
    spool = Home(tmp_path / "home", durability="full")
    spool.drop("a.json", WHOLE)
    spool.start("a").close()
    path = spool.path(PROCESSING, "a")
    path.write_text(path.read_text()[: len(WHOLE) + cut])
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
