"""nice, ionice, memory, cpu_time and shell of a job: what the command sees, and that each limit ends it."""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]

MIB = 1 << 20
# Takes memory until it is ended; 50 MiB at once and no more than 400.
TAKES = "import time; taken = [b'x' * (50 << 20) for _ in range(8)]; print('all', flush=True); time.sleep(60)"
# Takes 60 MiB, which its three children share with it, for long enough to be measured.
SHARES = "import os, time; taken = b'x' * (60 << 20); [os.fork() and os.fork()]; time.sleep(0.7)"
SPINS = "while :; do :; done"
# A tree whose processes each use little, and end.
SPINS_IN_CHILDREN = "while :; do sh -c 'i=0; while [ $i -lt 5000 ]; do i=$((i+1)); done'; done"


def test_priorities_are_those_of_the_job_in_all_its_processes(supervised: Make) -> None:
    s = supervised()
    s.start(1)
    nice = s.queue.enqueue("nice; sh -c nice", nice=9)
    plain = s.queue.enqueue("nice")
    s.wait_for(plain, "completed")
    assert s.output(nice).split() == [b"9", b"9"]
    assert s.output(plain).split() == [str(os.getpriority(os.PRIO_PROCESS, 0)).encode()]
    if shutil.which("ionice"):
        disk = [s.queue.enqueue("ionice", ionice=name) for name in ("idle", "best-effort:6")]
        s.wait_for(disk[1], "completed")
        assert [s.output(job_id).strip() for job_id in disk] == [b"idle", b"best-effort: prio 6"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may set every priority")
def test_a_priority_that_this_user_may_not_set_is_a_failed_attempt(supervised: Make) -> None:
    s = supervised()
    s.start(1)
    job_id = s.queue.enqueue("true", nice=-20, max_retries=0)
    s.wait_for(job_id, "dead")
    job = s.queue.get(job_id)
    assert (job.outcome, job.exit_code) == ("failed_to_start", 126)
    assert "cannot set nice to -20" in (job.last_error or "")


@pytest.mark.parametrize(
    ("command", "fields", "outcome", "code", "words"),
    [
        (["python3", "-c", TAKES], {"memory": 120 * MIB}, "memory_limit", 137, "of the job's 120 MiB"),
        (f'python3 -c "{TAKES}" & wait', {"memory": 120 * MIB}, "memory_limit", 137, "out of memory: used "),
        (SPINS, {"cpu_time": 0.4}, "cpu_limit", 152, "used more than the job's cpu_time of 0.4s"),
        (f"trap '' XCPU TERM; {SPINS}", {"cpu_time": 1, "kill_after": 0.1}, "cpu_limit", 152, "cpu_time"),
        (SPINS_IN_CHILDREN, {"cpu_time": 1}, "cpu_limit", 152, "cpu_time"),
    ],
)
def test_a_command_that_uses_too_much_is_ended_and_fails(
    supervised: Make, command: str | list[str], fields: dict[str, float], outcome: str, code: int, words: str
) -> None:
    s = supervised()
    s.start(1)
    job_id = s.queue.enqueue(command, max_retries=0, **fields)  # type: ignore[arg-type]
    s.wait_for(job_id, "dead")
    job = s.queue.get(job_id)
    assert (job.outcome, job.exit_code, job.dead_reason) == (outcome, code, "retries_exhausted"), job.as_dict()
    assert words in (job.last_error or "")
    assert b"all" not in s.output(job_id)


def test_it_is_retried_like_every_failure(supervised: Make) -> None:
    s = supervised(backoff_base=0.01)
    s.start(1)
    job_id = s.queue.enqueue(["python3", "-c", TAKES], max_retries=1, memory="100M")
    s.wait_for(job_id, "dead")
    assert [entry["event"] for entry in s.queue.get(job_id).history] == ["started", "failed", "started", "died"]


def test_memory_that_the_processes_of_a_job_share_counts_once(supervised: Make) -> None:
    s = supervised()
    s.start(1)
    job_id = s.queue.enqueue(["python3", "-c", SHARES], max_retries=0, memory=130 * MIB)
    s.wait_for(job_id, "completed")


def test_the_limits_stay_when_the_worker_is_killed(supervised: Make) -> None:
    """The supervisor adopts the command, and with it its limits."""
    s = supervised()
    s.start(1)
    go = s.home / "go"
    command = f'while [ ! -e {go} ]; do sleep 0.05; done; exec python3 -c "{TAKES}"'
    job_id = s.queue.enqueue(command, max_retries=0, memory=120 * MIB)
    s.wait_until(lambda: bool(s.status()["workers"][0]["command_pid"]), "the worker has reported the start")
    os.kill(s.status()["workers"][0]["pid"], signal.SIGKILL)
    s.wait_until(
        lambda: [run["job_id"] for run in s.status()["adopted"]] == [job_id], "the supervisor has adopted the command"
    )
    go.touch()
    s.wait_for(job_id, "dead")
    assert s.queue.get(job_id).outcome == "memory_limit"


def test_a_shell_of_the_job_runs_its_command(supervised: Make) -> None:
    s = supervised()
    s.start(1)
    job_id = s.queue.enqueue("import sys; print(sys.version_info[0], sys.argv)", shell="python3")
    missing = s.queue.enqueue("true", shell="no-such-shell")
    s.wait_for(missing, "dead")
    assert s.output(job_id) == b"3 ['-c']\n"
    job = s.queue.get(missing)
    assert (job.dead_reason, job.exit_code) == ("program_not_found", 127)
    assert "no-such-shell: no such program" in (job.last_error or "")
