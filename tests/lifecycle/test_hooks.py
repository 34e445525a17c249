"""Hooks: they are run with what they need, whatever is killed, and without a supervisor too."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from queuectl import health
from queuectl.config.settings import Settings
from queuectl.maintenance.context import TaskContext
from queuectl.maintenance.hooks import run_once
from queuectl.spool import hooks
from queuectl.status import read_overview

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]

NOTE = "echo $QUEUECTL_HOOK $QUEUECTL_JOB_ID $QUEUECTL_ATTEMPT >> {path}"


def note(s: Supervised) -> str:
    return NOTE.format(path=s.home / "noted")


def noted(s: Supervised) -> list[str]:
    path = s.home / "noted"
    return path.read_text().splitlines() if path.exists() else []


def deliver(s: Supervised, **settings: Any) -> Any:
    """Deliver in this process, as `queuectl maintenance hooks` does."""
    s.queue.settings = s.queue.spool.settings = Settings.from_dict({**s.queue.settings.as_dict(), **settings})
    return run_once(TaskContext(s.queue, is_gentle=False))


def hook_check(s: Supervised) -> health.Verdict:
    return health.examine(read_overview(s.queue))["hooks"]


def test_each_end_calls_its_hook(supervised: Make) -> None:
    s = supervised(backoff_base=0.01, max_retries_default=1)
    s.start(2)
    options = dict.fromkeys(("on_success", "on_failure", "on_dead", "on_cancel"), note(s))
    s.queue.enqueue("true", id="good", **options)
    s.queue.enqueue("exit 3", id="bad", **options)
    s.queue.enqueue("sleep 60", id="long", **options)
    s.wait_for("long", "processing")
    s.queue.cancel("long")
    expected = ["on_cancel long 1", "on_dead bad 2", "on_failure bad 1", "on_failure bad 2", "on_success good 1"]
    s.wait_until(lambda: sorted(noted(s)) == expected, "all hooks have run")
    s.wait_until(lambda: not hooks.reports(s.queue.spool), "all reports are removed")


def test_a_hook_gets_the_job_and_its_variables(supervised: Make) -> None:
    s = supervised(max_retries_default=0)
    (s.home / "work").mkdir()
    told = s.home / "told"
    own = f"pwd > {told}.own; echo $GREETING >> {told}.own"
    s.queue.enqueue(
        "echo no such file; exit 4",
        id="a",
        queue="mail",
        batch="b1",
        cwd=str(s.home / "work"),
        env={"GREETING": "hi"},
        on_failure=own,
    )
    s.environ["QUEUECTL_ON_DEAD"] = f"cat > {told}.json; env > {told}.env; pwd > {told}.cwd; mv {told}.json {told}"
    s.start(1)
    s.wait_until(told.exists, "the hook has run")
    job = json.loads(told.read_text())
    assert (job["id"], job["state"], job["dead_reason"]) == ("a", "dead", "retries_exhausted")
    assert job["history"][-1]["event"] == "died"
    variables = dict(line.split("=", 1) for line in Path(f"{told}.env").read_text().splitlines())
    assert variables["QUEUECTL_HOOK"] == "on_dead"
    assert (variables["QUEUECTL_EVENT"], variables["QUEUECTL_STATE"]) == ("died", "dead")
    assert (variables["QUEUECTL_QUEUE"], variables["QUEUECTL_BATCH"]) == ("mail", "b1")
    assert (variables["QUEUECTL_EXIT_CODE"], variables["QUEUECTL_ERROR"]) == ("4", "no such file")
    assert Path(variables["QUEUECTL_OUTPUT"]).read_text() == "no such file\n"
    assert "GREETING" not in variables
    assert Path(f"{told}.cwd").read_text().strip() == variables["HOME"]
    s.wait_until(lambda: Path(f"{told}.own").exists(), "the job's own hook has run")
    assert Path(f"{told}.own").read_text().splitlines() == [str(s.home / "work"), "hi"]


@pytest.mark.parametrize("killed", ["worker", "supervisor", "both", "delivery"])
def test_hooks_are_run_whatever_is_killed(supervised: Make, killed: str) -> None:
    """Proves G22: at least once for each job, and each job as often as it ended."""
    s = supervised(max_interruptions=100, hook_rate="none", orphans="wait")
    jobs = [*s.queue.enqueue_many([f"sleep 0.0{n % 5}" for n in range(30)], on_success=f"{note(s)}; sleep 0.02")]
    supervisor = s.start(2)
    s.wait_until(lambda: len(noted(s)) > 3, "some hooks have run")
    if killed == "delivery":
        import psutil

        for process in psutil.process_iter():
            try:
                command, environ = process.cmdline(), process.environ()
            except psutil.Error:
                continue
            if command[-2:] == ["maintenance", "hooks"] and str(s.home) in command:
                assert environ["QUEUECTL_HOME"] == str(s.home)
                process.kill()
    if killed in ("worker", "both"):
        for worker in s.status()["workers"]:
            os.kill(worker["pid"], signal.SIGKILL)
    if killed in ("supervisor", "both"):
        supervisor.kill()
        supervisor.wait()
        s.start(2)
    s.wait_until(lambda: s.queue.counts()["completed"] == 30, "all jobs have completed")
    s.wait_until(lambda: not hooks.reports(s.queue.spool), "all reports were delivered")
    assert {line.split()[1] for line in noted(s)} == {*jobs}


def test_without_a_supervisor_maintenance_runs_them(supervised: Make) -> None:
    s = supervised()
    s.queue.enqueue("true", id="a", on_cancel=note(s))
    s.queue.cancel("a")
    assert [report.hook for report in hooks.reports(s.queue.spool)] == ["on_cancel"]
    assert deliver(s).words == "ran 1 hook"
    assert (noted(s), hooks.reports(s.queue.spool)) == (["on_cancel a 0"], [])
    assert deliver(s).words == ""


def test_a_supervisor_that_stops_leaves_none_behind(supervised: Make) -> None:
    s = supervised()
    s.queue.enqueue("true", id="a", on_success=f"sleep 0.3; {note(s)}")
    process = s.start(1)
    s.wait_for("a", "completed")
    s.ask("stop", now=False)
    process.wait()
    s.wait_until(lambda: noted(s) == ["on_success a 1"], "the hook has run")
    s.wait_until(lambda: not s.survivors(), "the process that ran it has ended")


def cancelled(s: Supervised, *job_ids: str, on_cancel: str) -> None:
    for job_id in job_ids:
        s.queue.enqueue("true", id=job_id, on_cancel=on_cancel)
        s.queue.cancel(job_id)


def test_a_hook_that_takes_too_long_is_ended_with_all_its_processes(supervised: Make) -> None:
    s = supervised()
    cancelled(s, "a", on_cancel=f"(sleep 300 & echo $! > {s.home}/child); sleep 300")
    report = deliver(s, hook_timeout=0.3, kill_after=1)
    assert (report.words, report.figures["hooks_failed"]) == ("ran 1 hook, 1 of which failed", 1)
    assert s.survivors() == []
    check = hook_check(s)
    assert (check.level, check.figures) == ("warn", {"waiting": 0, "failed": ["on_cancel"]})
    assert "The hook on_cancel failed for job a at" in check.text
    assert check.text.endswith("timed out after 0.3s")
    assert "on_cancel of job a failed: timed out after 0.3s" in Path(s.queue.layout.log("hooks")).read_text()
    assert s.state("a") == "cancelled"


def test_a_failure_is_shown_until_the_hook_succeeds(supervised: Make) -> None:
    s = supervised()
    cancelled(s, "a", "b", on_cancel="echo no route to host >&2; exit 6")
    deliver(s)
    check = hook_check(s)
    assert check.text.startswith("The hook on_cancel failed 2 times in a row, last for job ")
    assert check.text.endswith("exit code 6: no route to host")
    cancelled(s, "c", on_cancel="true")
    deliver(s)
    assert hook_check(s).level == "ok"


def test_no_more_are_started_than_the_rate_allows_and_none_is_lost(supervised: Make) -> None:
    s = supervised()
    names = [f"j{number}" for number in range(25)]
    cancelled(s, *names, on_cancel=note(s))
    assert deliver(s, hook_rate="3/1h").words == "ran 3 hooks, 22 hooks wait (hook_rate: 3/1h)"
    assert [line.split()[1] for line in noted(s)] == names[:3]
    assert deliver(s, hook_rate="3/1h").words == "22 hooks wait (hook_rate: 3/1h)"
    check = hook_check(s)
    assert (check.level, check.hint) == ("warn", "queuectl maintenance hooks")
    assert check.text == "22 hooks wait to be run; hook_rate is 3/1h, and no supervisor is running"
    assert deliver(s, hook_rate=None).words == "ran 22 hooks"
    assert sorted(line.split()[1] for line in noted(s)) == sorted(names)


def test_a_report_whose_command_was_removed_is_dropped_with_a_line_in_the_log(supervised: Make) -> None:
    s = supervised()
    s.queue.settings = s.queue.spool.settings = Settings.from_dict({"on_cancel": "true"})
    s.queue.enqueue("true", id="a")
    s.queue.cancel("a")
    assert len(hooks.reports(s.queue.spool)) == 1
    deliver(s, on_cancel=None)
    assert hooks.reports(s.queue.spool) == []
    assert (
        "on_cancel of job a is not run: no command is configured any more"
        in Path(s.queue.layout.log("hooks")).read_text()
    )


def test_the_queue_reports_once_that_it_is_idle(supervised: Make) -> None:
    s = supervised()
    s.environ["QUEUECTL_ON_IDLE"] = note(s)
    s.queue.enqueue_many(["true"] * 5)
    s.queue.enqueue("true", delay="1h")
    held = s.queue.enqueue("true")
    s.queue.hold(held)
    s.start(2)
    s.wait_until(lambda: len(noted(s)) == 1, "it is idle")
    s.queue.release(held)
    s.wait_for(held, "completed")
    s.wait_until(lambda: len(noted(s)) == 2, "it is idle again")
    assert noted(s) == ["on_idle"] * 2


def test_those_who_watch_see_hooks(supervised: Make) -> None:
    from queuectl import control_client

    s = supervised()
    s.start(1)
    events = control_client.stream(s.queue.layout, {"do": "watch"}, timeout_s=30)
    next(events)
    s.queue.enqueue("true", id="a", on_success="exit 9")
    found = next(event for event in events if event.get("event") == "hook")
    assert (found["id"], found["hook"], found["succeeded"], found["error"]) == ("a", "on_success", False, "exit code 9")
