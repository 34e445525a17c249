"""Locks, resources, limits of queues, rates and pauses: what may run at once, as the jobs themselves saw it."""

from __future__ import annotations

import itertools
import json
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from queuectl.client.queue import Queue
from queuectl.errors import UsageError
from queuectl.spool import pauses

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]

# Writes when it began and ended; the times of all runs show how many overlapped.
SPAN = "date +s%s.%N >> {path}; sleep {sleep}; date +e%s.%N >> {path}"


def span(s: Supervised, sleep: float = 0.05, name: str = "spans") -> str:
    return SPAN.format(path=s.home / name, sleep=sleep)


def most_at_once(s: Supervised, name: str = "spans") -> tuple[int, int]:
    """Return how many runs overlapped at most, and how many there were."""
    lines = (s.home / name).read_text().split()
    events = sorted((float(line[1:]), line[0] == "s") for line in lines)
    running = most = 0
    for _, begins in events:
        running += 1 if begins else -1
        most = max(most, running)
    return most, len(lines) // 2


def all_completed(s: Supervised, count: int) -> None:
    s.wait_until(lambda: s.queue.counts()["completed"] == count, f"{count} jobs have run")


def test_a_lock_of_three_over_fifty_jobs_and_eight_workers(supervised: Make) -> None:
    """Guarantee G20."""
    s = supervised(durability="relaxed")
    [*s.queue.enqueue_many([span(s)] * 50, lock="db:3")]
    s.start(8)
    all_completed(s, 50)
    most, count = most_at_once(s)
    assert (most, count) == (3, 50)


@pytest.mark.parametrize("killed", ["none", "worker", "supervisor", "both"])
def test_two_units_are_never_given_twice_and_free_again_after_a_kill(supervised: Make, killed: str) -> None:
    """Guarantee G20."""
    s = supervised(max_interruptions=10)
    (s.home / "config.yaml").write_text("resources: {gpu: 2}\n")
    command = f"echo $QUEUECTL_RESOURCE_GPU $CUDA_VISIBLE_DEVICES >> {s.home}/units; sleep 0.1"
    jobs = [*s.queue.enqueue_many([command] * 8, needs={"gpu": 1})]
    both = s.queue.enqueue(command, needs={"gpu": 2}, priority=-1)
    supervisor = s.start(4)
    if killed != "none":
        s.wait_until((s.home / "units").exists, "one runs")
        worker = s.status()["workers"][0]["pid"]
        if killed in ("supervisor", "both"):
            supervisor.send_signal(signal.SIGSTOP)  # so that both end before either can be noticed
        if killed in ("worker", "both"):
            import os

            os.kill(worker, signal.SIGKILL)
        if killed in ("supervisor", "both"):
            supervisor.kill()
            supervisor.wait()
            s.start(4)
    for job_id in (*jobs, both):
        s.wait_for(job_id, "completed")
    spans: list[tuple[float, float, set[tuple[str, int]]]] = []
    for job_id in (*jobs, both):
        history = json.loads((s.home / f"spool/done/{job_id}.json").read_text())["history"]
        for start, end in itertools.pairwise(history):
            if start["event"] == "started" and end["event"] == "completed":
                units = {(name, unit) for name, numbers in start["units"].items() for unit in numbers}
                spans.append((_seconds(start["at"]), _seconds(end["at"]), units))
    for number, (start, end, units) in enumerate(spans):
        for other_start, other_end, others in spans[:number]:
            assert end <= other_start or other_end <= start or units.isdisjoint(others)
    assert spans[-1][2] == {("gpu", 0), ("gpu", 1)}
    seen = (s.home / "units").read_text().split("\n")
    assert {"0 0", "1 1", "0,1 0,1"} <= set(seen)


def _seconds(text: str) -> float:
    from queuectl.clock import parse_instant

    return parse_instant(text)


def test_a_queue_with_concurrency_one_beside_a_fast_one(supervised: Make) -> None:
    s = supervised(durability="relaxed", queues={"encode": {"concurrency": 1}})
    [*s.queue.enqueue_many([span(s, 0.1, "encode")] * 6, queue="encode", priority=10)]
    [*s.queue.enqueue_many([span(s, 0.02, "fast")] * 40)]
    s.start(4)
    all_completed(s, 46)
    assert most_at_once(s, "encode") == (1, 6)
    assert most_at_once(s, "fast")[1] == 40


def test_max_running_and_weight(supervised: Make) -> None:
    s = supervised(durability="relaxed", max_running=4)
    [*s.queue.enqueue_many([span(s)] * 12, weight=2)]
    s.start(6)
    all_completed(s, 12)
    assert most_at_once(s) == (2, 12)


def test_a_rate_holds_over_a_hundred_jobs(supervised: Make) -> None:
    """No window of a second has more than ten starts."""
    s = supervised(durability="relaxed", queues={"api": {"rate": "10/1s"}})
    jobs = [*s.queue.enqueue_many(["true"] * 40, queue="api")]
    s.start(4)
    all_completed(s, 40)
    starts = sorted(s.queue.get(job_id).started_at for job_id in jobs)
    assert all(late - early > 0.95 for early, late in zip(starts, starts[10:], strict=False))
    assert starts[-1] - starts[0] < 6


