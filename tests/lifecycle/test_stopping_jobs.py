"""Signals to running jobs, and pauses that stop what runs: who gets them, what they cost, and what a crash leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from queuectl.errors import Busy, Conflict, NoSupervisor, QueueError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]

LOOP = "trap 'echo got usr1' USR1; echo $$ > {path}; while :; do sleep 0.02; done"
UNTIL = "echo $$ > {path}; until [ -e {path}.go ]; do sleep 0.02; done"


def begin(s: Supervised, command: str, name: str = "a", **fields: object) -> tuple[str, int]:
    """Enqueue a job that writes its pid, wait for that, and return the id and the pid."""
    path = s.home / name
    job_id = s.queue.enqueue(command.format(path=path), **fields)  # type: ignore[arg-type]
    s.wait_until(lambda: path.exists() and path.read_text().endswith("\n"), f"{name} runs")
    return job_id, int(path.read_text())


def is_stopped(pid: int) -> bool:
    """Also of a shell that waits in vfork(2) for a child which was stopped before it could execute a program."""
    return psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_DISK_SLEEP)


def group(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def signals(s: Supervised, job_id: str) -> list[tuple[str, str | None]]:
    history = s.queue.get(job_id).history
    return [(entry["signal"], entry.get("reason")) for entry in history if entry["event"] == "signalled"]


# --- signal


def test_a_signal_reaches_the_process_group_and_is_in_the_history(supervised: Make) -> None:
    s = supervised()
    s.start(1)
    job_id, _ = begin(s, LOOP)
    job = s.queue.signal(job_id, "USR1")
    assert job.state == "processing"
    output = Path(s.queue.layout.output_of(job_id, 1))
    s.wait_until(lambda: "got usr1" in output.read_text(), "the shell has handled it")
    assert s.queue.get(job_id).state == "processing"  # its child `sleep` was killed, the shell goes on
    s.queue.signal(job_id, signal.SIGKILL)
    s.wait_for(job_id, "failed")
    assert signals(s, job_id) == [("SIGUSR1", None), ("SIGKILL", None)]
    assert s.queue.get(job_id).exit_code == 137


def test_only_a_running_job_is_sent_a_signal(supervised: Make) -> None:
    s = supervised()
    waiting = s.queue.enqueue("true", delay="1h")
    with pytest.raises(Conflict, match=f"job {waiting} is pending; only a running job can be sent a signal"):
        s.queue.signal(waiting, "HUP")
    with pytest.raises(UsageError, match='there is no signal "USR3"'):
        s.queue.signal(waiting, "USR3")
    s.start(1)
    job_id, pid = begin(s, UNTIL)
    s.ask("signal", id=job_id, attempt=1, number=int(signal.SIGCONT))
    with pytest.raises(
        Conflict, match="is not running"
    ):  # an attempt that is over is not mistaken for the one that runs
        s.ask("signal", id=job_id, attempt=2, number=int(signal.SIGKILL))
    assert psutil.pid_exists(pid)
    (s.home / "a.go").touch()
    s.wait_for(job_id, "completed")


def test_without_a_supervisor_a_signal_is_refused(supervised: Make) -> None:
    """The worker goes on; only it may signal its child."""
    s = supervised()
    supervisor = s.start(1)
    job_id, _ = begin(s, UNTIL)
    supervisor.kill()
    supervisor.wait()
    with pytest.raises(NoSupervisor):
        s.queue.signal(job_id, "HUP")
    s.start(1)
    with pytest.raises(Busy, match="a worker whose supervisor has gone"):
        s.queue.signal(job_id, "HUP")
    (s.home / "a.go").touch()
    s.wait_for(job_id, "completed")


def test_a_job_is_stopped_and_continued(supervised: Make) -> None:
    s = supervised()
    s.start(1)
    job_id, pid = begin(s, UNTIL)
    s.queue.signal(job_id, "STOP")
    s.wait_until(lambda: all(is_stopped(each) for each in group(pid)), "every process is stopped")
    (reason,) = s.queue.get(job_id).waits_for
    assert (reason["reason"], reason["text"]) == ("stopped", "it is stopped (SIGSTOP)")
    s.queue.signal(job_id, "CONT")
    (s.home / "a.go").touch()
    s.wait_for(job_id, "completed")


def test_a_stopped_job_is_cancelled_at_once(supervised: Make) -> None:
    s = supervised(kill_after=60)
    s.start(1)
    job_id, _ = begin(s, UNTIL)
    s.queue.signal(job_id, "STOP")
    s.queue.cancel(job_id)
    assert s.queue.get(job_id).state == "cancelled"
    with pytest.raises(Conflict):
        s.queue.signal(job_id, "CONT")


# --- pause --running


def test_a_pause_stops_what_runs_of_its_queue_and_resume_continues_it(supervised: Make) -> None:
    """Guarantee G21."""
    s = supervised()
    s.start(2)
    job_id, pid = begin(s, UNTIL, queue="encode")
    other, other_pid = begin(s, UNTIL, "b")
    assert s.queue.pause("encode", running=True)
    s.wait_until(lambda: all(is_stopped(each) for each in group(pid)), "every process is stopped")
    assert psutil.Process(other_pid).status() != psutil.STATUS_STOPPED
    s.wait_until(lambda: bool(signals(s, job_id)), "the stop is in the history")  # after the signal
    (reason,) = s.queue.get(job_id).waits_for
    assert (reason["text"], reason["hint"]) == ("it is stopped (pause)", "queuectl resume encode")
    assert not s.queue.pause("encode", running=True)
    (s.home / "b.go").touch()
    s.wait_for(other, "completed")
    assert s.queue.resume("encode")
    s.wait_until(lambda: not is_stopped(pid), "it goes on")
    (s.home / "a.go").touch()
    s.wait_for(job_id, "completed")
    assert signals(s, job_id) == [("SIGSTOP", "pause"), ("SIGCONT", "pause")]


def test_what_a_person_stopped_a_resume_does_not_continue(supervised: Make) -> None:
    s = supervised()
    s.start(1)
    job_id, pid = begin(s, UNTIL)
    s.queue.signal(job_id, "STOP")
    s.queue.pause(running=True)
    s.queue.resume()
    s.wait_until(lambda: is_stopped(pid), "it is stopped still")
    assert signals(s, job_id) == [("SIGSTOP", None)]
    s.queue.cancel(job_id)


def test_a_pause_that_ends_by_itself_continues_what_it_stopped(supervised: Make) -> None:
    s = supervised()
    s.start(1)
    job_id, _ = begin(s, UNTIL)
    waiting = s.queue.enqueue("true")
    s.queue.pause(duration=1.5, running=True)
    (s.home / "a.go").touch()
    s.wait_for(job_id, "completed")
    assert signals(s, job_id) == [("SIGSTOP", "pause"), ("SIGCONT", "pause")]
    s.wait_for(waiting, "completed")
    assert s.queue.paused() == {}


@pytest.mark.parametrize("killed", ["worker", "supervisor", "both"])
@pytest.mark.parametrize("resumed", ["while none runs", "afterwards"])
def test_a_stopped_job_survives_a_kill_and_is_continued_by_resume(supervised: Make, killed: str, resumed: str) -> None:
    """Whoever has the job then does as the pause wants; no run is left stopped."""
    s = supervised(orphans="wait", max_interruptions=9)
    supervisor = s.start(1)
    job_id, pid = begin(s, UNTIL)
    s.queue.pause(running=True)
    worker = s.status()["workers"][0]["pid"]
    if killed == "both":
        supervisor.send_signal(signal.SIGSTOP)  # so that both end before either can be noticed
    if killed != "supervisor":
        os.kill(worker, signal.SIGKILL)
    if killed != "worker":
        supervisor.kill()
        supervisor.wait()
        if resumed == "while none runs":
            s.queue.resume()
        s.start(1)
    s.wait_until(lambda: is_stopped(pid) == (resumed == "afterwards" or killed == "worker"), "as the pause wants")
    s.queue.resume()
    s.wait_until(lambda: not is_stopped(pid), "it goes on")
    (s.home / "a.go").touch()
    s.wait_for(job_id, "completed")
    assert s.queue.get(job_id).stopped_at is None


def test_a_stopped_job_is_requeued_by_a_stop_at_once(supervised: Make) -> None:
    s = supervised(kill_after=60)
    supervisor = s.start(1)
    job_id, _ = begin(s, UNTIL)
    s.queue.pause(running=True)
    s.kill_its_jobs()
    supervisor.wait()
    assert s.queue.get(job_id).state == "pending"
    with pytest.raises(QueueError):
        s.queue.signal(job_id, "HUP")


def test_what_another_program_stops_and_continues_is_said_as_it_is(supervised: Make) -> None:
    """The time of a job that a pause has stopped passes again when `kill -CONT` continues it."""
    s = supervised()
    s.start(1)
    job_id, pid = begin(s, UNTIL)
    os.kill(pid, signal.SIGSTOP)
    s.wait_until(lambda: bool(s.queue.get(job_id).waits_for), "the stop is seen")
    (reason,) = s.queue.get(job_id).waits_for
    assert (reason["text"], reason["hint"]) == ("it is stopped (SIGSTOP)", f"queuectl signal CONT {job_id}")
    command = [sys.executable, "-m", "queuectl", "worker", "stop", "--id", "worker-1"]
    said = subprocess.run(command, env=s.environ, capture_output=True, text=True, check=True)
    assert f"job {job_id} is stopped (SIGSTOP); it does not end until: queuectl signal CONT {job_id}" in said.stderr
    os.kill(pid, signal.SIGCONT)
    s.wait_until(lambda: not s.queue.get(job_id).waits_for, "the end of it is seen")
    s.queue.pause(running=True)
    s.wait_until(lambda: bool(s.queue.get(job_id).waits_for), "the pause has stopped it")
    os.killpg(pid, signal.SIGCONT)
    s.wait_until(lambda: len(signals(s, job_id)) == 2, "the worker has noticed it")
    assert signals(s, job_id) == [("SIGSTOP", "pause"), ("SIGCONT", None)]
    assert not s.queue.get(job_id).waits_for
    (s.home / "a.go").touch()
    s.wait_for(job_id, "completed")
