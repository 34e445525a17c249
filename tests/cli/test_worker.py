"""worker: start, stop, list, scale, restart, logs, with a real supervisor."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from queuectl import control_client
from queuectl.errors import NoSupervisor
from queuectl.spool.layout import Layout
from tests.cli.support import Jobs, Ran, Run

ROOT = Path(__file__).resolve().parents[2]
LINE = [sys.executable, str(ROOT / "queuectl")]
LONG = "echo begun; exec sleep 1000"


@pytest.fixture
def cli(queuectl: Run) -> Run:
    """Each command line in a process of its own: one of them becomes the parent of a supervisor."""
    return queuectl


@pytest.fixture(autouse=True)
def nobody_left(home: Path) -> Iterator[None]:
    """No supervisor outlives its test."""
    yield
    line = [*LINE, "--home", str(home), "worker", "stop", "--now", "--wait"]
    subprocess.run(line, check=True, capture_output=True)


def running(jobs: Jobs, job_id: str) -> str:
    """Have a job that does not end by itself run; returns when it does."""
    jobs.pending(job_id, LONG)
    watch = control_client.Watch(jobs.queue.layout)
    while jobs.queue.get(job_id).state != "processing":
        watch.wait(0.05)
    watch.close()
    return job_id


def supervisor(home: Path) -> int | None:
    """The supervisor's pid; None when none runs."""
    try:
        return int(control_client.ask(Layout(str(home)), {"do": "hello"})["pid"])
    except NoSupervisor:
        return None


# --- without one


def test_stopping_when_none_runs_is_done_already(cli: Run) -> None:
    for line in (["stop"], ["stop", "--wait", "--timeout", "5"], ["stop", "--id", "worker-1"], ["stop", "--now"]):
        ran = cli("worker", *line)
        assert (ran.code, ran.out, ran.err) == (0, "", "No worker is running\n")
    assert json.loads(cli("worker", "stop", "--json").out) == {"action": "stop", "workers": []}


def test_a_list_of_none_is_empty(cli: Run) -> None:
    assert cli("worker", "list").out == ""
    assert cli("worker", "list", "--json").out == "[]\n"


def test_restarting_when_none_runs_needs_a_supervisor(cli: Run) -> None:
    ran = cli("worker", "restart")
    assert (ran.code, ran.err) == (
        *(5, "queuectl: no supervisor is running\n          hint: queuectl worker start --count 2\n"),
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["start", "--count", "0"], "--count must be 1 or more, not 0"),
        (["start", "0"], "--count must be 1 or more, not 0"),
        (["start", "2", "--count", "3"], "N and --count have the same meaning: give only one"),
        (["start", "--count", "two"], '--count must be an integer, not "two"'),
        (["scale", "-1"], "the number of workers must be an integer from 0 to 1024, not -1"),
        (
            ["stop", "--timeout", "soon"],
            '--timeout must be a duration: seconds, or as "90s", "10m", "2h30m", "3d", not "soon"',
        ),
    ],
)
def test_numbers_that_make_no_sense(cli: Run, line: list[str], message: str) -> None:
    ran = cli("worker", *line)
    assert (ran.code, ran.err.splitlines()[0]) == (2, f"queuectl: {message}")


@pytest.mark.parametrize("line", [["start", "--count", "5000"], ["scale", "5000"]])
def test_too_many_are_refused_before_a_supervisor_is_started(cli: Run, home: Path, line: list[str]) -> None:
    ran = cli("worker", *line)
    assert (ran.code, "to 1024, not 5000" in ran.err) == (2, True)
    assert not (home / "run" / "supervisor.lock").exists()


def test_a_log_that_is_not_there(cli: Run, home: Path) -> None:
    ran = cli("worker", "logs", "worker-1")
    assert (ran.code, ran.err.splitlines()[0]) == (3, "queuectl: worker-1 has no log yet")
    ran = cli("worker", "logs", "../../etc/passwd")
    assert (ran.code, ran.err.splitlines()[0]) == (3, 'queuectl: no worker "../../etc/passwd"')


# --- with one


