"""wait: until jobs have ended, with their fate as the exit code."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import Jobs, Run

ROOT = Path(__file__).resolve().parents[2]


def test_jobs_that_succeeded(cli: Run, jobs: Jobs) -> None:
    jobs.completed("a")
    jobs.completed("b")
    ran = cli("wait", "a", "b")
    assert (ran.code, ran.out) == (0, "")
    assert [line.split(" in ")[0] for line in ran.err.splitlines()] == ["a completed", "b completed"]


def test_a_job_that_did_not_succeed_is_exit_10(cli: Run, jobs: Jobs) -> None:
    jobs.dead("d")
    ran = cli("wait", "d")
    assert (ran.code, ran.out) == (10, "")
    assert ran.err == ("queuectl: job d is dead after 1 attempt: killed by SIGKILL\n          hint: queuectl logs d\n")


def test_so_is_one_that_was_cancelled(cli: Run, jobs: Jobs) -> None:
    jobs.cancelled("c")
    assert cli("wait", "c").code == 10
    assert cli("wait", "c", "--propagate").code == 10


def test_propagate_exits_with_the_job_s_own_code(cli: Run, jobs: Jobs) -> None:
    jobs.dead("d", {"exit_code": 42, "signal": "SIGKILL"})
    jobs.completed("c")
    assert cli("wait", "c", "d", "--propagate").code == 42
    assert cli("wait", "c", "--propagate").code == 0


def test_several_of_which_some_failed(cli: Run, jobs: Jobs) -> None:
    jobs.dead("d")
    jobs.completed("c")
    ran = cli("wait", "c", "d")
    assert ran.code == 10
    assert ran.err.splitlines()[-1] == "queuectl: 1 of 2 jobs did not succeed"


def test_a_job_that_does_not_exist(cli: Run, jobs: Jobs) -> None:
    jobs.completed("c")
    assert cli("wait", "nope").code == 3
    assert cli("wait", "nope", "c").code == 7


def test_time_that_runs_out_is_exit_124(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a")
    ran = cli("wait", "a", "--timeout", "0")
    assert (ran.code, ran.err) == (124, "queuectl: 1 of 1 job had not ended after 0s\n")
    assert cli("wait", "a", "--timeout", "soon").code == 2


def test_json_is_each_job_as_it_ended(cli: Run, jobs: Jobs) -> None:
    jobs.completed("a")
    jobs.completed("b")
    ran = cli("wait", "a", "b", "-o", "jsonl")
    assert [json.loads(line)["id"] for line in ran.out.splitlines()] == ["a", "b"]
    assert [job["state"] for job in json.loads(cli("wait", "a", "b", "--json").out)] == ["completed"] * 2


def test_ctrl_c_ends_the_waiting_not_the_job(jobs: Jobs) -> None:
    jobs.completed("a")
    jobs.pending("b")
    line = [sys.executable, str(ROOT / "queuectl"), "wait", "a", "b"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("a completed")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert (process.returncode, err) == (130, "Not waiting any more; 1 job goes on\n")


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ({"exit_code": 3, "signal": "SIGTERM"}, "killed by SIGTERM"),
        ({"exit_code": 124, "timed_out": True, "signal": ""}, "killed by "),
    ],
)
def test_how_it_ended_is_said(cli: Run, jobs: Jobs, details: dict[str, object], words: str) -> None:
    jobs.dead("d", details)
    assert f"d is dead after 1 attempt: {words}" in cli("wait", "d").err
