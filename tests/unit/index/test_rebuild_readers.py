"""Processes that read job files for a new index: what they answer, and what happens when they die."""

from __future__ import annotations

import os
import select
import signal
from functools import partial
from typing import TYPE_CHECKING

import pytest

from queuectl.index import sync
from queuectl.index.rebuild import rebuild
from queuectl.supervisor import rebuild_readers
from queuectl.supervisor.rebuild_readers import read_rows
from tests.unit.index.conftest import Home, run

if TYPE_CHECKING:
    from queuectl.index.sync import ReadAhead

PATIENCE_S = 30.0
JOBS = 40


@pytest.fixture
def full(settled: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with jobs in every state and much that is none, where everything is new to the index."""
    for number in range(JOBS):
        settled.drop(f"dropped-{number}.json", f'{{"command": "echo {number}"}}')
    settled.drop("half.json", '{"command": "ech')
    settled.drop("no name at all.json", '{"command": "true"}')
    monkeypatch.setattr(sync, "FEW_CHANGED", 0)
    monkeypatch.setattr(rebuild_readers, "CHUNK", 3)
    monkeypatch.setattr(rebuild_readers, "BATCH", 20)
    return settled


def readers(home: Home, count: int = 2) -> ReadAhead:
    return partial(read_rows, home.spool, count=count)


def forked(monkeypatch: pytest.MonkeyPatch, killed: int = -1) -> list[int]:
    """Return the list to which the pid of every forked process is added; that of number `killed` is killed at once."""
    pids: list[int] = []
    fork = os.fork

    def note() -> int:
        pid = fork()
        pids.append(pid)
        if pid and len(pids) - 1 == killed:
            os.kill(pid, signal.SIGKILL)
        return pid

    monkeypatch.setattr(os, "fork", note)
    return pids


def read_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list in which every id is noted that this process reads itself."""
    noted: list[str] = []
    look = sync.look

    def note(spool: object, writer: object, name: str, *more: object) -> object:
        noted.append(name.removesuffix(".json"))
        return look(spool, writer, name, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(sync, "look", note)
    return noted


def test_what_others_have_read_is_the_index(full: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = read_here(monkeypatch)
    monkeypatch.setattr(sync, "FIRST_JOBS", 0)
    run(rebuild(full.spool, full.index, readers(full)))
    assert full.differences() == []
    assert not [job_id for job_id in noted if job_id.startswith("dropped-")]
    assert "half" in noted  # what is no job is looked at by whoever may move it


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_number_of_readers_changes_nothing(full: Home, count: int) -> None:
    run(rebuild(full.spool, full.index, readers(full, count)))
    assert full.differences() == []


@pytest.mark.parametrize("killed", [0, 1, 2])
def test_a_reader_that_dies_costs_nothing_but_time(full: Home, monkeypatch: pytest.MonkeyPatch, killed: int) -> None:
    pids = forked(monkeypatch, killed)
    run(rebuild(full.spool, full.index, readers(full)))
    assert len(pids) > killed
    assert full.differences() == []


@pytest.mark.parametrize("refused", ["fork", "pipe"])
def test_no_process_can_be_forked(full: Home, monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    def refuse() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, refused, refuse)
    before = os.listdir("/proc/self/fd")
    run(rebuild(full.spool, full.index, readers(full)))
    assert full.differences() == []
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_more_than_a_pipe_holds_comes_in_the_order_of_the_ids(settled: Home) -> None:
    wanted = [f"{number:06d}".ljust(200, "x") for number in range(rebuild_readers.CHUNK * 8)]
    assert [answer for chunk in read_rows(settled.spool, wanted, 1) for answer in chunk] == [
        (job_id, None) for job_id in wanted
    ]


def test_a_reader_rejects_no_file(full: Home) -> None:
    names = sorted(os.listdir(full.layout.directory("pending")))
    answers = [answer for chunk in read_rows(full.spool, ["dropped-1", "half"], 1) for answer in chunk]
    assert answers[0][1] is not None
    assert answers[1] == ("half", None)
    assert sorted(os.listdir(full.layout.directory("pending"))) == names


def test_a_reader_does_not_wait_for_the_writer_of_a_fifo(settled: Home) -> None:
    os.mkfifo(settled.layout.job("pending", "fifo"))
    assert [*read_rows(settled.spool, ["fifo"], 1)] == [[("fifo", None)]]


def test_a_first_read_of_many_jobs_is_shared_among_processes(full: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "FIRST_JOBS", 0)
    noted = read_here(monkeypatch)
    run(sync.catch_up(full.spool, read_ahead=readers(full)))
    assert full.differences() == []
    assert not [job_id for job_id in noted if job_id.startswith("dropped-")]


def test_few_changed_files_are_read_without_a_process(settled: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = forked(monkeypatch)
    run(rebuild(settled.spool, settled.index, readers(settled)))
    assert pids == []


def test_readers_end_when_no_more_rows_are_taken(full: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.listdir("/proc/self/fd")
    pids = forked(monkeypatch)
    rows = read_rows(full.spool, [f"dropped-{number}" for number in range(JOBS)], 2)
    next(rows)
    rows.close()
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, 0)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_readers_end_when_their_parent_is_killed(settled: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    told, tell = os.pipe()
    parent = os.fork()
    if parent == 0:
        try:
            pids = forked(monkeypatch)
            rows = read_rows(settled.spool, (f"{number:0200}" for number in range(20_000)), 2)
            next(rows)
            os.write(tell, " ".join(map(str, pids)).encode())
            signal.pause()
        finally:
            os._exit(1)
    pins: list[int] = []
    try:
        pins += [os.pidfd_open(int(pid)) for pid in os.read(told, 100).split()]
        os.kill(parent, signal.SIGKILL)
        assert len(pins) == 2
        for pin in pins:
            assert select.select([pin], [], [], PATIENCE_S)[0], "a reader is still there"
    finally:
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        for fd in (*pins, told, tell):
            os.close(fd)
