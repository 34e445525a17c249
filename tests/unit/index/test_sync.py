"""Sync: after it the index equals the spool, by looking only where something happened."""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from queuectl.index import sync, writer
from queuectl.index.change_log import Changes
from queuectl.index.rows import AT, row_of

if TYPE_CHECKING:
    from tests.unit.index.conftest import Home
from tests.unit.index.conftest import NOW, Watched, fill, run

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
    monkeypatch.setattr("queuectl.index.database.SORTED_IN_MEMORY", 10)
    monkeypatch.setattr(writer, "FEW_ROWS", 5)
    monkeypatch.setattr(writer, "PIECE_ROWS", 3)
    monkeypatch.setattr(sync, "EXACT_WINDOW_ROWS", 7)
    monkeypatch.setattr(sync, "WINDOW_ROWS", 7)
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
    monkeypatch.setattr(sync, "LIST_BATCH", 5)
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
    assert sorted(order) == sorted(f"waiting{number}" for number in range(20))  # each is read once
    assert 0 < listed < 20
    index.close()


def test_jobs_can_be_taken_from_the_index_while_the_comparison_goes_on(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "STEP", 1)
    monkeypatch.setattr(sync, "LIST_BATCH", 1)
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
    monkeypatch.setattr(sync, "LIST_BATCH", 1)
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


def test_a_file_put_in_the_place_of_another_is_read_without_looking_at_all_others(home: Home, watched: Watched) -> None:
    home.drop("../tmp/new", '{"command": "other"}')
    os.rename(home.path("tmp", "new"), home.path("pending", "waiting.json"))
    home.catch_up()
    assert home.rows()["waiting"][AT["command"]] == "other"
    assert watched.looks["done"] == 0
    assert home.differences() == []


def test_a_job_replaced_by_one_with_the_same_inode_is_found_by_the_next_exact_comparison(home: Home) -> None:
    """A reader compares names and inodes; a supervisor, which picks by priority, compares each file's status as well."""
    fill(home)
    home.let_time_pass()
    home.catch_up()
    home.drop("waiting.json", '{"command": "other", "priority": 9}')  # in place: neither name nor inode changes
    home.drop("another.json", '{"command": "true"}')
    os.utime(home.path("pending", ""), (2e9 - 1, 1e9))
    home.catch_up()
    assert "another" in home.rows()
    assert home.rows()["waiting"][AT["command"]] == "true", "then this test shows nothing"
    index = home.writer()
    run(sync.sync(home.spool, index))
    index.close()
    assert home.rows()["waiting"][AT["command"]] == "other"
    assert home.differences() == []
    home.spool.files = watched = Watched()
    index = home.writer()
    run(sync.sync(home.spool, index))
    index.close()
    assert "pending" not in watched.listed, "what was compared exactly is believed by the next exact comparison"


def test_a_job_that_ran_and_came_back_without_a_note_is_read(home: Home) -> None:
    """A worker that outlived its supervisor reports to nobody; the directory of what runs shows that something ran."""
    fill(home)
    home.let_time_pass()
    home.catch_up()
    home.fail("waiting", NOW)
    home.catch_up()
    assert home.differences() == []
    assert home.rows()["waiting"][AT["state"]] == "failed"
