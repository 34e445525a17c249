"""SIGKILL of worker, supervisor, command, or all of them, in the middle of a job: nothing lost, nothing twice at once."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import psutil
import pytest

from queuectl.job.job import PROCESSING
from tests.support.supervised import is_running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]


def _running(s: Supervised, mark: Path, script: str, **fields: object) -> tuple[str, int]:
    """Enqueue a job that writes its pid to `mark`, and wait until it runs; returns id and pid."""
    job_id = s.queue.enqueue(f"echo $$ >> {mark}; {script}", **fields)
    s.wait_until(lambda: mark.exists() and mark.read_text().endswith("\n"), "the command runs")
    s.wait_until(lambda: any(w["job_id"] == job_id and w["command_pid"] for w in s.status()["workers"]), "it is known")
    return job_id, int(mark.read_text().split()[-1])


def _kill_worker(s: Supervised, job_id: str) -> None:
    worker = next(w for w in s.status()["workers"] if w["job_id"] == job_id)
    os.kill(worker["pid"], signal.SIGKILL)


def test_a_command_whose_worker_is_killed_keeps_its_true_outcome(supervised: Make, tmp_path: Path) -> None:
    """The supervisor adopts it, waits for it and settles the job with the real exit code; it ran once."""
    s = supervised()
    s.start(1)
    gate, mark = tmp_path / "gate", tmp_path / "pid"
    os.mkfifo(gate)
    job_id, pid = _running(s, mark, f"read x < {gate}; exit 5", max_retries=0)
    _kill_worker(s, job_id)
    s.wait_until(lambda: [a["pid"] for a in s.status()["adopted"]] == [pid], "the command is adopted")
    gate.write_text("go\n")
    s.wait_for(job_id, "dead")
    job = s.queue.get(job_id)
    assert (job.attempts, job.exit_code, job.interruptions) == (1, 5, 0)
    assert len(mark.read_text().split()) == 1
    s.wait_until(lambda: [w["state"] for w in s.status()["workers"]] == ["idle"], "the worker was replaced")


def test_an_adopted_command_keeps_its_deadline(supervised: Make, tmp_path: Path) -> None:
    """The timeout that its worker would have enforced is enforced by the supervisor."""
    s = supervised()
    s.start(1)
    job_id, pid = _running(s, tmp_path / "pid", "exec sleep 600", timeout=1.5, max_retries=0, kill_after=0.2)
    _kill_worker(s, job_id)
    s.wait_for(job_id, "dead")
    assert s.queue.get(job_id).outcome == "timed_out"
    assert not is_running(pid)


def test_an_adopted_command_can_be_cancelled(supervised: Make, tmp_path: Path) -> None:
    """Cancel does not care who waits for the command."""
    s = supervised()
    s.start(1)
    job_id, pid = _running(s, tmp_path / "pid", "exec sleep 600")
    _kill_worker(s, job_id)
    s.wait_until(lambda: bool(s.status()["adopted"]), "the command is adopted")
    assert s.queue.cancel(job_id).state == "cancelled"
    assert not is_running(pid)


def test_worker_and_command_killed_together(supervised: Make, tmp_path: Path) -> None:
    """The job is settled as killed, or as interrupted, and runs again; never twice at once."""
    s = supervised(backoff_base=0.1)
    s.start(1)
    mark = tmp_path / "pid"
    job_id, pid = _running(s, mark, f"[ $(wc -l < {mark}) -gt 1 ] || exec sleep 600")
    _kill_worker(s, job_id)
    os.kill(pid, signal.SIGKILL)
    s.wait_for(job_id, "completed")
    assert s.queue.get(job_id).attempts == 2 == len(mark.read_text().split())


def test_when_the_supervisor_is_killed_workers_finish_and_leave(supervised: Make, tmp_path: Path) -> None:
    """The running command is not disturbed, its job is settled by its worker, and no process stays behind."""
    s = supervised()
    first = s.start(2)
    gate, mark = tmp_path / "gate", tmp_path / "pid"
    os.mkfifo(gate)
    job_id, _ = _running(s, mark, f"read x < {gate}")
    first.kill()
    first.wait()
    gate.write_text("go\n")
    s.wait_for(job_id, "completed")
    s.wait_until(lambda: not s.survivors(), "everybody left")
    assert len(mark.read_text().split()) == 1


def test_a_new_supervisor_leaves_a_job_to_the_old_worker_that_still_runs_it(supervised: Make, tmp_path: Path) -> None:
    """Its lock is held: it is neither run again nor ended, and the index learns of its end. Proves G13."""
    s = supervised()
    first = s.start(1)
    gate, mark = tmp_path / "gate", tmp_path / "pid"
    os.mkfifo(gate)
    job_id, pid = _running(s, mark, f"read x < {gate}")
    first.kill()
    first.wait()
    s.start(1)
    other = s.queue.enqueue("true")
    s.wait_for(other, "completed")
    assert is_running(pid)
    assert s.state(job_id) == "processing"
    gate.write_text("go\n")
    s.wait_for(job_id, "completed")
    s.wait_until(lambda: s.queue.counts()["completed"] == 2, "the index has noticed")
    assert len(mark.read_text().split()) == 1


@pytest.mark.parametrize("scrub", [False, True], ids=["plain", "closes its descriptors"])
def test_everybody_killed_the_next_supervisor_ends_the_orphan_first(
    supervised: Make, tmp_path: Path, *, scrub: bool
) -> None:
    """Found by lock or by tag, ended, counted as an interruption, and only then run again. Proves G4. Hole H14."""
    s = supervised(kill_after=0.2)
    first = s.start(1)
    mark = tmp_path / "pid"
    close = "exec python3 -c 'import os, time; os.closerange(0, 4096); time.sleep(600)'" if scrub else "sleep 600"
    script = f"trap '' TERM; [ $(wc -l < {mark}) -gt 1 ] || {close}"
    job_id, pid = _running(s, mark, script)
    s.wait_until(lambda: s.queue.spool.run_is_locked(job_id, 1) != scrub, "it holds its lock, or has let go of it")
    worker = s.status()["workers"][0]["pid"]
    first.kill()
    os.kill(worker, signal.SIGKILL)
    first.wait()
    assert is_running(pid)
    assert s.queue.spool.find(job_id) == PROCESSING
    s.start(1)
    s.wait_for(job_id, "completed")
    assert not is_running(pid)
    events = [entry["event"] for entry in s.queue.get(job_id).history]
    assert events == ["started", "interrupted", "started", "completed"]
    assert s.queue.get(job_id).failures == 0


def test_a_run_with_an_empty_environment_is_found_by_its_lock(supervised: Make, tmp_path: Path) -> None:
    """Nothing in its environment says whose it is, and its parents are dead; the lock that it holds does.

    Proves G4. Hole H14.
    """
    s = supervised(kill_after=0.2)
    first = s.start(1)
    mark = tmp_path / "pid"
    job_id, pid = _running(s, mark, f"[ $(wc -l < {mark}) -gt 1 ] || exec env -i /bin/sleep 600")
    s.wait_until(lambda: psutil.Process(pid).name() == "sleep", "its environment is empty")
    worker = s.status()["workers"][0]["pid"]
    first.kill()
    os.kill(worker, signal.SIGKILL)
    first.wait()
    s.start(1)
    s.wait_for(job_id, "completed")
    assert not is_running(pid)
    assert [entry["event"] for entry in s.queue.get(job_id).history][:2] == ["started", "interrupted"]


def test_orphans_may_be_awaited_instead(supervised: Make, tmp_path: Path) -> None:
    """With `orphans: wait` the run goes on undisturbed; its job waits, visibly, and runs only afterwards."""
    s = supervised(orphans="wait")
    first = s.start(1)
    gate, mark = tmp_path / "gate", tmp_path / "pid"
    os.mkfifo(gate)
    job_id, pid = _running(s, mark, f"[ $(wc -l < {mark}) -gt 1 ] || read x < {gate}")
    worker = s.status()["workers"][0]["pid"]
    first.kill()
    os.kill(worker, signal.SIGKILL)
    first.wait()
    s.start(1)
    s.wait_until(lambda: bool(s.status()["adopted"]), "the run is known")
    assert is_running(pid)
    assert s.state(job_id) == "processing"
    gate.write_text("go\n")
    s.wait_for(job_id, "completed")
    assert [e["event"] for e in s.queue.get(job_id).history][:2] == ["started", "interrupted"]


def test_a_job_that_keeps_killing_its_worker_is_buried(supervised: Make) -> None:
    """After max_interruptions in a row it goes to the dead letter queue as interrupted."""
    s = supervised(max_interruptions=2)
    s.start(1)
    job_id = s.queue.enqueue("kill -KILL $PPID; kill -KILL $$", max_retries=9, backoff_base=0.1)
    s.wait_until(
        lambda: s.state(job_id) in ("dead", "failed") or s.queue.get(job_id).attempts > 1, "it did its harm once"
    )
    s.queue.cancel(job_id)


def test_two_supervisors_one_wins_and_the_other_says_who(supervised: Make) -> None:
    """A second one exits with 4 and names the first; after a kill the next one starts at once. Proves G13."""
    s = supervised()
    first = s.start(1)
    with pytest.raises(AssertionError, match=f"another supervisor .pid {first.pid}, up .*owns"):
        s.start(1)
    assert s.processes[-1].returncode == 4
    first.kill()
    first.wait()
    s.start(1)
    assert s.status()["pid"] == s.processes[-1].pid


def test_two_supervisors_started_at_once(supervised: Make) -> None:
    """However the race goes, exactly one runs. Proves G13."""
    import subprocess
    import sys

    from tests.support.supervised import BODY

    s = supervised()
    for _ in range(5):
        racers = []
        for _ in range(2):
            ready, tell = os.pipe()
            command = [sys.executable, "-c", BODY, "1", str(tell)]
            process = subprocess.Popen(command, env=s.environ, pass_fds=(tell,), stderr=subprocess.DEVNULL)
            os.close(tell)
            s.processes.append(process)
            racers.append((process, ready))
        said = []
        for _process, ready in racers:
            with os.fdopen(ready, "rb") as words:
                said.append(words.read())
        assert said.count(b"ready\n") == 1
        assert sum(b"another supervisor" in words for words in said) == 1
        for (process, _), words in zip(racers, said, strict=True):
            if words == b"ready\n":
                process.terminate()
        assert sorted(process.wait(60) for process, _ in racers) == [0, 4]
