"""wait: until jobs have ended, with their fate as the exit code."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.errors import Conflict
from tests.cli.support import Jobs, Ran, Run

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


def test_a_job_that_does_not_exist_is_named_beside_one_that_failed(cli: Run, jobs: Jobs) -> None:
    jobs.dead("bk")
    ran = cli("wait", "bk", "nosuch")
    assert ran.code == 7
    assert 'queuectl: no job "nosuch"' in ran.err.splitlines()
    assert "queuectl: job bk is dead after 1 attempt: killed by SIGKILL" in ran.err.splitlines()
    assert ran.err.splitlines()[-1] == "queuectl: 1 of 2 jobs could not be waited for"
    ran = cli("wait", "bk", "nosuch", "--json")
    assert (ran.code, [job["id"] for job in json.loads(ran.out)]) == (7, ["bk"])
    assert [error["id"] for error in json.loads(ran.err)["errors"]] == ["nosuch"]


def test_one_that_does_not_exist_is_named_before_the_waiting(cli: Run, jobs: Jobs) -> None:
    jobs.pending("p")
    ran = cli("wait", "p", "nosuch", "--timeout", "0")
    assert (ran.code, ran.err.splitlines()[0]) == (124, 'queuectl: no job "nosuch"')


def test_tsv_has_a_line_for_each_job_as_it_ends(cli: Run, jobs: Jobs) -> None:
    jobs.completed("c")
    jobs.dead("d")
    names, *lines = [line.split("\t") for line in cli("wait", "c", "d", "-o", "tsv").out.splitlines()]
    assert names[:2] == ["id", "state"]
    assert [line[:2] for line in lines] == [["c", "completed"], ["d", "dead"]]


def test_time_that_runs_out_is_exit_124(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a")
    ran = cli("wait", "a", "--timeout", "0")
    assert (ran.code, ran.err) == (124, "queuectl: 1 of 1 job had not ended after 0s\n")
    assert cli("wait", "a", "--timeout", "soon").code == 2


def test_a_single_job_says_the_last_line_of_its_error_and_where_there_is_more_to_read(cli: Run, jobs: Jobs) -> None:
    jobs.dead("d", {"exit_code": 1, "error": "Traceback ...\nOSError: no such disk\n"})
    ran = cli("wait", "d")
    assert ran.err.splitlines()[0].endswith(": OSError: no such disk")
    assert ran.err.splitlines()[1] == "          hint: queuectl logs d"
    Path(jobs.queue.layout.output_of("d", 1)).write_bytes(b"")
    assert cli("wait", "d").err.splitlines()[1] == "          hint: queuectl show d"


def test_many_that_failed_are_grouped_by_their_error(cli: Run, jobs: Jobs) -> None:
    """298 of 300 with the same error, whatever names and numbers it holds, are one line; so is each other error."""
    for number in range(28):
        jobs.dead(
            f"d{number}",
            {"exit_code": 1, "error": f"cat: /data/{number}.txt: No such file or directory"},
            command=f"cat /data/{number}.txt",
        )
    jobs.dead("other", {"exit_code": 2, "error": "cat: broken"}, command="cat x")
    jobs.cancelled("c")
    ids = [f"d{number}" for number in range(28)]
    ran = cli("wait", *ids, "other", "c")
    assert (ran.code, ran.out) == (10, "")
    assert ran.err.splitlines() == [
        "28 × killed by SIGKILL: cat: /data/0.txt: No such file or directory; e.g. d0",
        "1 × killed by SIGKILL: cat: broken; e.g. other",
        "1 × cancelled; e.g. c",
        "queuectl: 30 of 30 jobs did not succeed",
        "          hint: queuectl logs d0",
    ]


def test_progress_is_shown_on_a_terminal_and_nowhere_else(cli: Run, jobs: Jobs, terminal: Callable[..., Ran]) -> None:
    jobs.completed("a")
    jobs.dead("d")
    jobs.pending("p")
    shown = terminal("wait", "a", "d", "p", "--timeout", "1").out
    assert "Waiting  2/3, 1 failed" in shown
    assert "2/3" not in cli("wait", "a", "d", "p", "--timeout", "0.5").err


def test_why_nothing_moves_is_said_once_and_again_when_it_changes(cli: Run, jobs: Jobs, queuectl: Run) -> None:
    jobs.pending("a")
    line = [sys.executable, str(ROOT / "queuectl"), "wait", "a"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == (
        "a is waiting to be started: no supervisor is running (queuectl worker start --count 2)\n"
    )
    with jobs.spool.take("a") as claim:
        claim.hold()
    assert process.stderr.readline() == (
        "a is waiting to be started: it is held (queuectl release a); no supervisor is running (queuectl worker start --count 2)\n"
    )
    jobs.queue.cancel("a")
    _, err = process.communicate()
    assert (process.returncode, err.splitlines()[0]) == (10, "queuectl: job a was cancelled")


def test_a_timeout_says_why_if_nothing_has_yet(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a")
    jobs.held("h")
    jobs.pending("later", run_at="2100-01-01T00:00:00Z")
    ran = cli("wait", "a", "h", "later", "--timeout", "0.01")
    assert ran.code == 124
    assert "3 jobs waiting to be started: no supervisor is running" in ran.err
    assert "1 is held; 1 is scheduled to run later, the first in " in ran.err
    assert cli("wait", "a", "--timeout", "0.01", "-q").code == 124


def test_a_job_does_not_wait_for_itself(cli: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    with jobs.running("a"):
        monkeypatch.setenv("QUEUECTL_RUN_ID", "a.1")
        for words in (["wait", "a"], ["logs", "-f", "a"]):
            ran = cli(*words)
            assert (ran.code, "this command runs in job a: it would wait for itself" in ran.err) == (4, True)
        with pytest.raises(Conflict):
            jobs.queue.wait(["a"])
        monkeypatch.setenv("QUEUECTL_RUN_ID", "a.2")  # what has outlived an attempt may wait for the next one
        assert cli("wait", "a", "--timeout", "0").code == 124


def test_json_is_an_array_also_of_one_job_and_when_time_runs_out(cli: Run, jobs: Jobs) -> None:
    jobs.completed("b")
    jobs.pending("a")
    assert [job["id"] for job in json.loads(cli("wait", "b", "--json").out)] == ["b"]
    ran = cli("wait", "a", "b", "--json", "--timeout", "0.01")
    assert ran.code == 124
    assert [(job["id"], job["state"]) for job in json.loads(ran.out)] == [("a", "pending"), ("b", "completed")]
    assert json.loads(ran.err)["exit_code"] == 124


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
    assert (process.returncode, err) == (130, "Stopped waiting; 1 job continues\n")


NO_PROGRAM = {"exit_code": 127, "failed_to_start": True, "error": "nosuch: no such program in PATH=/bin"}


@pytest.mark.parametrize("line", ["wait d", "wait d e", "wait --propagate d", "logs -f d"])
def test_the_reason_stands_beside_the_exit_code(cli: Run, jobs: Jobs, line: str) -> None:
    for job_id in "de":
        with jobs.running(job_id) as claim:
            claim.move_to_dead("retries_exhausted", NO_PROGRAM)
    expected = "d is dead after 1 attempt: exit code 127: nosuch: no such program in PATH=/bin"
    assert expected in [text.removeprefix("queuectl: job ") for text in cli(*line.split()).err.splitlines()]


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
