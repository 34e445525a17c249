"""Supervisor and workers, told to stop, reload or restart, with and without a job in flight."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from queuectl.errors import Busy, NotFound, UsageError
from queuectl.job.job import DONE, PENDING
from tests.support.supervised import PATIENCE_S, is_running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]


def _running(s: Supervised, mark: Path, script: str) -> tuple[str, int]:
    job_id = s.queue.enqueue(f"echo $$ >> {mark}; {script}")
    s.wait_until(lambda: mark.exists() and mark.read_text().endswith("\n"), "the command runs")
    return job_id, int(mark.read_text().split()[-1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_drains(supervised: Make, tmp_path: Path, number: signal.Signals) -> None:
    """The running job ends by itself, the waiting one stays, and the supervisor exits with its last worker."""
    s = supervised()
    supervisor = s.start(1)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    job_id, _ = _running(s, tmp_path / "pid", f"read x < {gate}")
    waiting = s.queue.enqueue("true")
    supervisor.send_signal(number)
    s.wait_until(lambda: s.status()["draining"], "it drains")
    with pytest.raises(Busy):
        s.ask("start", count=1)
    gate.write_text("go\n")
    assert supervisor.wait(60) == 0
    assert (s.state(job_id), s.state(waiting)) == ("completed", "pending")


def test_a_second_signal_kills_the_commands_and_puts_the_jobs_back_uncounted(supervised: Make, tmp_path: Path) -> None:
    """Back in pending/, no failure, no interruption; the tree is gone."""
    s = supervised(kill_after=0.3)
    supervisor = s.start(1)
    job_id, pid = _running(s, tmp_path / "pid", "trap '' TERM; while :; do sleep 1; done")
    supervisor.terminate()
    s.wait_until(lambda: s.status()["draining"], "it drains")
    supervisor.terminate()
    assert supervisor.wait(60) == 0
    job = s.queue.get(job_id)
    assert (job.state, job.attempts, job.failures, job.interruptions) == ("pending", 1, 0, 0)
    assert not is_running(pid)


def test_a_signal_to_an_idle_supervisor_ends_it_at_once(supervised: Make) -> None:
    """Exit code 0 and nothing left."""
    s = supervised()
    supervisor = s.start(3)
    supervisor.terminate()
    assert supervisor.wait(60) == 0
    assert not s.survivors()


def test_hangup_reads_the_configuration_again(supervised: Make) -> None:
    """A change acts at once on running workers; a broken file is reported and changes nothing."""
    s = supervised()
    supervisor = s.start(1)
    config = s.home / "config.yaml"
    config.write_text("max_retries_default: 0\n")
    supervisor.send_signal(signal.SIGHUP)
    s.wait_until(lambda: "configuration read" in (s.home / "logs/supervisor.log").read_text(), "it was read")
    config.write_text("max_retries_default: four\n")
    s.wait_until(lambda: "stay in force" in (s.home / "logs/supervisor.log").read_text(), "it was refused")
    job_id = s.queue.enqueue("false")
    s.wait_for(job_id, "dead")
    assert s.queue.get(job_id).attempts == 1


def test_a_configuration_that_cannot_be_read_is_reported_and_changes_nothing(supervised: Make) -> None:
    """A link that leads nowhere near a file stands for a mode without the right to read, which root does not feel."""
    s = supervised()
    s.start(1)
    config = s.home / "config.yaml"
    config.symlink_to(config)
    s.wait_until(lambda: "cannot read" in (s.home / "logs/supervisor.log").read_text(), "it was refused")
    config.unlink()
    job_id = s.queue.enqueue("true")
    s.wait_for(job_id, "completed")


def test_a_socket_that_was_deleted_is_made_anew(supervised: Make) -> None:
    """Who tidies up run/ does not lose the supervisor."""
    s = supervised()
    supervisor = s.start(1)
    (s.home / "run/control.sock").unlink()
    s.wait_until(s.has_supervisor, "it answers again")
    assert s.status()["pid"] == supervisor.pid


def test_a_change_of_the_file_acts_without_a_signal_on_jobs_that_wait(supervised: Make) -> None:
    """What a job does not say itself comes from the configuration when it is needed."""
    s = supervised()
    s.start(1)
    job_id = s.queue.enqueue("exit 1")
    s.wait_for(job_id, "failed")
    (s.home / "config.yaml").write_text("max_retries_default: 1\n")
    s.wait_until(lambda: "configuration read" in (s.home / "logs/supervisor.log").read_text(), "it was read")
    s.queue.retry(job_id)
    s.wait_for(job_id, "dead")
    assert s.queue.get(job_id).attempts == 2


def test_workers_are_added_scaled_stopped_and_restarted_by_name(supervised: Make, tmp_path: Path) -> None:
    """Names are the lowest free numbers; the supervisor exits with its last worker."""
    s = supervised()
    supervisor = s.start(1)
    assert s.ask("start", count=2)["workers"] == ["worker-2", "worker-3"]
    assert s.ask("stop", id="worker-2")["stopping"] == ["worker-2"]
    s.wait_until(lambda: {w["name"] for w in s.status()["workers"]} == {"worker-1", "worker-3"}, "one left")
    assert s.ask("start", count=1)["workers"] == ["worker-2"]
    before = {w["name"]: w["pid"] for w in s.status()["workers"]}
    s.ask("restart", id="worker-3")
    s.wait_until(lambda: {w["pid"] for w in s.status()["workers"] if w["state"] == "idle"} > {before["worker-1"]}, "")
    s.wait_until(
        lambda: (
            [w["pid"] for w in s.status()["workers"] if w["name"] == "worker-3" and w["state"] == "idle"]
            not in ([], [before["worker-3"]])
        ),
        "worker-3 is another process",
    )
    s.ask("scale", count=1)
    s.wait_until(lambda: [w["name"] for w in s.status()["workers"]] == ["worker-1"], "one is left")
    with pytest.raises(NotFound, match="worker-9"):
        s.ask("stop", id="worker-9")
    with pytest.raises(UsageError):
        s.ask("scale", count=-1)
    s.ask("stop", id="worker-1")
    assert supervisor.wait(60) == 0


def test_a_worker_that_is_told_to_stop_finishes_its_job_first(supervised: Make, tmp_path: Path) -> None:
    """TERM to one worker drains that one; the supervisor replaces it."""
    s = supervised()
    s.start(1)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    job_id, _ = _running(s, tmp_path / "pid", f"read x < {gate}")
    s.wait_until(lambda: s.status()["workers"][0]["command_pid"] is not None, "it is known")
    old = s.status()["workers"][0]["pid"]
    os.kill(old, signal.SIGTERM)
    gate.write_text("go\n")
    s.wait_for(job_id, "completed")
    s.wait_until(lambda: s.status()["workers"][0]["pid"] not in (None, old), "it was replaced")


def _wait_until_it_sleeps(process: psutil.Process) -> None:
    """Wait until a process has used no CPU time between two looks; one that is busy never gets there."""
    deadline = time.monotonic() + PATIENCE_S
    used = None
    while used != (used := process.cpu_times()):
        assert time.monotonic() < deadline, f"it never sleeps: {used}"
        time.sleep(0.3)


def test_draining_costs_nothing_while_the_last_command_runs(supervised: Make, tmp_path: Path) -> None:
    """Also when it begins while the next job has been handed out already: that is waited for no more."""
    s = supervised()
    supervisor = s.start(1)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    jobs = ["true"] * 20 + [f"kill -TERM {supervisor.pid}; read x < {gate}"] + ["true"] * 5
    ids = [str(job_id) for job_id in s.queue.enqueue_many(jobs)]
    s.wait_until(lambda: s.queue.get(ids[20]).state == "processing" and s.status()["draining"], "it drains")
    _wait_until_it_sleeps(psutil.Process(supervisor.pid))
    gate.write_text("go\n")
    supervisor.wait(60)
    assert [s.queue.get(job_id).state for job_id in ids[20:]] == ["completed"] + ["pending"] * 5


def _names(s: Supervised, directory: str) -> list[str]:
    return os.listdir(s.queue.spool.layout.directory(directory))


def _under_load(s: Supervised, jobs: int) -> tuple[list[str], psutil.Process]:
    """Begin with many short jobs on two workers; return them and the process of the first, which has some at hand."""
    ids = [str(job_id) for job_id in s.queue.enqueue_many(["true"] * jobs)]
    s.start(2)
    s.wait_until(lambda: len(_names(s, DONE)) > 50, "some have run")
    return ids, psutil.Process(s.status()["workers"][0]["pid"])


def test_what_a_worker_has_at_hand_and_does_not_begin_is_run_by_another(supervised: Make) -> None:
    """What it has begun is its own until it goes on or dies; nothing runs twice."""
    s = supervised(durability="relaxed")
    ids, worker = _under_load(s, 600)
    worker.suspend()
    try:
        s.wait_until(lambda: not _names(s, PENDING), "all that nobody has begun have run")
    finally:
        worker.resume()
    s.wait_until(lambda: len(_names(s, DONE)) == len(ids), "all have run")
    assert {s.queue.get(job_id).attempts for job_id in ids} == {1}
