"""What a command holds: the lock of its run, however it treats its descriptors, and never the lock of its job."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from queuectl.executor.environment import base_environment
from queuectl.executor.local import LocalAttempts
from queuectl.job.job import PROCESSING
from tests.support.spools import Home, free
from tests.support.supervised import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[[str], str]


@pytest.fixture(autouse=True)
def _current_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Come back to it: a command is started from the directory of its job, and then `/` is entered."""
    monkeypatch.chdir(os.getcwd())


@pytest.fixture
def spool(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def start(spool: Home, tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a command and then loses it, as a worker does that dies; it is killed at the end."""
    pids: list[int] = []
    attempts = LocalAttempts(spool.layout, base_environment(os.environ))

    def begin(script: str) -> str:
        mark = tmp_path / f"mark{len(pids)}"
        job_id = spool.enqueue({"command": f"{script} echo >> {mark}; exec sleep 600"})
        with spool.start(job_id) as claim:
            pids.append(attempts.start(claim.job))
        deadline = time.monotonic() + PATIENCE_S
        while not mark.exists():
            assert time.monotonic() < deadline, "the command never ran"
            time.sleep(0.01)
        return job_id

    try:
        yield begin
    finally:
        for pid in pids:
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # a test has killed it
            else:
                os.waitpid(pid, 0)


def test_the_lock_of_a_job_is_free_when_its_worker_dies_although_its_command_lives(spool: Home, start: Start) -> None:
    """Else nobody could adopt the run, or end it. Hole H9."""
    job_id = start("")
    assert free(spool, PROCESSING, job_id)
    assert spool.run_is_locked(job_id, 1)


@pytest.mark.parametrize(
    "script",
    [
        "exec > /dev/null 2>&1;",
        "exec 0<&- 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- > /dev/null 2>&1;",
        "for n in 1 2; do sleep 600 > /dev/null 2>&1 & done; exec > /dev/null 2>&1;",
    ],
    ids=["output elsewhere", "all that a shell can name", "with children"],
)
def test_a_command_that_sends_its_output_elsewhere_holds_the_lock_of_its_run(
    spool: Home, start: Start, script: str
) -> None:
    """Its low descriptors are its own to reassign; the one above 100 stays. Proves G4. Hole H11."""
    job_id = start(script)
    assert spool.run_is_locked(job_id, 1)
