"""Starting a command with limits, what is measured of its processes, and how its end is explained."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from queuectl.config.settings import Settings
from queuectl.executor import limits
from queuectl.executor.attempt import RunningAttempt
from queuectl.executor.limits import NO_LIMITS, LimitRefused, Limits, Used, limits_of, measure, spawn_limited
from queuectl.executor.spawn import spawn
from queuectl.job.job import Job
from queuectl.job.job_file import parse, render_new
from queuectl.job.outcome import CpuLimit, Exited, MemoryLimit, Outcome, Signaled

MIB = 1 << 20


def start(tmp_path: Path, command: str, wanted: Limits | None) -> str:
    """Run a shell command to its end and return what it wrote; without limits as commands without them are run."""
    fd = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    files = ((0, os.devnull), (113, fd), (1, fd), (2, fd))
    arguments, environment = ["sh", "-c", command], {"PATH": "/usr/bin:/bin"}
    if wanted is None:
        pid = spawn("/bin/sh", arguments, environment, files)
    else:
        pid = spawn_limited("/bin/sh", arguments, environment, files, wanted)
    os.close(fd)
    os.waitpid(pid, 0)
    return (tmp_path / "out").read_text()


def test_a_job_without_limits_has_none() -> None:
    assert limits_of({"command": "true", "timeout": 5}) is NO_LIMITS
    assert limits_of({"nice": 5, "cpu_time": 1}) == Limits(5, None, None, 1)


def test_priorities_and_the_time_of_a_process_are_inherited(tmp_path: Path) -> None:
    said = start(tmp_path, "nice; sh -c nice; ulimit -S -t; ulimit -H -t", Limits(7, None, None, 1.5))
    assert said.split() == ["7", "7", "2", "12"]


def test_a_lower_limit_of_this_process_is_kept(tmp_path: Path) -> None:
    inner = f"""
import sys; sys.path.insert(0, {str(Path.cwd())!r})
import os, resource
from queuectl.executor.limits import Limits, spawn_limited
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
os.waitpid(spawn_limited("/bin/sh", ["sh", "-c", "ulimit -S -t; ulimit -H -t"], {{}}, (), Limits(None, None, None, 60)), 0)
"""
    assert subprocess.run([sys.executable, "-c", inner], capture_output=True, check=True).stdout.split() == [b"30"] * 2


def test_the_command_starts_as_every_other_does(tmp_path: Path) -> None:
    """The same signals, session, descriptors and environment."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        shown = "grep ^Sig[BI] /proc/self/status; ls /proc/self/fd; env; test $(ps -o sid= -p $$) = $$ && echo leads"
        limited, plain = start(tmp_path, shown, Limits(1, None, None, None)), start(tmp_path, shown, None)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert limited == plain
    assert limited.endswith("leads\n")


@pytest.mark.parametrize(
    ("wanted", "broken", "words"),
    [
        (Limits(-5, None, None, None), "os.setpriority", "cannot set nice to -5: Operation not permitted"),
        (Limits(None, "realtime", None, None), "psutil.Process.ionice", "cannot set ionice to realtime: Operation not"),
        (Limits(None, None, None, 5), "resource.setrlimit", "cannot limit cpu_time: Operation not permitted"),
    ],
)
def test_what_the_system_refuses_is_an_error_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: Limits, broken: str, words: str
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "refused")

    monkeypatch.setattr(broken, refuse)
    with pytest.raises(LimitRefused, match=words):
        start(tmp_path, f"touch {tmp_path}/ran", wanted)
    assert not (tmp_path / "ran").exists()


def test_a_program_that_cannot_be_executed_is_an_error_and_leaves_no_process() -> None:
    with pytest.raises(FileNotFoundError):
        spawn_limited("/no/such/program", ["x"], {}, (), Limits(1, None, None, None))
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


# --- measuring