def test_start_adds_workers_and_stop_ends_them_all(cli: Run, home: Path) -> None:
    ran = cli("worker", "start", "--count", "2")
    assert (ran.code, ran.out, ran.err) == (0, "worker-1\nworker-2\n", "Started 2 workers\n")
    ran = cli("worker", "start")
    assert (ran.out, ran.err) == ("worker-3\n", "Started 1 worker\n")
    ran = cli("worker", "stop", "--wait", "--json")
    assert json.loads(ran.out) == {"action": "stop", "workers": ["worker-1", "worker-2", "worker-3"]}
    assert ran.err.splitlines()[-1] == "Stopped 3 workers"
    assert supervisor(home) is None


def test_json_of_start(cli: Run) -> None:
    assert json.loads(cli("worker", "start", "--json").out) == {"action": "start", "workers": ["worker-1"]}


def test_the_list_says_who_does_what(cli: Run, jobs: Jobs) -> None:
    cli("worker", "start", "--count", "2")
    running(jobs, "long")
    rows = json.loads(cli("worker", "list", "--json").out)
    busy = next(row for row in rows if row["job_id"])
    assert (busy["state"], busy["job_id"], busy["command"]) == ("busy", "long", LONG)
    assert busy["rss_bytes"] > 0
    assert busy["started_at"].endswith("Z")
    lines = cli("worker", "list").out.splitlines()
    assert lines[0].split() == [
        "WORKER",
        "STATE",
        "UP",
        "DONE",
        "FAILED",
        "ATTEMPTS",
        "CPU",
        "RSS",
        "JOB",
        "FOR",
        "COMMAND",
    ]
    assert [line.split()[0] for line in lines[1:]] == ["worker-1", "worker-2"]
    assert cli("worker", "list", "-o", "name").out == "worker-1\nworker-2\n"


def test_a_stop_that_takes_too_long_is_exit_124_and_goes_on(cli: Run, jobs: Jobs, home: Path) -> None:
    cli("worker", "start")
    running(jobs, "long")
    ran = cli("worker", "stop", "--wait", "--timeout", "0.1")
    assert ran.code == 124
    assert ran.err == (
        f"Waiting for worker-1 (long: {LONG})\n"
        f"queuectl: not stopped after 0.1s: worker-1 (long: {LONG}); the stop continues\n"
        "          hint: queuectl worker stop --now kills their commands and puts the jobs back\n"
    )
    assert json.loads(cli("worker", "list", "--json").out)[0]["state"] == "stopping"
    assert cli("worker", "stop", "--now", "--wait").code == 0
    assert supervisor(home) is None
    job = jobs.queue.get("long")
    assert (job.state, job.failures) == ("pending", 0)


def test_one_worker_is_stopped_by_its_name_or_number(cli: Run, home: Path) -> None:
    cli("worker", "start", "3")
    assert cli("worker", "stop", "--id", "worker-2", "--wait").code == 0
    assert cli("worker", "list", "-o", "name").out == "worker-1\nworker-3\n"
    assert cli("worker", "stop", "--id", "3", "--wait").code == 0
    assert cli("worker", "list", "-o", "name").out == "worker-1\n"
    ran = cli("worker", "stop", "--id", "worker-9")
    assert (ran.code, ran.err) == (3, 'queuectl: no worker "worker-9"; there are: worker-1\n')
    assert supervisor(home) is not None


def test_scale_is_absolute(cli: Run) -> None:
    ran = cli("worker", "scale", "2")
    assert (ran.code, ran.out, ran.err) == (0, "worker-1\nworker-2\n", "2 workers now, 0 before\n")
    ran = cli("worker", "scale", "3")
    assert (ran.out, ran.err) == ("worker-3\n", "3 workers now, 2 before\n")
    ran = cli("worker", "scale", "1", "--json")
    assert json.loads(ran.out) == {"action": "scale", "count": 1, "started": []}
    assert ran.err == "1 worker now, 3 before; 2 workers stop as their jobs end\n"


def test_restart_replaces_workers(cli: Run, jobs: Jobs) -> None:
    cli("worker", "start")
    before = json.loads(cli("worker", "list", "--json").out)[0]["pid"]
    ran = cli("worker", "restart", "--id", "1")
    assert (ran.code, ran.out) == (0, "worker-1\n")
    jobs.pending("a")
    assert cli("wait", "a").code == 0
    assert json.loads(cli("worker", "list", "--json").out)[0]["pid"] != before


