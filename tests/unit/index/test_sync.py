from __future__ import annotations

import errno
import os
import shutil
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from queuectl.index import ahead, seal, sync, writer
from queuectl.index.changes import Changes
from queuectl.index.database import Database, IndexUnavailable
from queuectl.index.rows import row_of
from queuectl.index.sync import catch_up, look, refresh
from queuectl.index.verify import rebuild, verify
from queuectl.job import DIRECTORIES, Job
from queuectl.spool.files import Files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from queuectl.index.writer import Writer
    from tests.unit.index.conftest import Home


class Watched(Files):
    """Counts the directories that are listed and the files that are looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.listed: list[str] = []
        self.looks: Counter[str] = Counter()
        self.opened = 0

    def names(self, directory: str) -> Iterator[str]:
        self.listed.append(os.path.basename(directory))
        return super().names(directory)

    def lstat(self, path: str) -> os.stat_result | None:
        self.looks[os.path.basename(os.path.dirname(path))] += 1
        return super().lstat(path)

    def open(self, path: str, flags: int) -> int:
        self.opened += path.endswith(".json")
        return super().open(path, flags)


@pytest.fixture
def watched(home: Home) -> Watched:
    """A home in which one job lies in each directory, all of it in the index, and nothing has changed for long."""
    fill(home)
    home.let_time_pass()
    home.catch_up()
    home.spool.files = Watched()
    return home.spool.files


def run(pieces: Iterator[Any]) -> None:
    for _ in pieces:
        continue


def fill(home: Home) -> None:
    """Put jobs into all states."""
    home.enqueue(id="waiting", priority=2, tags=["t"], queue="mail")
    home.enqueue(id="later", run_at="2199-01-01T00:00:00Z")
    home.enqueue(id="held")
    home.hold("held")
    home.enqueue(id="failed")
    home.fail("failed", time.time() + 1000)
    home.enqueue(id="completed")
    home.finish("completed")
    home.enqueue(id="cancelled")
    with home.spool.take("cancelled") as claim:
        claim.cancel()
    home.enqueue(id="dead")
    with home.start("dead") as claim:
        claim.bury("retries_exhausted", {"exit_code": 3, "error": "boom"})
    home.enqueue(id="running")
    home.start("running").close()


# --- the whole of it


def test_every_job_of_every_state_is_in_the_index(home: Home) -> None:
    fill(home)
    home.catch_up()
    assert home.differences() == []
    assert {row[1] for row in home.rows().values()} == {
        *("pending", "held", "failed", "processing", "completed", "cancelled", "dead")
    }


def test_an_empty_spool_makes_an_empty_index(home: Home) -> None:
    home.catch_up()
    assert home.rows() == {}


def test_a_home_without_a_spool_makes_an_empty_index(home: Home) -> None:
    fill(home)
    home.catch_up()
    shutil.rmtree(home.layout.spool)
    home.catch_up()
    assert home.rows() == {}


def test_more_jobs_than_are_sorted_at_once_are_all_there(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("queuectl.index.sorting.RUN_IDS", 10)
    monkeypatch.setattr(writer, "FEW_ROWS", 5)
    monkeypatch.setattr(writer, "WINDOW_ROWS", 7)
    monkeypatch.setattr(sync, "COMMIT_ROWS", 3)
    for number in range(95):
        home.enqueue(id=f"j{number * 37 % 95:03}")
    for number in range(0, 95, 5):
        home.finish(f"j{number:03}")
    home.catch_up()
    assert home.differences() == []
    for number in range(0, 95, 7):
        os.unlink(home.layout.job(home.spool.find(f"j{number:03}") or "", f"j{number:03}"))
    home.catch_up()
    assert home.differences() == []


def test_waiting_jobs_come_first_and_before_the_directory_is_listed_to_its_end(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "STEP", 5)
    for number in range(20):
        home.enqueue(id=f"done{number}")
        home.finish(f"done{number}")
        home.enqueue(id=f"waiting{number}")
    index = home.writer()
    order = []
    listed = 0
    for progress in sync.sync(home.spool, index):
        order += [job.id for job in progress.fresh]
        listed = listed or (progress.listed if progress.fresh else 0)
        assert all(job.state == "pending" for job in progress.fresh)
    assert set(order) == {f"waiting{number}" for number in range(20)}
    assert 0 < listed < 20
    index.close()


def test_jobs_can_be_taken_from_the_index_while_the_comparison_goes_on(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "STEP", 1)
    for _ in range(10):
        home.enqueue()
    index = home.writer()
    started = set()
    for _ in sync.sync(home.spool, index, watched=True):
        for due in index.due(time.time(), 1):
            with home.start(due.id) as claim:
                claim.finish({"exit_code": 0})
                index.put(row_of(claim.job))
                started.add(due.id)
    assert len(started) == 10
    index.close()
    assert home.differences() == []


@pytest.mark.parametrize("answer", ["in memory", "on disk", "cannot tell"])
def test_files_are_asked_for_ahead_without_changing_what_is_read(
    home: Home, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def preadv(fd: int, buffers: Any, offset: int, flags: int) -> int:
        if answer == "in memory":
            return 1
        raise BlockingIOError if answer == "on disk" else OSError(errno.EOPNOTSUPP, "")

    monkeypatch.setattr(ahead, "FILES", 8)
    monkeypatch.setattr(sync, "FILES", 8)
    monkeypatch.setattr(sync, "FIRST_JOBS", 3)
    monkeypatch.setattr(os, "preadv", preadv)
    monkeypatch.setattr(os, "posix_fadvise", lambda fd, *_: asked.append(os.fstat(fd).st_ino))
    for number in range(30):
        home.enqueue(id=f"j{number}")
    os.unlink(home.layout.job("pending", "j7"))
    home.catch_up()
    assert home.differences() == []
    assert len(asked) == (29 if answer == "on disk" else 0)


def test_a_file_that_goes_while_it_is_asked_for_stops_nothing(home: Home) -> None:
    home.enqueue(id="a")
    found = [*ahead.fetch_ahead(home.spool, "pending", ["a", "b", "c"])]
    assert found == ["a", "b", "c"]


# --- looking only where something happened


def test_nothing_is_listed_or_read_when_nothing_has_changed(home: Home, watched: Watched) -> None:
    progress = home.catch_up()
    assert watched.listed == ["processing"]
    assert watched.opened == 0
    assert progress.read == 0
    assert home.differences() == []


def test_only_the_directory_that_changed_is_listed_and_only_what_is_new_is_read(home: Home, watched: Watched) -> None:
    home.enqueue(id="new")
    watched.opened = 0
    watched.looks.clear()
    home.catch_up()
    assert set(watched.listed) == {"pending", "processing"}
    assert watched.opened == 1
    assert home.differences() == []


def test_a_change_in_place_that_was_noted_is_read_without_listing(home: Home, watched: Watched) -> None:
    """Hole H24."""
    home.hold("waiting")
    watched.opened = 0
    home.catch_up()
    assert watched.listed == ["processing"]
    assert watched.opened == 1
    assert home.rows()["waiting"][1] == "held"
    assert not Changes(home.spool)


def test_notes_that_are_no_ids_are_forgotten(home: Home, watched: Watched) -> None:
    home.spool.files.append(home.spool.changes_path, b"../../etc\n\nno-such-job\n\xff\n")
    home.catch_up()
    assert not Changes(home.spool)
    assert home.differences() == []


def test_a_note_that_is_being_written_is_left_for_the_next_time(home: Home, watched: Watched) -> None:
    home.spool.files.append(home.spool.changes_path, b"waiting\nwait")
    home.catch_up()
    home.spool.files.append(home.spool.changes_path, b"ing\n")
    assert [*Changes(home.spool).ids()] == ["waiting"]


def test_notes_made_while_others_are_followed_are_not_forgotten(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(home)
    home.catch_up()
    home.spool.note_change("waiting")
    monkeypatch.setattr(sync, "STEP", 1)
    index = home.writer()
    pieces = sync.sync(home.spool, index, watched=True)
    next(pieces)
    home.hold("waiting")
    for _ in pieces:
        continue
    index.close()
    assert home.differences() == []


def test_notes_that_somebody_else_followed_meanwhile_are_not_forgotten_twice(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor reads run/changes between two pieces, and after that new notes are made."""
    fill(home)
    home.catch_up()
    home.spool.note_change("waiting")
    index = home.writer()
    pieces = sync.sync(home.spool, index, watched=True)
    next(pieces)
    Changes(home.spool).forget()
    home.hold("later")
    for _ in pieces:
        continue
    index.close()
    home.catch_up()
    assert home.differences() == []