def test_a_machine_without_free_memory_runs_one_job_at_a_time(supervised: Make) -> None:
    s = supervised(durability="relaxed", min_free_memory="1024TiB")
    release = s.home / "go"
    first = s.queue.enqueue(f"until [ -e {release} ]; do sleep 0.02; done", priority=1)
    second = s.queue.enqueue(span(s))
    s.start(2)
    s.wait_for(first, "processing")
    s.wait_until(lambda: s.status()["machine"] is not None, "the machine was looked at")
    (reason,) = s.queue.get(second).waits_for
    assert (reason["reason"], reason["limit"]) == ("limit", "memory")
    assert "of memory is available, min_free_memory is" in reason["text"]
    release.touch()
    s.wait_for(second, "completed")


def test_a_demand_that_can_never_be_met_is_said(supervised: Make) -> None:
    s = supervised(resources={"gpu": 1})
    job_id = s.queue.spool.enqueue({"command": "true", "needs": {"gpu": 2}})  # as a dropped file, or before the setting
    s.start(1)
    s.wait_for(job_id, "dead")
    job = s.queue.get(job_id)
    assert job.dead_reason == "never_enough"
    assert job.last_error == "it needs 2 of gpu, and the setting resources.gpu is 1"


def test_a_pause_survives_maintenance_that_starts_the_workers(supervised: Make) -> None:
    """Guarantee G21. As cron does it after a reboot."""
    import subprocess
    import sys
    from pathlib import Path

    s = supervised()
    s.queue.pause("slow")
    slow, other = s.queue.enqueue("true", queue="slow"), s.queue.enqueue("true")
    typed = [sys.executable, str(Path(__file__).parents[2] / "queuectl"), "maintenance", "--ensure-workers", "1"]
    try:
        subprocess.run(typed, env=s.environ, check=True)
        s.wait_for(other, "completed")
        assert s.state(slow) == "pending"
        subprocess.run(typed, env=s.environ, check=True)
        assert s.queue.paused().keys() == {"slow"}
        s.queue.resume("slow")
        s.wait_for(slow, "completed")
    finally:
        s.ask("stop", now=True)


def test_a_pause_survives_a_restart_and_is_lifted_by_removing_its_file(supervised: Make) -> None:
    """Guarantee G21. Any program may make and remove the file."""
    s = supervised()
    pauses.pause(s.queue.spool, "slow")
    slow = s.queue.enqueue("true", queue="slow")
    supervisor = s.start(1)
    other = s.queue.enqueue("true")
    s.wait_for(other, "completed")
    supervisor.kill()
    supervisor.wait()
    s.start(1)
    other = s.queue.enqueue("true")
    s.wait_for(other, "completed")
    assert s.state(slow) == "pending"
    (s.home / "state/paused/slow").unlink()
    s.wait_for(slow, "completed")


def test_while_all_is_paused_nothing_starts_and_what_runs_goes_on(supervised: Make) -> None:
    s = supervised()
    s.start(2)
    running = s.queue.enqueue(f"until test -e {s.home}/go; do sleep 0.02; done")
    s.wait_for(running, "processing")
    (s.home / "state/paused/_all").touch()
    waiting = s.queue.enqueue("true")
    time.sleep(0.2)
    (s.home / "go").touch()
    s.wait_for(running, "completed")
    assert s.state(waiting) == "pending"
    (s.home / "state/paused/_all").unlink()
    s.wait_for(waiting, "completed")


def test_limits_that_change_act_at_once(supervised: Make) -> None:
    s = supervised()
    s.queue.layout.ensure()
    (s.home / "config.yaml").write_text('queues: {"q": {"concurrency": 1}}')
    s.start(3)
    [*s.queue.enqueue_many([f"until test -e {s.home}/go; do sleep 0.02; done"] * 3, queue="q")]
    s.wait_until(lambda: s.queue.counts()["processing"] == 1, "one runs")
    config: dict[str, Any] = {"queues": {"q": {"concurrency": 3}}}
    (s.home / "config.yaml").write_text(json.dumps(config))
    s.wait_until(lambda: s.queue.counts()["processing"] == 3, "three run")
    (s.home / "go").touch()
    all_completed(s, 3)


def test_python_pauses_and_resumes_queues(supervised: Make) -> None:
    s = supervised()
    s.home.mkdir(mode=0o700, exist_ok=True)
    (s.home / "config.yaml").write_text("queues: {encode: {concurrency: 2, rate: 10/1s}}\n")
    assert [s.queue.pause("encode"), s.queue.pause("encode"), s.queue.pause()] == [True, False, True]
    assert [*s.queue.paused()] == [None, "encode"]
    s.queue.enqueue("true", id="a", queue="encode")
    s.queue.enqueue("true", id="b")
    s.start(1)
    default, encode = Queue(s.home).queues()
    assert (default["name"], default["waiting"], default["running"], default["paused_at"]) == ("default", 1, 0, None)
    assert (encode["name"], encode["waiting"], encode["concurrency"], encode["rate"]) == ("encode", 1, 2, "10/1s")
    assert encode["paused_at"] < encode["oldest_waiting_at"]
    assert [s.queue.resume(), s.queue.resume()] == [True, False]
    s.wait_for("b", "completed")
    assert s.state("a") == "pending"
    assert s.queue.resume("encode")
    s.wait_for("a", "completed")
    assert s.queue.paused() == {}
    for name in ("_all", "", "a b", 3):
        with pytest.raises(UsageError, match="must be the name of a queue"):
            s.queue.pause(name)  # type: ignore[arg-type]
