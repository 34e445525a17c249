"""enqueue --nice, --ionice, --memory, --cpu-time, --shell: what is stored, refused, warned of and shown."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from queuectl.command_location import StartCheck
from tests.cli.support import Jobs, Run, refused, stored

TYPED = ["--nice", "5", "--ionice", "best-effort:7", "--memory", "1.5G", "--cpu-time", "1h30m", "--shell", "sh"]
STORED = {"nice": 5, "ionice": "best-effort:7", "memory": 3 << 29, "cpu_time": 5400, "shell": "sh"}


def test_limits_are_stored_and_shown(cli: Run, home: Path) -> None:
    job_id = cli("enqueue", *TYPED, "--command", "true").out
    assert STORED.items() <= stored(home, job_id).items()
    lines = {" ".join(line.split()) for line in cli("show", job_id.strip()).out.splitlines()}
    assert {"shell sh", "nice 5", "ionice best-effort:7", "memory at most 1.5 GiB"} <= lines
    assert "cpu time at most 1h 30m" in lines


def test_limits_apply_to_each_job_of_map_and_win_over_those_of_a_file(cli: Run, home: Path) -> None:
    ids = cli("map", "--memory", "64M", "--nice", "1", "echo {}", stdin=b"a\nb\n").out.split()
    assert [{"memory": 64 << 20, "nice": 1}.items() <= stored(home, job_id).items() for job_id in ids] == [True] * 2
    line = b'{"command": "true", "nice": 3, "memory": 1048576, "shell": "bash"}\n'
    job_id = cli("enqueue", "-", "--nice", "2", stdin=line).out
    assert {"nice": 2, "memory": 1 << 20, "shell": "bash"}.items() <= stored(home, job_id).items()


@pytest.mark.parametrize(
    ("typed", "code", "line"),
    [
        (["--nice", "20"], 6, 'queuectl: "nice" must be an integer from -20 to 19, not 20'),
        (["--nice", "low"], 2, 'queuectl: --nice must be an integer, not "low"'),
        (["--memory", "lots"], 2, 'queuectl: --memory must be a size: bytes, or as "64MiB", "1GiB", not "lots"'),
        (
            ["--memory", "500"],
            6,
            'queuectl: "memory" must be a number of bytes from 1048576 (1 MiB) to 1125899906842624 (1 PiB), not 500',
        ),
        (
            ["--cpu-time", "0"],
            6,
            'queuectl: "cpu_time" must be a number of seconds above 0, at most 315360000 (ten years), not 0.0',
        ),
        (
            ["--cpu-time", "x"],
            2,
            'queuectl: --cpu-time must be a duration: seconds, or as "90s", "10m", "2h30m", "3d", not "x"',
        ),
    ],
)
def test_a_limit_that_cannot_be_meant_is_refused(cli: Run, typed: list[str], code: int, line: str) -> None:
    refused(cli("enqueue", *typed, "--command", "true"), code, line)


def test_a_shell_needs_a_command(cli: Run) -> None:
    line = 'queuectl: "shell" runs a "command"; a job with "argv" is run without a shell'
    refused(cli("enqueue", "--shell", "bash", "--", "true"), 6, line)
    refused(cli("enqueue", '{"argv": ["true"], "shell": "bash"}'), 6)


def test_a_shell_that_does_not_exist_is_a_warning(cli: Run) -> None:
    ran = cli("enqueue", "--shell", "no-such-shell", "--command", "a b")
    assert (ran.code, ran.err) == (0, 'queuectl: there is no program "no-such-shell" in PATH\n')
    assert cli("enqueue", "--no-check", "--shell", "no-such-shell", "--command", "a b").err == ""


def test_a_priority_that_this_user_may_not_set_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (25, 25))  # it may go down to -5
    check = StartCheck()
    assert check.check({"command": "true", "cwd": "/", "nice": -5}) is None
    job = {"command": "true", "cwd": "/", "nice": -6}
    assert check.check(job) == "nice -6 needs root, or a limit (ulimit -e) of 26"
    assert check.check(job) is None  # it is said once


def test_limits_are_edited(cli: Run, home: Path, jobs: Jobs) -> None:
    jobs.pending("j", nice=1, shell="bash")
    assert cli("edit", "j", "--set", "nice=3", "--set", "memory=100M", "--set", "cpu_time=1m").code == 0
    job = jobs.queue.get("j")
    assert [job.fields[name] for name in ("nice", "memory", "cpu_time")] == [3, 100 << 20, 60]
    refused(cli("edit", "j", "--set", 'argv=["true"]', "--unset", "command"), 6)
    assert cli("edit", "j", "--set", 'argv=["true"]', "--unset", "command", "--unset", "shell").code == 0
