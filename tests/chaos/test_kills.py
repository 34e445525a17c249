"""SIGKILL at random, under load: nothing overlaps, nothing is lost, nothing is doubled, nobody is left behind."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.support.chaos import Journal, Tally, ended, has_nothing_left, kill, size, wait_until_nobody_is_left

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]

SEEDS = int(os.environ.get("QUEUECTL_SEEDS") or size(6, 200))
JOBS = size(60, 100)
WORKERS = 4
KILLS = size(7, 9)
MIX = ("quick",) * 5 + ("slow",) * 4 + ("fails", "flaky", "flaky", "dies", "child", "session", "stubborn")


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_kills_lose_nothing_and_double_nothing(supervised: Make, tmp_path: Path, seed: int) -> None:
    """Workers, supervisor and commands die at random instants; each time the supervisor is simply started again.

    A command holds a lock of its own job as long as any process of it lives, and says so when it finds it held. At the
    end every job has ended in one directory, ran no more often than its record says, and the index agrees.
    """
    dice = random.Random(seed)
    print(f"seed {seed}")
    s = supervised(backoff_base=0.1, kill_after=0.2, durability=dice.choice(["full", "relaxed"]))
    journal = Journal(tmp_path / "journal")
    jobs = [{"command": journal.command(dice.choice(MIX)), "max_retries": dice.randint(1, 3)} for _ in range(JOBS)]
    ids = [str(job_id) for job_id in s.queue.enqueue_many(jobs)]
    with Tally(f"seed {seed}", "kills of a worker or supervisor") as tally:
        supervisor = s.start(WORKERS)
        for _ in range(KILLS):
            goal = min(JOBS, ended(s) + dice.randint(2, 10))
            s.wait_until(lambda goal=goal: ended(s) >= goal, f"{goal} jobs have ended")
            what = dice.choice(("worker", "worker", "command", "command", "supervisor", "both", "all"))
            workers = [w for w in s.status()["workers"] if w["pid"]]
            dice.shuffle(workers)
            busy = [w for w in workers if w["command_pid"]]
            if what == "command":
                hits = sum(kill(s, w["command_pid"]) for w in busy[: dice.randint(1, 2)])
                tally.add("kills of a command", hits)
            if what in ("supervisor", "both", "all"):
                supervisor.kill()
                tally.add("kills of a worker or supervisor")
            if what in ("worker", "both", "all"):
                chosen = workers if what == "all" else (busy or workers)[:1]
                tally.add("kills of a worker or supervisor", sum(kill(s, w["pid"]) for w in chosen))
            if what in ("supervisor", "both", "all"):
                supervisor.wait()
                supervisor = s.start(WORKERS)
        s.wait_until(lambda: has_nothing_left(s), "all jobs have ended")
        tally.add("jobs", len(journal.check(s, ids)) and JOBS)
        tally.add("starts", sum(what == "start" for what, _, _ in journal.lines()))
        interrupted = sum(s.queue.get(job_id).attempts > s.queue.get(job_id).failures + 1 for job_id in ids)
        tally.add("interrupted", interrupted)
        supervisor.terminate()
        assert supervisor.wait(60) == 0
        wait_until_nobody_is_left(s)