def test_memory_that_processes_share_counts_once_above_the_limit() -> None:
    code = (
        "import os, sys; data = b'x' * (64 << 20); child = os.fork()\n"
        "if child: print(child, flush=True)\n"
        "sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        pids = [process.pid, int(process.stdout.readline())]
        assert measure(pids).memory_bytes > 2 * 64 * MIB
        assert 64 * MIB < measure(pids, 100 * MIB).memory_bytes < 2 * 64 * MIB
    finally:
        process.communicate("")


def test_a_process_that_has_ended_uses_nothing() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert measure([process.pid], 0) == Used(0, 0.0)


# --- how an end is explained


def attempt_of(used: Used = Used(0, 0.0), **fields: Any) -> RunningAttempt:  # noqa: B008 - immutable
    record = parse(render_new({"id": "j", "command": "true", "created_at": "2026-11-24T14:01:58Z", **fields}))
    job = Job("j", record, "processing", 0.0)
    return RunningAttempt(job, 1, Settings(), "/dev/null", 0.0, list, lambda: False, lambda _: used)


def ended(run: RunningAttempt, status: int, cpu_s: float = 0.0, rss_kb: int = 0) -> Outcome:
    run.command_ended(status, resource.struct_rusage((cpu_s, 0.0, rss_kb, *[0] * 13)))
    assert run.ended is not None
    return run.ended.outcome


@pytest.mark.parametrize(
    ("fields", "used", "outcome"),
    [
        ({"memory": MIB}, Used(MIB, 9.0), Exited(0)),
        ({"memory": MIB}, Used(MIB + 1, 0.0), MemoryLimit(MIB + 1, MIB)),
        ({"cpu_time": 2}, Used(9 * MIB, 1.9), Exited(0)),
        ({"cpu_time": 2}, Used(0, 2.0), CpuLimit(2)),
        ({}, Used(1 << 60, 1e9), Exited(0)),
    ],
)
def test_an_attempt_that_uses_more_than_its_limit_is_ended(
    fields: dict[str, Any], used: Used, outcome: Outcome
) -> None:
    run = attempt_of(used, **fields)
    run.step(0.0)
    assert ended(run, 0) == outcome


@pytest.mark.parametrize(
    ("status", "cpu_s", "rss_kb", "outcome"),
    [
        (signal.SIGXCPU, 0.99, 0, CpuLimit(1)),  # the limit of the process itself
        (signal.SIGKILL, 11.0, 0, CpuLimit(1)),  # it ignored SIGXCPU
        (152 << 8, 1.0, 0, CpuLimit(1)),  # a child of the shell was ended, and the shell says so
        (1 << 8, 0.5, 0, Exited(1)),
        (0, 5.0, 1 << 40, Exited(0)),  # it was not noticed in time: it has done its work
        (signal.SIGKILL, 0.0, 1 << 40, MemoryLimit(1 << 50, MIB)),
        (1 << 8, 0.0, 1 << 40, Exited(1)),
    ],
)
def test_the_end_of_a_command_is_explained_by_its_limits(
    status: int, cpu_s: float, rss_kb: int, outcome: Outcome
) -> None:
    assert ended(attempt_of(cpu_time=1, memory=MIB), status, cpu_s, rss_kb) == outcome


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        ("oom_kill 3", "oom_kill 4", Signaled(9, memory_was_short=True)),
        ("oom_kill 3", "oom_kill 3", Signaled(9)),
        ("", "oom_kill 3", Signaled(9)),
    ],
)
def test_a_kill_while_the_kernel_had_no_memory_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str, outcome: Outcome
) -> None:
    vmstat = tmp_path / "vmstat"
    monkeypatch.setattr(limits, "VMSTAT", str(vmstat))
    run = attempt_of()
    vmstat.write_text(f"nr_free_pages 7\n{before}\n")
    run.step(1.0)
    vmstat.write_text(f"nr_free_pages 7\n{after}\n")
    assert ended(run, signal.SIGKILL) == outcome
    assert ended(attempt_of(), signal.SIGKILL) == Signaled(9)  # it ended before the first look
