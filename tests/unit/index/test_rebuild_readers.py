"""Processes that read for an index that is built anew: what they say, and what becomes of it when they die."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from queuectl.index import sync
from queuectl.index.rebuild import rebuild
from queuectl.supervisor import rebuild_readers
from queuectl.supervisor.rebuild_readers import Readers
from tests.unit.index.conftest import Home, run

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
    return settled


def read_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list in which every id is noted that this process reads itself."""
    noted: list[str] = []
    refresh = sync.refresh

    def note(spool: object, writer: object, job_id: str, *more: object) -> object:
        noted.append(job_id)
        return refresh(spool, writer, job_id, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(sync, "refresh", note)
    return noted


def test_what_others_have_read_is_the_index(full: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = read_here(monkeypatch)
    monkeypatch.setattr(sync, "FIRST_JOBS", 0)
    with Readers(full.spool, 2) as others:
        run(rebuild(full.spool, full.index, others))
    assert full.differences() == []
    assert not [job_id for job_id in noted if job_id.startswith("dropped-")]
    assert "half" in noted  # what is no job is looked at by whoever may move it


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_number_of_readers_changes_nothing(full: Home, count: int) -> None:
    with Readers(full.spool, count) as others:
        run(rebuild(full.spool, full.index, others))
    assert full.differences() == []


def test_a_reader_that_dies_costs_nothing_but_time(full: Home) -> None:
    with Readers(full.spool, 2) as others:
        others.start()
        pieces = rebuild(full.spool, full.index, others)
        os.kill(others._readers[0]._pid, signal.SIGKILL)
        run(pieces)
    assert full.differences() == []


def test_no_process_can_be_forked(full: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", refuse)
    before = os.listdir("/proc/self/fd")
    with Readers(full.spool, 2) as others:
        run(rebuild(full.spool, full.index, others))
    assert full.differences() == []
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_the_longest_ids_do_not_fill_the_pipe(settled: Home) -> None:
    wanted = [f"{number:06d}".ljust(200, "x") for number in range(rebuild_readers.CHUNK * 8)]
    with time_limit(), Readers(settled.spool, 1) as others:
        answers = [answer for chunk in others(wanted) for answer in chunk]
    assert answers == [(job_id, None) for job_id in wanted]


def test_no_process_is_forked_before_a_file_is_asked_for(settled: Home) -> None:
    with Readers(settled.spool, 2) as others:
        assert not others._readers


def test_a_first_read_of_many_jobs_is_shared_among_processes(full: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "FIRST_JOBS", 0)
    noted = read_here(monkeypatch)
    with Readers(full.spool, 2) as others:
        run(sync.catch_up(full.spool, read_ahead=others))
    assert full.differences() == []
    assert not [job_id for job_id in noted if job_id.startswith("dropped-")]


def test_readers_end_with_the_context(settled: Home) -> None:
    before = os.listdir("/proc/self/fd")
    with Readers(settled.spool, 2) as others:
        others.start()
        pids = [reader._pid for reader in others._readers]
        next(others(["waiting"]))
    for pid in pids:
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, 0)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_readers_end_when_whoever_asks_is_killed(settled: Home) -> None:
    told, tell = os.pipe()
    parent = os.fork()
    if parent == 0:
        try:
            others = Readers(settled.spool, 2)
            others.start()
            os.write(tell, " ".join(str(reader._pid) for reader in others._readers).encode())
            signal.pause()
        finally:
            os._exit(1)
    pins = [os.pidfd_open(int(pid)) for pid in os.read(told, 100).split()]
    try:
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        assert len(pins) == 2
        for pin in pins:
            assert select.select([pin], [], [], PATIENCE_S)[0], "a reader is still there"
    finally:
        for fd in (*pins, told, tell):
            os.close(fd)


@contextmanager
def time_limit() -> Iterator[None]:
    """Who waits for ever is interrupted."""

    def ring(_number: int, _frame: object) -> None:
        raise TimeoutError("asking waits for the answer, and the answer for whoever asks")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(int(PATIENCE_S))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
