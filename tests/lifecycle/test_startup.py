"""Starting a supervisor from the command line: who comes second joins, who fails says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from queuectl.errors import QueueError
from tests.support.supervised import Supervised

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[..., Supervised]


def _begin(s: Supervised, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "queuectl", *words]
    return subprocess.Popen(command, env=s.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_who_start_workers_at_once_share_one_supervisor(supervised: Make) -> None:
    """Both succeed; the workers of both run under one supervisor, which is nobody's zombie afterwards."""
    s = supervised()
    both = [_begin(s, "worker", "start", "--count", "2") for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert len(out.split()) == 2
    assert sorted(w["name"] for w in s.status()["workers"]) == [f"worker-{n}" for n in (1, 2, 3, 4)]
    stop = _begin(s, "worker", "stop", "--wait")
    stop.communicate(timeout=60)
    assert stop.returncode == 0
    again = _begin(s, "worker", "start", "--count", "1")
    assert again.communicate(timeout=60)[0] == "worker-1\n"
    _begin(s, "worker", "stop", "--wait").communicate(timeout=60)


def test_a_supervisor_that_cannot_start_says_why_with_its_own_exit_code(supervised: Make) -> None:
    """A broken configuration is 6, with file and line, in the terminal of the one who started it."""
    s = supervised()
    (s.home / "config.yaml").write_text("\ntimeout: soon\n")
    process = _begin(s, "worker", "start")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 6
    assert "config.yaml:2: timeout must be" in err
    assert not s.has_supervisor()


@pytest.mark.parametrize("how", [("--count", "3"), ("--count", "3", "--foreground")])
def test_a_limit_of_open_files_that_is_too_low_is_refused_with_the_number_that_is_needed(
    supervised: Make, how: tuple[str, ...]
) -> None:
    """Else no command could be given its lock, and every job would fail to start."""
    s = supervised()
    limited = ["sh", "-c", 'ulimit -n 100; exec "$@"', "sh", sys.executable, "-m", "queuectl", "worker", "start", *how]
    done = subprocess.run(limited, env=s.environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "a process may have 100 files open (ulimit -n); " in done.stderr
    assert "supervisor need 128" in done.stderr
    assert "have root raise it" in done.stderr
    assert not s.has_supervisor()


def test_workers_are_added_only_as_far_as_the_limit_of_open_files_lets_them(supervised: Make) -> None:
    s = supervised(prelude="import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (130, 4096))\n")
    s.start(1)
    for verb, count in (("start", 33), ("scale", 34)):
        with pytest.raises(QueueError, match=r"130 files open .*; 34 workers and their supervisor need 132") as refused:
            s.ask(verb, count=count)
        assert refused.value.hint == "ulimit -n 4096"
    assert len(s.status()["workers"]) == 1


def test_in_the_foreground_it_logs_to_the_terminal_and_refuses_a_second(supervised: Make) -> None:
    """`--foreground` beside a running one exits 4 and names it."""
    s = supervised()
    first = s.start(1)
    second = _begin(s, "worker", "start", "--foreground")
    _, err = second.communicate(timeout=60)
    assert second.returncode == 4
    assert f"another supervisor (pid {first.pid}, up " in err


def test_a_supervisor_that_nobody_gives_a_worker_leaves_when_its_last_worker_is_stopped(supervised: Make) -> None:
    """It exits with its last worker, whichever way that one goes."""
    s = supervised()
    supervisor = s.start(2)
    s.ask("scale", count=0)
    assert supervisor.wait(60) == 0


def test_the_daemon_keeps_nothing_of_its_starter(supervised: Make) -> None:
    """Its own session, / as directory, no terminal, none of the starter's descriptors."""
    s = supervised()
    read, write = os.pipe()
    os.set_inheritable(write, True)
    process = subprocess.Popen(
        [sys.executable, "-m", "queuectl", "worker", "start"],
        env=s.environ,
        pass_fds=(write,),
        stdout=subprocess.DEVNULL,
    )
    assert process.wait(60) == 0
    os.close(write)
    pid = s.status()["pid"]
    assert os.getsid(pid) != os.getsid(0)
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.read(read, 1) == b"", "the daemon would keep our pipe open for ever"
    os.close(read)
    _begin(s, "worker", "stop", "--wait").communicate(timeout=60)


@pytest.mark.parametrize("leftovers", ["end", "leave"])
def test_a_supervisor_that_a_job_starts_is_ended_with_it_unless_it_may_stay(
    supervised: Make, tmp_path: Path, leftovers: str
) -> None:
    """The job's output says so when it is started, and its record when it was ended. It is not a process of the job."""
    s = supervised()
    s.start(1)
    other = Supervised(tmp_path / "other")
    start = f"{sys.executable} -m queuectl --home {other.home} worker start"
    with other:
        job_id = s.queue.enqueue(start, leftovers=leftovers, env={"PYTHONPATH": s.environ["PYTHONPATH"]})
        s.wait_for(job_id, "completed")
        assert f"started by job {job_id} and ends with it, unless" in s.output(job_id).decode()
        assert other.has_supervisor() is (leftovers == "leave")
        ended = s.queue.get(job_id).history[-1].get("leftovers", {"processes": []})["processes"]
        assert any("worker start" in each["command"] for each in ended) is (leftovers == "end")
        if leftovers == "leave":
            environ = psutil.Process(other.status()["pid"]).environ()
            assert "QUEUECTL_RUN_ID" not in environ
            assert environ["QUEUECTL_HOME"] == str(other.home)
            other.ask("stop", now=True)


EVERY_SIGNAL_IGNORED_AND_BLOCKED = """
import os, signal, sys
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize(
    "how",
    [
        ("sh", "-c", '"$@" & wait $!', "sh"),
        ("nohup",),
        ("sh", "-c", "trap '' HUP INT QUIT USR1 TERM CHLD; exec \"$@\"", "sh"),
        (sys.executable, "-c", EVERY_SIGNAL_IGNORED_AND_BLOCKED),
    ],
    ids=["in the background of a shell", "nohup", "trap", "all of them, blocked too"],
)
@pytest.mark.parametrize("where", ["background", "foreground"])
def test_a_command_starts_with_every_signal_at_its_default_and_none_blocked(
    supervised: Make, how: tuple[str, ...], where: str
) -> None:
    """However the supervisor was started; and the supervisor itself hears the signals that it waits for."""
    s = supervised()
    line = [
        *how,
        sys.executable,
        "-m",
        "queuectl",
        "worker",
        "start",
        *(["--foreground"] if where == "foreground" else []),
    ]
    starter = subprocess.Popen(line, env=s.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    s.processes.append(starter)
    s.wait_until(s.has_supervisor, "it answers")
    job_id = s.queue.enqueue("grep Sig /proc/self/status; kill -HUP $$")
    s.wait_until(
        lambda: s.queue.get(job_id).attempts == 1 and s.state(job_id) == "failed", "it was ended by the signal"
    )
    said = dict(line.split(":\t") for line in s.output(job_id).decode().splitlines())
    assert said["SigIgn"] == said["SigBlk"] == "0" * 16
    assert s.queue.get(job_id).outcome == "signal"
    os.kill(s.status()["pid"], signal.SIGTERM)
    s.wait_until(lambda: not s.survivors(), "it has drained")
