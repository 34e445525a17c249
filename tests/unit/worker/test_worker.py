"""One worker, with the test in the place of its supervisor."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from queuectl.executor.environment import base_environment
from queuectl.job.job import PENDING, PROCESSING
from queuectl.spool.fs import Files
from queuectl.supervisor.worker_pool import WorkerSlot, fork_worker
from queuectl.worker import settle, worker
from tests.support.spools import Home

PATIENCE_S = 60.0


class Scene:
    def __init__(self, path: Path, **settings: Any) -> None:
        self.spool = Home(path / "home", **settings)
        self.slot = WorkerSlot("worker-1")
        self.heard: list[dict[str, Any]] = []
        self.status: int | None = None
        base = base_environment({"PATH": "/usr/bin:/bin", "HOME": str(path)})
        fork_worker(self.slot, self.spool.layout, self.spool.settings, base, time.monotonic(), time.time())
        self.pid = self.slot.pid

    def hear(self, say: str) -> dict[str, Any]:
        """Wait for a word of it, and return the first."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            self.heard += self.slot.receive()
            for message in self.heard:
                if message["say"] == say:
                    self.heard.remove(message)
                    return message
            time.sleep(0.005)
        raise AssertionError(f"no word {say}; {self.heard}")

    def order(self, *ids: str) -> None:
        for job_id in ids:
            self.slot.order(job_id, time.monotonic(), time.time())
        self.slot.flush()

    def wait_until_over(self) -> int:
        if self.status is None:
            _, self.status = os.waitpid(self.pid, 0)
        return self.status


@contextmanager
def worker_in(path: Path, **settings: Any) -> Iterator[Scene]:
    threshold = gc.get_threshold()
    made = Scene(path, **settings)
    try:
        yield made
    finally:
        if made.status is None:
            os.kill(made.pid, signal.SIGKILL)
            made.wait_until_over()
        made.slot.close(time.monotonic())
        gc.unfreeze()
        gc.set_threshold(*threshold)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with worker_in(tmp_path) as made:
        yield made


def test_one_that_drains_gives_back_what_it_is_told_to_run(scene: Scene, tmp_path: Path) -> None:
    """Its supervisor, which does not know yet, would have more for it all the time."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    runs = scene.spool.put("pending", command=f"read x < {gate}")
    ahead, later = scene.spool.put("pending"), scene.spool.put("pending")
    scene.hear("ready")
    scene.order(runs, ahead)
    assert scene.hear("started")["id"] == runs
    os.kill(scene.pid, signal.SIGTERM)
    assert scene.hear("returned")["id"] == ahead
    scene.order(later)
    assert scene.hear("returned")["id"] == later
    assert [scene.spool.where(job_id) for job_id in (runs, ahead, later)] == [[PROCESSING], [PENDING], [PENDING]]
    gate.write_text("go\n")
    assert scene.hear("settled")["id"] == runs
    assert scene.wait_until_over() == 0


def test_what_it_has_not_begun_it_gives_back_when_asked(scene: Scene, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    runs, *ahead = [
        scene.spool.put("pending", command=f"read x < {gate}"),
        *(scene.spool.put("pending") for _ in "abc"),
    ]
    scene.hear("ready")
    scene.order(runs, *ahead)
    scene.hear("started")
    scene.slot.ask_back(time.monotonic())
    assert [scene.hear("returned")["id"] for _ in ahead] == ahead
    gate.write_text("go\n")
    assert scene.hear("settled")["id"] == runs


def test_what_is_short_is_told_with_its_start_and_in_its_order(scene: Scene) -> None:
    ids = [scene.spool.put("pending", command="true") for _ in range(20)]
    scene.hear("ready")
    scene.order(*ids)
    said = [scene.hear("settled") for _ in ids]
    assert [each["id"] for each in said] == ids
    assert all(each["event"] == "completed" and each["took_s"] > 0 for each in said)


def test_a_run_that_ended_while_the_worker_waited_for_the_disk_is_not_reported_as_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end is there to be read; a report of its start would cost the supervisor a change of the index for nothing."""

    def slow_sync(self: Files, fd: int) -> None:
        time.sleep(0.2)

    monkeypatch.setattr(Files, "sync_data", slow_sync)
    monkeypatch.setattr(worker, "SHORT_RUN_S", 0.3)
    monkeypatch.setattr(settle, "TOGETHER", 2)
    with worker_in(tmp_path, durability="full") as made:
        ids = [made.spool.put("pending", command="true") for _ in range(3)]
        made.hear("ready")
        made.order(*ids)
        for job_id in ids:
            assert made.hear("settled")["id"] == job_id
        assert [each["say"] for each in made.heard] == []
