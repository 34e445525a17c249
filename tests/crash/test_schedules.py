"""SIGKILL at every file operation of a tick: the next tick leaves one job for each slot."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.scheduling.schedules import Schedule, check
from queuectl.spool.claim import Claim
from queuectl.spool.fs import Files
from queuectl.spool.schedules import begin, marker_of, tick
from tests.support import audit
from tests.support.fault_injection import FaultInjector, Noted, killing
from tests.support.spools import DIRECTORIES, Home

MINUTE = 60
SLOTS = ["s@20270115T080100Z", "s@20270115T080200Z", "s@20270115T080300Z"]


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as path:
        yield Path(path)


def schedule(overlap: str) -> Schedule:
    return check("s", {"every": "1m", "misfire": "all", "overlap": overlap, "job": {"command": "true"}})


def asleep(path: Path, overlap: str, *, is_known: bool) -> Home:
    """A home in which three slots are due; without a marker, it is known from the job before them that they are."""
    spool = Home(path, durability="full")
    begin(spool, schedule(overlap), spool.clock.now())
    if not is_known:
        spool.put("completed", id="s@20270115T080000Z")
        os.unlink(f"{spool.layout.schedules}/s")
    spool.clock.advance(3 * MINUTE)
    return spool


def ticking(spool: Home, overlap: str, files: Files | None = None) -> None:
    other = Home(Path(spool.layout.home), files=files, durability="full")
    other.clock = spool.clock
    for ticked in tick(other, {"s": schedule(overlap)}, {}, spool.clock.now()):
        assert ticked.error is None


def of_the_schedule(spool: Home) -> list[str]:
    return sorted(
        job_id for directory in DIRECTORIES for job_id in spool.ids(directory) if job_id > "s@20270115T080000Z"
    )


def run_what_waits(spool: Home) -> None:
    for job_id in sorted(spool.ids("pending")):
        answer = spool.claim(job_id, "w")
        if isinstance(answer, Claim):
            with answer:
                answer.finish({"exit_code": 0})


def killed(spool: Home, overlap: str, number: int) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            ticking(spool, overlap, FaultInjector(killing(number)))
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize(
    ("overlap", "is_known"),
    [("allow", True), ("allow", False), ("skip", True)],
    ids=["known", "lost marker", "chained"],
)
def test_a_ticker_may_be_killed_at_any_operation(folder: Path, overlap: str, is_known: bool) -> None:
    """The next one makes what is missing, and nothing twice, also when the jobs have run in between. Proves G23."""
    noted = Noted()
    ticking(asleep(folder / "length", overlap, is_known=is_known), overlap, noted)
    for number in range(1, len(noted.calls) + 1):
        spool = asleep(folder / str(number), overlap, is_known=is_known)
        killed(spool, overlap, number)
        audit.mend(spool)
        run_what_waits(spool)
        ticking(spool, overlap)
        assert of_the_schedule(spool) == SLOTS, number
        marker = marker_of(spool, "s")
        assert marker is not None
        assert marker.until == marker.slot == spool.clock.now()
        run_what_waits(spool)
        ticking(spool, overlap)
        assert of_the_schedule(spool) == SLOTS, number
        assert not [*spool.ids("pending")], number
