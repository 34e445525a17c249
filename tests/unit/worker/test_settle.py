"""How an attempt that has ended is settled: at once, or short ones together; after a stop; and when the disk refuses."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from queuectl.config.settings import Settings
from queuectl.executor.attempt import STOPPED
from queuectl.executor.local import Ended
from queuectl.job.job import DONE, PENDING, PROCESSING
from queuectl.job.outcome import Exited, Signaled
from queuectl.job.retry import MAX_STOPS
from queuectl.log import Log
from queuectl.spool.claim import Claim
from queuectl.spool.fs import Files
from queuectl.spool.layout import Layout
from queuectl.spool.spool import Spool
from queuectl.timers import NEVER
from queuectl.worker.settle import HOLD_S, RETRY_S, TOGETHER, FinishedAttempt, Verdicts, settle
from tests.support.spools import Home

WELL = Ended(Exited(0), None)


class Refusing(Files):
    """A disk that refuses to sync while it is told to."""

    refuses = False
    only = ""

    def sync_data(self, fd: int) -> None:
        if self.refuses and os.readlink(f"/proc/self/fd/{fd}").endswith(self.only):
            raise OSError(errno.EIO, "the disk failed")
        super().sync_data(fd)


class Scene:
    def __init__(self, path: Path) -> None:
        self.files = Refusing()
        self.spool = Home(path / "home", files=self.files, durability="full")
        self.said: list[dict[str, Any]] = []
        self.log = path / "log"
        self.verdicts = Verdicts(self.spool, Log(str(self.log), "worker-1"), self.said.append)

    @property
    def now(self) -> float:
        return self.spool.clock.monotonic()

    def ends(self, *, is_short: bool = True, ended: Ended | None = WELL) -> str:
        claim = self.spool.start(self.spool.put("pending"))
        assert isinstance(claim, Claim)
        self.verdicts.add(FinishedAttempt(claim, ended, took_s=0.001, is_short=is_short), self.now)
        return claim.job.id

    def step(self, *, is_running: bool = True, later: float = 0.0) -> list[str]:
        """Let the worker come by, and return the ids that it says are settled."""
        self.spool.clock.advance(later)
        self.said.clear()
        self.verdicts.step(self.now, is_running=is_running)
        return [said["id"] for said in self.said if said["say"] == "settled"]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_without_another_command_a_job_is_settled_at_once(scene: Scene) -> None:
    job_id = scene.ends()
    assert scene.verdicts
    assert scene.step(is_running=False) == [job_id]
    assert not scene.verdicts
    assert (scene.spool.where(job_id), scene.verdicts.next_step) == ([DONE], NEVER)
    said = scene.said[0]
    assert (said["event"], said["took_s"], said["is_short"]) == ("completed", 0.001, True)
    assert said["entry"] == scene.spool.job(job_id).history[-1]


def test_short_ones_wait_for_each_other_while_the_next_runs_but_not_for_long(scene: Scene) -> None:
    """The verdict is written at once: whoever dies meanwhile has judged all the same. Proves G7."""
    first = scene.ends()
    assert scene.step() == []
    assert scene.spool.where(first) == [PROCESSING]
    assert scene.spool.events(first) == ["started", "completed"]
    assert scene.verdicts.next_step == pytest.approx(scene.now + HOLD_S)
    second = scene.ends()
    assert scene.step(later=HOLD_S / 2) == []
    assert scene.step(later=HOLD_S / 2) == [first, second]


def test_so_many_are_enough(scene: Scene) -> None:
    ids = []
    for _ in range(TOGETHER):
        assert scene.step() == []
        ids.append(scene.ends())
    assert scene.step() == ids


@pytest.mark.parametrize("how", ["long", "not started"])
def test_only_short_runs_wait(scene: Scene, how: str) -> None:
    first = scene.ends()
    assert scene.step() == []
    other = scene.ends(is_short=False, ended=WELL if how == "long" else None)
    assert scene.step() == [first, other]
    assert scene.spool.where(other) == [DONE if how == "long" else PENDING]


def test_what_the_disk_refuses_is_tried_again_and_nothing_else_is_begun(scene: Scene) -> None:
    """Proves G16."""
    ids = [scene.ends(), scene.ends()]
    scene.files.refuses = True
    assert scene.step(is_running=False) == []
    assert [said["say"] for said in scene.said] == ["full", "full"]
    assert scene.verdicts.is_blocked(scene.now)
    assert scene.verdicts.next_step == pytest.approx(scene.now + RETRY_S)
    scene.files.refuses = False
    assert scene.step(is_running=False, later=RETRY_S / 2) == []
    assert scene.step(is_running=False, later=RETRY_S / 2) == ids
    assert not scene.verdicts.is_blocked(scene.now)
    assert [scene.spool.events(job_id) for job_id in ids] == [["started", "completed"]] * 2


def test_one_of_a_group_that_is_refused_keeps_the_worker_from_beginning_more(scene: Scene) -> None:
    """Proves G16. The other one is settled."""
    refused, other = scene.ends(), scene.ends()
    scene.files.only = f"/{refused}.json"
    scene.files.refuses = True
    assert scene.step(is_running=False) == [other]
    assert scene.verdicts.is_blocked(scene.now)
    assert scene.verdicts.next_step == pytest.approx(scene.now + RETRY_S)
    scene.files.refuses = False
    assert scene.step(is_running=False, later=RETRY_S) == [refused]


def test_without_a_home_there_is_nothing_to_be_settled(scene: Scene) -> None:
    job_id = scene.ends()
    shutil.rmtree(scene.spool.layout.home)
    assert scene.step(is_running=False) == []
    assert [(said["say"], said["id"], said["reason"]) for said in scene.said] == [("notnow", job_id, "gone")]
    assert not scene.verdicts
    assert "its home was removed" in scene.log.read_text()


def test_a_job_that_is_stopped_again_and_again_is_put_back_uncounted_but_not_for_ever(home: Path) -> None:
    """What a job that stops its own supervisor from outside the command line amounts to. Proves G6."""
    spool = Spool(Layout(str(home)), Settings())
    spool.layout.ensure()
    job_id = spool.enqueue({"command": "systemctl --user restart queuectl", "max_retries": 0})
    for number in range(1, MAX_STOPS + 1):
        with spool.claim(job_id, "worker-1") as claim:  # type: ignore[union-attr]
            assert isinstance(claim, Claim)
            event = settle(spool, claim, Ended(Signaled(15), None), STOPPED)
        assert event == ("requeued" if number < MAX_STOPS else "died")
    job = spool.read(job_id)
    assert (job.state, job.failures, job.dead_reason) == ("dead", 0, "interrupted")
    assert "100 times in a row" in (job.last_error or "")
