"""Schedules under a supervisor: slots, restarts, changes of the configuration, pauses."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from queuectl.client.queue import Queue
from queuectl.scheduling.recurrence import slot_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]


def runs(s: Supervised, name: str) -> list[str]:
    return sorted(row["id"] for row in s.queue.list("completed", tag=f"schedule:{name}"))


def slots(ids: list[str]) -> list[int]:
    return [int(slot_of(job_id) or 0) for job_id in ids]


def test_a_job_runs_at_each_slot_and_after_a_restart_once(supervised: Make) -> None:
    """The supervisor is killed in between; no slot gets two jobs, and the last missed one gets its own."""
    s = supervised()
    s.start(1)
    Queue(s.home).add_schedule("tick", "true", every="1s", overlap="allow")
    s.wait_until(lambda: len(runs(s, "tick")) >= 2, "two slots have run")
    pid = s.status()["pid"]
    os.kill(pid, signal.SIGKILL)
    s.wait_until(lambda: not s.has_supervisor(), "the supervisor is dead")
    before = runs(s, "tick")
    s.start(1)
    s.wait_until(lambda: len(runs(s, "tick")) >= len(before) + 2, "two more slots have run")
    found = slots(runs(s, "tick"))
    assert len(found) == len(set(found))


def test_a_change_of_the_file_is_followed(supervised: Make) -> None:
    """One is added, paused, resumed and removed while the supervisor runs; a bad one stops nothing."""
    s = supervised()
    s.start(1)
    queue = Queue(s.home)
    queue.add_schedule("tick", "true", every="1s")
    s.wait_until(lambda: runs(s, "tick") != [], "it has run")
    queue.pause_schedule("tick")
    [row] = queue.schedules()
    assert row["next"] == []
    with open(s.home / "config.yaml", "a") as file:
        file.write(
            '  bad:\n    cron: "x"\n    job: {command: x}\n  other:\n    every: 1s\n    job: {command: "true"}\n'
        )
    s.wait_until(lambda: len(runs(s, "other")) >= 2, "the other has run twice")
    before = runs(s, "tick")
    queue.resume_schedule("tick")
    s.wait_until(lambda: runs(s, "tick") != before, "it has run again")
    queue.remove_schedule("tick")
    assert "schedule bad: cron must be" in (s.home / "logs/supervisor.log").read_text()