def test_logs_of_a_worker_and_of_the_supervisor(cli: Run, home: Path) -> None:
    cli("worker", "start")
    assert "started pid=" in cli("worker", "logs", "worker-1", "--lines", "1").out
    assert "worker-1 started" in cli("worker", "logs").out
    told = json.loads(cli("worker", "logs", "1", "--json", "-n", "1").out)
    assert (told["name"], len(told["lines"])) == ("worker-1", 1)


def test_a_pipe_gets_the_whole_log_of_a_worker_and_a_terminal_its_end(
    cli: Run, terminal: Callable[..., Ran], jobs: Jobs
) -> None:
    jobs.queue.layout.ensure()
    path = Path(jobs.queue.layout.log("worker-1"))
    path.write_text("".join(f"{number}\n" for number in range(120)))
    assert len(cli("worker", "logs", "1").out.splitlines()) == 120
    assert len(json.loads(cli("worker", "logs", "1", "--json").out)["lines"]) == 120
    assert terminal("worker", "logs", "1").out.splitlines()[:2] == ["(the last 50 lines; --lines N for more)", "70"]


def test_a_second_supervisor_in_the_foreground_is_a_conflict(queuectl: Run, cli: Run, home: Path) -> None:
    cli("worker", "start")
    ran = queuectl("worker", "start", "--foreground")
    assert (ran.code, ran.out) == (4, "")
    assert re.fullmatch(rf"queuectl: another supervisor \(pid \d+, up .+\) owns {home}\n", ran.err)