def test_what_runs_is_compared_every_time(home: Home, watched: Watched) -> None:
    """It changes in place without a note, and its directory need not."""
    path = home.layout.job("processing", "running")
    with open(path, "r+b") as file:
        data = file.read().rstrip()
        entry = b',{"event":"completed","at":"2026-11-24T12:00:00.000000Z","exit_code":0}]}\n'
        file.seek(0)
        file.write(data[:-2] + entry)
    home.catch_up()
    assert home.differences() == []


def test_a_full_sync_finds_what_a_stranger_changed_in_place(home: Home, watched: Watched) -> None:
    with open(home.path("pending", "waiting.json"), "w", encoding="utf-8") as file:
        file.write('{"command":"something quite different"}')
    home.catch_up(full=True)
    assert home.differences() == []


def test_files_that_have_vanished_are_taken_out(home: Home, watched: Watched) -> None:
    for job_id in ("waiting", "completed", "dead", "running"):
        os.unlink(home.layout.job(home.spool.find(job_id) or "", job_id))
    home.catch_up()
    assert home.differences() == []
    assert len(home.rows()) == 4


def test_files_moved_by_hand_are_followed(home: Home, watched: Watched) -> None:
    os.rename(home.layout.job("done", "completed"), home.layout.job("dead", "completed"))
    os.rename(home.layout.job("dead", "dead"), home.layout.job("pending", "dead"))
    home.catch_up()
    assert home.differences() == []


