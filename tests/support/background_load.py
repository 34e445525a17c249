"""Workers and producers that keep a spool busy while something else is looked at; each acknowledges in the book."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from queuectl.errors import QueueError
from queuectl.job.job import DONE, PENDING
from queuectl.spool.claim import Claim
from tests.support.scenarios import CROWD, Acknowledgements, seen_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.spools import Home

    Round = Callable[[Home, Acknowledgements, int], None]

AWAKE = 3  # so many acknowledgements of each show that all are at work


def produce(spool: Home, book: Acknowledgements, number: int) -> None:
    note = f"{CROWD}{os.getpid()}.{number}"
    spool.enqueue({"id": note, "command": "true", "note": note, "queue": "load"})  # "default" may be paused
    book.note(note, 1)
    if number % 3 == 0:
        _delete_one(spool, book)


def _delete_one(spool: Home, book: Acknowledgements) -> None:
    for job_id in list(spool.ids(DONE))[:4]:
        if job_id.startswith(CROWD):
            with spool.take(job_id) as claim:
                claim.delete()
            book.note(job_id, 4)
            return


def work(spool: Home, book: Acknowledgements, number: int) -> None:
    for job_id in list(spool.ids(PENDING)):
        if job_id.startswith(CROWD):
            _run(spool, book, job_id)


def _run(spool: Home, book: Acknowledgements, job_id: str) -> None:
    claim = spool.claim(job_id, "w")
    if not isinstance(claim, Claim):
        return
    with claim:
        if claim.job.attempts == 1 and sum(job_id.encode()) % 2:
            claim.reschedule("failed", spool.clock.now(), {"exit_code": 1, "error": "x" * 700})
            book.note(job_id, 2)
        else:
            claim.finish({"exit_code": 0})
            book.note(job_id, 3)


class BackgroundLoad:
    """Two of each, in processes of their own, until `stop`."""

    def __init__(self, spool: Home, fd: int) -> None:
        """Return once all of them are at work; `fd` is where they acknowledge."""
        self.pids: list[int] = []
        for play_round in (produce, work, produce, work):
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(read)
                _play(spool, Acknowledgements(fd), play_round, write)
            self.pids.append(pid)
            os.close(write)
            try:
                seen = b""
                while len(seen) < AWAKE and (more := os.read(read, AWAKE)):
                    seen += more
            finally:
                os.close(read)
            if len(seen) < AWAKE:
                self.stop()
                raise AssertionError(f"the crowd does not {play_round.__name__}")

    def freeze(self) -> None:
        """Have none of them do anything any more."""
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)
        for pid in self.pids:
            os.waitpid(pid, os.WUNTRACED)

    def stop(self) -> None:
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
        for pid in self.pids:
            os.waitpid(pid, 0)
        self.pids.clear()


def _play(spool: Home, book: Acknowledgements, play_round: Round, write: int) -> None:
    """Go on until the disk fails; never returns."""
    said = 0

    def say(*_: object) -> None:
        nonlocal said
        said += 1
        if said <= AWAKE:
            os.write(write, b".")

    code = 1
    try:
        os.set_blocking(write, True)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        book.listener = say
        mine = seen_by(spool)
        number = 0
        while True:
            number += 1
            try:
                play_round(mine, book, number)
            except QueueError:
                continue
    except OSError:
        code = 0  # the power is gone, or whoever listened
    finally:
        os._exit(code)