def test_in_the_foreground_ctrl_c_drains(home: Path, jobs: Jobs) -> None:
    jobs.pending("a")
    ready, tell = os.pipe()
    line = [*LINE, "worker", "start", "--foreground", "--count", "1", "--ready-fd", str(tell)]
    process = subprocess.Popen(line, pass_fds=(tell,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(tell)
    with os.fdopen(ready, "rb") as words:
        assert words.read() == b"ready\n"
    jobs.queue.wait(["a"])
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0
    assert supervisor(home) is None


def test_a_supervisor_that_cannot_start_says_why_to_its_starter(cli: Run, home: Path) -> None:
    (home / "config.yaml").write_text("timeout: soon\n")
    ran = cli("worker", "start")
    assert ran.code != 0
    assert f"{home}/config.yaml:1: timeout must be a duration" in ran.err


# --- jobs from the command line to their end


def test_enqueue_wait_ends_with_the_fate_of_the_job(cli: Run) -> None:
    cli("worker", "start")
    ran = cli("enqueue", "--wait", "--id", "good", "--command", "true")
    assert (ran.code, ran.out) == (0, "good\n")
    assert ran.err.startswith("Queued good\ngood completed in ")
    ran = cli("enqueue", "--wait", "--id", "bad", "--max-retries", "0", "--command", "exit 3")
    assert (ran.code, ran.out) == (10, "bad\n")
    assert "queuectl: job bad is dead after 1 attempt: exit code 3" in ran.err
    assert cli("enqueue", "--propagate", "--max-retries", "0", "--command", "exit 3").code == 3


def test_enqueue_follow_shows_the_output_and_nothing_else_on_stdout(cli: Run) -> None:
    cli("worker", "start")
    ran = cli("enqueue", "--follow", "--id", "a", "--command", "echo out; echo err >&2")
    assert (ran.code, ran.out) == (0, "out\nerr\n")
    assert cli("logs", "a").out == "out\nerr\n"


def test_waiting_prints_one_document_or_each_id_once(cli: Run) -> None:
    """The job as it ended; its output is never mixed into the document."""
    cli("worker", "start")
    for how in ("--wait", "--follow"):
        ran = cli("enqueue", how, "--json", "--command", "echo out")
        job = json.loads(ran.out)
        assert (ran.code, job["state"], job["exit_code"]) == (0, "completed", 0)
        assert ("out\n" in ran.err) == (how == "--follow")
        ran = cli("enqueue", how, "-o", "name", "--id", f"n{how}", "--command", "echo out")
        assert ran.out == f"n{how}\n"
    ran = cli("enqueue", "--lines", "--wait", "--json", "-", "--max-retries", "0", stdin=b"true\nfalse\n")
    made = json.loads(ran.out)
    assert (ran.code, made["queued"]) == (10, 2)
    assert [(job["id"], job["state"]) for job in made["jobs"]] == [
        *zip(made["ids"], ("completed", "dead"), strict=True)
    ]
    ran = cli("enqueue", "--lines", "--wait", "-o", "name", "-", stdin=b"true\ntrue\n")
    assert len(ran.out.split()) == 2


def test_the_wait_has_a_timeout_of_its_own(cli: Run) -> None:
    """--timeout is the job's; --wait-timeout alone waits as well."""
    ran = cli("enqueue", "--wait-timeout", "0.5", "--timeout", "7", "--json", "--command", "true")
    assert (ran.code, json.loads(ran.out)["state"], json.loads(ran.out)["timeout"]) == (124, "pending", 7)
    ran = cli("enqueue", "--follow", "--wait-timeout", "0.5", "--id", "a", "--command", "true")
    assert (ran.code, ran.out) == (124, "")
    assert "a is waiting to be started: no supervisor is running (queuectl worker start --count 2)" in ran.err
    assert "job a had not ended after 0.5s; it continues" in ran.err
    assert cli("enqueue", "--wait-timeout", "soon", "--command", "true").code == 2
    assert cli("enqueue", "--lines", "--wait-timeout", "0.1", "-", stdin=b"true\n").code == 124


def test_whoever_waits_for_a_busy_worker_is_told_so_also_inside_the_job_that_keeps_it_busy(
    cli: Run, jobs: Jobs, environ: dict[str, str]
) -> None:
    cli("worker", "start", env=environ)
    code = cli(
        "enqueue",
        "--max-retries",
        "0",
        "--wait",
        "--id",
        "outer",
        "--command",
        "queuectl enqueue --id inner --wait-timeout 0.5 --command true",
        env=environ,
    ).code
    assert code == 10
    said = cli("logs", "outer").out
    assert "inner is waiting to be started: the only worker runs the very job that is waiting here" in said
    running(jobs, "long")
    ran = cli("enqueue", "--id", "next", "--wait-timeout", "0.1", "--command", "true")
    assert "next is waiting to be started: the only worker is busy (queuectl worker list)" in ran.err


def test_many_jobs_are_waited_for(cli: Run) -> None:
    cli("worker", "start", "--count", "2")
    ran = cli("enqueue", "--lines", "--wait", "-", "--max-retries", "0", stdin=b"true\nfalse\ntrue\n")
    assert ran.code == 10
    assert ran.err.splitlines()[-1] == "queuectl: 1 of 3 jobs did not succeed"


def test_a_running_job_is_cancelled_and_deleted(cli: Run, jobs: Jobs) -> None:
    cli("worker", "start")
    running(jobs, "one")
    assert cli("cancel", "one").err == "Cancelled one\n"
    assert jobs.queue.get("one").state == "cancelled"
    running(jobs, "two")
    assert cli("delete", "two").code == 0
    assert jobs.spool.find("two") is None


def test_a_terminal_is_told_what_to_type_next(terminal: Callable[..., Ran]) -> None:
    shown = terminal("worker", "start").out
    assert "worker-1\nStarted 1 worker\nTo see what they are doing: queuectl status\n" in shown
    assert (
        "Queued a (0 ahead).  Follow: queuectl logs -f a"
        in terminal(*("enqueue", "--id", "a", "--command", "exec sleep 1000")).out
    )
    assert "To wait for that: queuectl worker stop --wait" in terminal("worker", "stop").out


def test_workers_that_did_not_start_are_an_error(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from queuectl.cli.main import main
    from queuectl.supervisor import startup

    monkeypatch.setattr(startup, "start_workers", lambda layout, count: ["worker-1"])
    assert main(["worker", "start", "--count", "3"]) == 7
    out, err = capsys.readouterr()
    assert (out, err) == (
        *("worker-1\n", "queuectl: 2 of 3 workers did not start\n          hint: queuectl worker logs\n"),
    )
