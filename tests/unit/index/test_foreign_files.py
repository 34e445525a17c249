"""What others put into the spool, past the verbs, is in the index as it is."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from queuectl.index import sync, writer
from queuectl.index.rebuild import rebuild
from queuectl.index.sync import catch_up, look, refresh
from queuectl.job.job import DIRECTORIES, Job
from queuectl.spool.intake import ClaimRefused
from tests.support.spools import compare_and_reject
from tests.unit.index.conftest import run

if TYPE_CHECKING:
    from tests.unit.index.conftest import Home


def examine_later(home: Home) -> None:
    """Compare as a supervisor does: it examines the names that the comparison reports."""
    index = home.writer()
    compare_and_reject(home.spool, index)
    index.close()


def test_comparing_changes_no_file(home: Home) -> None:
    home.enqueue(id="nightly")
    home.finish("nightly")
    for name, text in (("nightly", '{"command": "a"}'), ("other", '{"id": "real", "command": "b"}'), ("broken", "{")):
        home.drop(f"{name}.json", text)
    home.drop("bad name.json", "{}")
    before = sorted(os.listdir(home.layout.directory("pending")))
    home.catch_up()
    home.catch_up(full=True)
    run(rebuild(home.spool, home.index))
    assert sorted(os.listdir(home.layout.directory("pending"))) == before
    assert os.listdir(home.layout.rejected) == []


def test_a_dropped_job_is_taken_under_its_name_or_the_id_it_says(home: Home) -> None:
    home.drop("nightly.json", '{"command": "backup"}')
    home.drop("whatever.json", '{"id": "real", "command": "backup"}')
    examine_later(home)
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
    examine_later(home)
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
    examine_later(home)
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
    for name, reason in (("b.json", "invalid"), ("c.json", "misnamed")):
        refused = look(home.spool, index, name)
        assert isinstance(refused, ClaimRefused)
        assert refused.reason == reason
    assert look(home.spool, index, "gone.json") is None
    assert look(home.spool, index, ".hidden") is None
    assert isinstance(refresh(home.spool, index, "a"), Job)
    index.close()
    assert home.differences() == []