# --- when the mark of the last close is not to be believed


def full_sync_happens(home: Home) -> bool:
    files = Watched()
    home.spool.files = files
    home.catch_up()
    home.spool.files = Files()
    assert home.differences() == []
    return {"pending", "done", "dead"} <= set(files.listed)


def hold_silently(home: Home, job_id: str) -> None:
    """As a supervisor does, which tells the index in another way."""
    home.spool.announce = False
    home.hold(job_id)
    home.spool.announce = True


@pytest.fixture
def settled(home: Home) -> Home:
    fill(home)
    home.let_time_pass()
    home.catch_up()
    assert not full_sync_happens(home)
    return home


def test_an_index_that_was_not_closed_is_compared_in_full(settled: Home) -> None:
    index = settled.writer()
    hold_silently(settled, "waiting")
    index._database.close()  # killed
    assert full_sync_happens(settled)


def test_an_index_that_was_killed_while_it_compared_is_compared_in_full(
    settled: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_silently(settled, "waiting")
    settled.enqueue()
    monkeypatch.setattr(sync, "STEP", 1)
    for pieces in range(8):
        index = settled.writer()
        running = sync.sync(settled.spool, index)
        for _ in range(pieces):
            next(running)
        index._database.close()
    assert full_sync_happens(settled)


def test_an_older_copy_of_the_index_is_compared_in_full(settled: Home) -> None:
    """Proves G12."""
    shutil.copy(settled.index, settled.index + ".old")
    settled.hold("waiting")
    settled.catch_up()
    os.replace(settled.index + ".old", settled.index)
    assert full_sync_happens(settled)


def test_an_older_copy_is_compared_in_full_also_when_the_newer_was_never_closed(settled: Home) -> None:
    shutil.copy(settled.index, settled.index + ".old")
    index = settled.writer()
    next(sync.sync(settled.spool, index))
    hold_silently(settled, "waiting")
    index._database.close()
    for suffix in ("-wal", "-shm"):
        if os.path.exists(settled.index + suffix):
            os.unlink(settled.index + suffix)
    os.replace(settled.index + ".old", settled.index)
    assert full_sync_happens(settled)


def test_a_machine_started_anew_has_its_index_compared_in_full(
    settled: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "boot").write_text("another\n")
    monkeypatch.setattr(seal, "BOOT_ID", str(tmp_path / "boot"))
    assert full_sync_happens(settled)
    assert not full_sync_happens(settled)


def test_where_the_system_does_not_say_when_it_was_started_nothing_is_believed(
    settled: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(seal, "BOOT_ID", str(tmp_path / "none"))
    assert full_sync_happens(settled)
    assert full_sync_happens(settled)


def test_without_run_the_index_is_compared_in_full(settled: Home) -> None:
    shutil.rmtree(settled.layout.run)
    settled.layout.ensure()
    assert full_sync_happens(settled)


def test_a_seal_that_cannot_be_read_counts_for_nothing(settled: Home) -> None:
    for text in ("", "{}", "[]", "not json", '{"boot":1,"token":2,"marks":3}', '{"marks":{"a":[1]}}'):
        index = settled.writer()
        index.set_meta("seal", text)
        index._database.close()
        assert full_sync_happens(settled)


def test_a_directory_that_changed_within_the_last_second_is_looked_at_again(home: Home) -> None:
    """A change after the listing may leave it the same mtime, where clocks are coarse."""
    home.enqueue(id="a")
    home.catch_up()
    marks = seal.marks_of(home.spool)
    os.unlink(home.layout.job("pending", "a"))
    os.utime(home.layout.directory("pending"), ns=(marks["pending"][1], marks["pending"][1]))
    home.catch_up()
    assert home.differences() == []


def test_a_deleted_index_comes_back_whole(settled: Home) -> None:
    """Proves G12."""
    os.unlink(settled.index)
    assert full_sync_happens(settled)


def test_the_index_says_itself_whether_it_is_current(settled: Home) -> None:
    def is_current() -> bool:
        with settled.reader() as reader:
            return seal.is_current(settled.spool, reader)

    assert is_current()
    settled.hold("waiting")
    assert not is_current()
    settled.catch_up()
    assert is_current()
    settled.enqueue(id="new")
    assert not is_current()
    settled.catch_up()
    settled.let_time_pass()
    settled.catch_up()
    assert is_current()
    os.truncate(settled.layout.job("processing", "running"), 0)
    assert not is_current()


def test_an_index_that_is_open_for_writing_is_not_current(settled: Home) -> None:
    index = settled.writer()
    with settled.reader() as reader:
        assert not seal.is_current(settled.spool, reader)
    index.close()


def test_a_sync_within_a_session_believes_what_the_session_knows(settled: Home) -> None:
    index = settled.writer()
    for _ in sync.sync(settled.spool, index):
        continue
    files = Watched()
    settled.spool.files = files
    settled.enqueue(id="new")
    for _ in sync.sync(settled.spool, index):
        continue
    assert set(files.listed) == {"pending", "processing"}
    index.close()
    assert settled.differences() == []


# --- strangers' files


def test_a_dropped_job_is_taken_under_its_name_or_the_id_it_says(home: Home) -> None:
    home.drop("nightly.json", '{"command": "backup"}')
    home.drop("whatever.json", '{"id": "real", "command": "backup"}')
    home.catch_up()
    assert set(home.rows()) == {"nightly", "real"}
    assert home.differences() == []


def test_what_can_never_be_a_job_is_set_aside(home: Home) -> None:
    home.drop("bad name.json", "{}")
    home.drop("broken.json", "{")
    home.drop("double.json", '{"command": "a", "argv": ["b"]}')
    os.symlink("/etc/passwd", home.path("pending", "link.json"))
    os.mkfifo(home.path("pending", "fifo.json"))
    os.mkdir(home.path("pending", "folder.json"))
    home.enqueue(id="good")
    home.catch_up()
    assert set(home.rows()) == {"good"}
    assert len([n for n in os.listdir(home.layout.rejected) if not n.endswith(".reason")]) == 6


def test_names_that_are_not_text_stop_nothing(home: Home) -> None:
    for directory in DIRECTORIES:
        with open(os.fsencode(home.path(directory, "")) + b"\xff\xfe.json", "w", encoding="utf-8") as file:
            file.write("{}")
    home.enqueue(id="good")
    home.catch_up()
    assert set(home.rows()) == {"good"}


def test_files_that_are_being_written_are_none_of_our_business(home: Home) -> None:
    for name in (".hidden.json", "a.json.tmp", "b.part", "c~", "README"):
        home.drop(name, "{")
    home.catch_up()
    assert home.rows() == {}
    assert os.listdir(home.layout.rejected) == []


def test_a_file_that_is_no_job_yet_is_looked_at_again_although_its_directory_has_not_changed(home: Home) -> None:
    home.drop("slow.json", '{"command": "ec', is_quiet=False)
    home.catch_up()
    home.let_time_pass()
    home.catch_up()
    assert home.rows() == {}
    home.drop("slow.json", '{"command": "echo"}')
    home.catch_up()
    assert set(home.rows()) == {"slow"}


def test_a_job_that_a_stranger_was_overwriting_at_the_close_is_looked_at_again(home: Home) -> None:
    home.enqueue(id="a")
    home.let_time_pass()
    index = home.writer()
    for _ in sync.sync(home.spool, index):
        continue
    home.drop("a.json", '{"command": "ec', is_quiet=False)
    look(home.spool, index, "a.json")
    index.close()
    assert home.rows() == {}
    home.drop("a.json", '{"command": "echo"}')
    home.catch_up()
    assert home.differences() == []


def test_more_unsettled_files_than_are_remembered_are_found_by_comparing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "UNSETTLED_NAMES", 3)
    for number in range(5):
        home.drop(f"f{number}.json", '{"command": "ec', is_quiet=False)
    home.let_time_pass()
    home.catch_up()
    for number in range(5):
        home.drop(f"f{number}.json", '{"command": "echo"}')
    home.let_time_pass()
    home.catch_up()
    assert len(home.rows()) == 5


def test_the_caller_is_told_when_to_look_again(home: Home) -> None:
    home.drop("slow.json", '{"command": "ec', is_quiet=False)
    later = [entry for progress in catch_up(home.spool) for entry in progress.later]
    assert [name for name, _ in later[:1]] == ["slow.json"]
    assert 0 < later[0][1] <= home.spool.settings.drop_grace


def test_a_waiting_job_that_turns_into_garbage_leaves_the_index(home: Home) -> None:
    home.enqueue(id="a")
    home.let_time_pass()
    home.catch_up()
    home.drop("a.json", "garbage")
    home.catch_up(full=True)
    assert home.rows() == {}


def test_garbage_outside_pending_is_skipped(home: Home) -> None:
    home.drop("a.json", "garbage", "done")
    home.drop("b.json", '{"neither": 1}', "dead")
    os.symlink("/etc/passwd", home.path("done", "link.json"))
    os.mkdir(home.path("dead", "folder.json"))
    os.mkfifo(home.path("dead", "fifo.json"))
    home.drop("c.json", "garbage", "processing")
    home.drop("notes.txt", "garbage", "done")
    home.enqueue(id="good")
    home.finish("good")
    home.catch_up()
    assert set(home.rows()) == {"good"}
    assert os.listdir(home.layout.rejected) == []


def test_a_dropped_file_with_the_name_of_an_ended_job_is_a_job_of_its_own(home: Home) -> None:
    home.enqueue(id="nightly")
    home.finish("nightly")
    home.catch_up()
    home.drop("nightly.json", '{"command": "again"}')
    home.catch_up()
    assert sorted(row[1] for row in home.rows().values()) == ["completed", "pending"]
    assert home.differences() == []


def test_a_job_whose_file_lies_in_two_directories_is_read_from_the_first(home: Home) -> None:
    home.enqueue(id="twice")
    home.finish("twice")
    shutil.copy(home.layout.job("done", "twice"), home.layout.job("dead", "twice"))
    home.catch_up()
    assert home.rows()["twice"][1] == "completed"
    home.catch_up()
    assert home.differences() == []
    os.unlink(home.layout.job("done", "twice"))
    home.catch_up()
    assert home.rows()["twice"][1] == "dead"
    assert home.differences() == []


def test_a_dropped_file_that_is_no_job_does_not_hide_the_ended_job_of_its_name(home: Home) -> None:
    home.enqueue(id="nightly")
    home.finish("nightly")
    home.drop("nightly.json", '{"command": "ec', is_quiet=False)
    home.catch_up()
    assert home.rows()["nightly"][1] == "completed"


def test_looking_at_a_name_says_what_is_wrong_with_it_or_which_job_it_is(home: Home) -> None:
    home.drop("a.json", '{"command": "echo"}')
    home.drop("b.json", "garbage")
    home.drop("c.json", '{"id": "other", "command": "echo"}')
    index = home.writer()
    found = look(home.spool, index, "a.json")
    assert isinstance(found, Job)
    assert found.id == "a"
    refused = look(home.spool, index, "b.json")
    assert refused is not None
    assert not isinstance(refused, Job)
    assert refused.reason == "rejected"
    found = look(home.spool, index, "c.json")
    assert isinstance(found, Job)
    assert found.id == "other"
    assert look(home.spool, index, "gone.json") is None
    assert look(home.spool, index, ".hidden") is None
    assert isinstance(refresh(home.spool, index, "a"), Job)
    index.close()
    assert home.differences() == []


# --- while others go on


def revive(home: Home) -> None:
    with home.spool.take("completed") as claim:
        claim.revive()


def run_to_the_end(home: Home) -> None:
    home.finish("waiting")


def put_back(home: Home) -> None:
    with home.spool.take_in("processing", "running") as claim:  # type: ignore[union-attr]
        claim.put_back()


def bury_and_revive(home: Home) -> None:
    with home.start("waiting") as claim:
        claim.bury("permanent_exit", {"exit_code": 1})
    with home.spool.take("waiting") as claim:
        claim.revive()


def delete(home: Home) -> None:
    with home.spool.take("cancelled") as claim:
        claim.delete()


def drop_one_with_the_name_of_an_ended_job(home: Home) -> None:
    home.drop("dead.json", '{"command": "anew"}')


MOVES = (revive, run_to_the_end, put_back, bury_and_revive, delete, drop_one_with_the_name_of_an_ended_job)


@pytest.mark.parametrize("starts_empty", [True, False], ids=["new index", "known index"])
@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.__name__)
def test_a_job_that_moves_at_any_moment_of_the_comparison_is_neither_lost_nor_doubled(
    new_home: Callable[[], Home], move: Callable[[Home], None], starts_empty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what happens after the last look at a directory is left for the next comparison, which then finds it."""
    monkeypatch.setattr(sync, "STEP", 0)
    outcomes = ""
    for at in range(200):
        home = new_home()
        fill(home)
        if not starts_empty:
            home.catch_up()
        home.let_time_pass()
        moved = False
        for piece, _ in enumerate(catch_up(home.spool, full=True)):
            if piece == at:
                move(home)
                moved = True
        if not moved:
            break
        outcomes += "later " if home.differences() else "at once "
        assert home.rows().keys() >= home.jobs().keys(), f"lost after piece {at}"
        home.catch_up()
        assert home.differences() == [], f"moved after piece {at}"
    print(outcomes)
    assert outcomes.startswith("at once " * 10)
    assert "later at once" not in outcomes


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.__name__)
def test_what_is_reported_while_the_comparison_goes_on_is_in_the_index_in_the_end(
    new_home: Callable[[], Home], move: Callable[[Home], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a supervisor: the move is told by events and reports, the comparison does not come back to it."""
    monkeypatch.setattr(sync, "STEP", 0)
    tried = 0
    for at in range(200):
        home = new_home()
        fill(home)
        index = home.writer()
        moved = False
        for piece, _ in enumerate(sync.sync(home.spool, index, watched=True)):
            if piece == at:
                move(home)
                for job_id in ("waiting", "running", "completed", "cancelled", "dead"):
                    refresh(home.spool, index, job_id)
                moved = True
        index.close()
        if not moved:
            break
        tried += 1
        assert home.differences() == [], f"moved after piece {at}"
    print(f"{tried} moments")
    assert tried > 10


def test_directories_that_never_come_to_rest_end_the_comparison_all_the_same(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "STEP", 0)
    fill(home)
    for pieces, _ in enumerate(catch_up(home.spool)):
        home.enqueue(id=f"j{pieces}")
        assert pieces < 5000
    home.catch_up()
    assert home.differences() == []


def test_a_comparison_does_not_go_on_in_an_index_that_was_opened_anew(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "STEP", 1)
    fill(home)
    index = home.writer()
    pieces = sync.sync(home.spool, index)
    next(pieces)
    index.reopen(anew=True)
    with pytest.raises(IndexUnavailable):
        run(pieces)
    for _ in sync.sync(home.spool, index):
        continue
    index.close()
    assert home.differences() == []


def test_a_comparison_that_fails_leaves_no_mark_of_a_clean_close(
    settled: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = Database.change

    def fail(database: Database, *steps: Any) -> int:
        if steps[0][0] == "put":
            raise IndexUnavailable("out of luck")
        return change(database, *steps)

    settled.enqueue()
    with monkeypatch.context() as patch:
        patch.setattr(Database, "change", fail)
        with pytest.raises(IndexUnavailable):
            settled.catch_up()
    assert full_sync_happens(settled)


# --- live rows


def test_a_row_without_a_witness_is_read_again_once(home: Home) -> None:
    home.enqueue(id="a")
    index = home.writer()
    for _ in sync.sync(home.spool, index):
        continue
    with home.start("a") as claim:
        claim.finish({"exit_code": 0})
        index.put(row_of(claim.job))
    index.close()
    assert home.catch_up().read == 1
    home.let_time_pass()
    assert home.catch_up().read == 0
    assert home.differences() == []


def test_a_row_reported_with_its_witness_is_not_read_again(home: Home) -> None:
    home.enqueue(id="a")
    index = home.writer()
    for _ in sync.sync(home.spool, index):
        continue
    with home.start("a") as claim:
        claim.finish({"exit_code": 0})
        index.put(row_of(claim.job, os.stat(home.layout.job("done", "a"))))
    index.close()
    assert home.catch_up().read == 0
    assert home.differences() == []


# --- built anew, and verified


def test_a_rebuilt_index_equals_the_spool_and_readers_notice_it(settled: Home) -> None:
    with settled.reader() as reader:
        assert reader.counts()["pending"] == 2
        settled.enqueue()
        run(rebuild(settled.spool, settled.index))
        assert reader.counts()["pending"] == 3
    assert settled.differences() == []
    assert not os.path.exists(settled.index + ".new")


def test_a_rebuilt_index_has_all_its_indexes_and_is_trusted(settled: Home) -> None:
    before = settled.writer()
    names = before._database.all("SELECT name, sql FROM sqlite_master ORDER BY name")
    before.close()
    run(rebuild(settled.spool, settled.index))
    with settled.reader() as reader:
        assert reader._database.all("SELECT name, sql FROM sqlite_master ORDER BY name") == names
        assert reader._database.all("PRAGMA integrity_check") == [("ok",)]
        assert reader._database.all("PRAGMA journal_mode") == [("wal",)]
        assert seal.is_current(settled.spool, reader)
    assert not full_sync_happens(settled)


def test_a_rebuild_that_is_given_up_leaves_the_old_index(settled: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "STEP", 1)
    pieces = rebuild(settled.spool, settled.index)
    next(pieces)
    next(pieces)
    del pieces
    assert not os.path.exists(settled.index + ".new")
    assert settled.differences() == []
    assert full_sync_happens(settled)


def test_what_a_killed_rebuild_left_is_thrown_away(settled: Home) -> None:
    with open(settled.index + ".new", "w", encoding="utf-8") as file:
        file.write("half an index")
    run(rebuild(settled.spool, settled.index))
    assert settled.differences() == []


def test_a_rebuild_replaces_an_index_that_is_damaged(settled: Home) -> None:
    with open(settled.index, "w", encoding="utf-8") as file:
        file.write("garbage")
    run(rebuild(settled.spool, settled.index))
    assert settled.differences() == []


def test_verify_finds_nothing_where_nothing_differs(settled: Home) -> None:
    settled.drop("nightly.json", '{"command": "a file without created_at"}')
    settled.catch_up()
    with settled.reader() as reader:
        found = [*verify(settled.spool, reader)]
    assert found == [None] * 9


def test_verify_names_what_is_missing_stale_and_extra(settled: Home) -> None:
    index = settled.writer()
    index.remove("waiting")
    ghost = row_of(settled.spool.read("completed"))
    ghost[0] = "ghost"
    index.put(ghost)
    wrong = row_of(settled.spool.read("dead"))
    wrong[2] = "elsewhere"
    index.put(wrong)
    index.close()
    with settled.reader() as reader:
        found = {d.id: d for d in verify(settled.spool, reader) if d is not None}
    assert {job_id: d.kind for job_id, d in found.items()} == {"waiting": "missing", "ghost": "extra", "dead": "stale"}
    assert found["dead"].spool == {"queue": "default"}
    assert found["dead"].index == {"queue": "elsewhere"}
    assert str(found["dead"]) == "dead: stale: queue is 'default', not 'elsewhere'"
    assert found["waiting"].spool is not None
    assert found["waiting"].index is None
    assert found["ghost"].spool is None


def test_verify_changes_nothing(settled: Home) -> None:
    settled.drop("broken.json", "{")
    with settled.reader() as reader:
        run(verify(settled.spool, reader))
    assert os.path.exists(settled.path("pending", "broken.json"))
    assert os.listdir(settled.layout.rejected) == []


def test_a_writer_that_is_handed_rows_without_any_comparison_closes_unmarked(settled: Home) -> None:
    index: Writer = settled.writer()
    index.put(row_of(settled.spool.read("dead")))
    index.close()
    assert full_sync_happens(settled)
