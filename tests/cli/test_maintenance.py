"""maintenance: silent, unless something is wrong."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from queuectl import control_client
from queuectl.errors import NoSupervisor
from queuectl.spool.layout import Layout
from tests.cli.support import Jobs, Run

TASKS = ["reclaim", "batches", "hooks", "schedules", "retention", "output", "litter", "logs", "statistics", "index"]


@pytest.fixture
def stopped(queuectl: Run) -> Iterator[None]:
    """No supervisor is left behind."""
    yield
    assert queuectl("worker", "stop", "--now", "--wait").code == 0


def workers(home: Path) -> int:
    try:
        return len(control_client.ask(Layout(str(home)), {"do": "status"})["workers"])
    except NoSupervisor:
        return -1


def test_it_is_silent_when_all_is_well(queuectl: Run, jobs: Jobs) -> None:
    jobs.completed("a")
    for _ in range(2):
        ran = queuectl("maintenance")
        assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_with_verbose_each_task_has_a_line(queuectl: Run, jobs: Jobs, home: Path) -> None:
    jobs.completed("a", b"12345")
    jobs.completed("b")
    ran = queuectl("maintenance", "--verbose", env={"QUEUECTL_RETENTION_DONE": "0.001"})
    assert (ran.code, ran.err) == (0, "")
    assert [line.split()[0] for line in ran.out.splitlines()] == TASKS
    assert "\nretention   removed 2 jobs, 5 B output\n" in ran.out
    assert "\noutput      nothing to do\n" in ran.out
    assert not [*home.glob("spool/*/*.json")]


def test_a_trial_changes_nothing(queuectl: Run, jobs: Jobs, home: Path) -> None:
    jobs.completed("a")
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*") if "index" not in path.name}
    ran = queuectl("maintenance", "-v", "--dry-run", env={"QUEUECTL_RETENTION_DONE": "0.001"})
    assert "\nretention   would remove 1 job, output included\n" in ran.out
    after = {path: path.stat().st_mtime_ns for path in home.rglob("*") if "index" not in path.name}
    assert {path for path in after if "spool" in str(path) and after[path] != before.get(path)} == set()
    assert (home / "spool/done/a.json").exists()


def test_where_there_is_no_queue_none_is_made(queuectl: Run, home: Path) -> None:
    """The default home may not have been created yet; a home that is named and does not exist is a mistake."""
    empty = {"HOME": str(home.parent), "QUEUECTL_HOME": ""}
    ran = queuectl("maintenance", "--verbose", env=empty)
    assert (ran.code, ran.out, ran.err, (home.parent / ".queuectl").exists()) == (0, "", "", False)
    ran = queuectl("maintenance", "--home", f"{home}s")
    assert (ran.code, ran.out, os.path.exists(f"{home}s")) == (3, "", False)


def test_only_the_tasks_that_are_named_run(queuectl: Run, jobs: Jobs) -> None:
    jobs.completed("a")
    assert [row["task"] for row in json.loads(queuectl("maintenance", "logs", "litter", "--json").out)] == [
        "litter",
        "logs",
    ]
    ran = queuectl("maintenance", "litte")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith('queuectl: no task "litte"\n')


def test_what_fails_is_told_and_the_rest_is_done(queuectl: Run, jobs: Jobs, home: Path) -> None:
    jobs.completed("a")
    jobs.completed("b")
    (home / "output" / "a.1.log").unlink()
    (home / "output" / "a.1.log").mkdir()
    (home / "logs").rmdir()
    ran = queuectl("maintenance", env={"QUEUECTL_RETENTION_DONE": "0.001"})
    assert (ran.code, ran.out) == (7, "")
    assert ran.err.startswith("queuectl: retention: cannot remove job a: ")
    assert "queuectl: maintenance failed in part: retention\n" in ran.err
    assert (home / "spool/done/a.json").exists()
    assert not (home / "spool/done/b.json").exists()
    made = queuectl("maintenance", "retention", "--json", env={"QUEUECTL_RETENTION_DONE": "0.001"})
    assert [row["failed"][0]["title"] for row in json.loads(made.out)] in (["failed"], ["not allowed"])


def test_beside_another_run_there_is_nothing_to_do(queuectl: Run, jobs: Jobs, home: Path) -> None:
    """Cron must not mail for it; who asks to be told is told."""
    jobs.completed("a")
    queuectl("maintenance")
    with FileLock(str(home / "run/maintenance.lock")):
        ran = queuectl("maintenance")
        assert (ran.code, ran.out, ran.err) == (0, "", "")
        ran = queuectl("maintenance", "--verbose")
        assert (ran.code, ran.out) == (0, "")
        assert ran.err == "Maintenance is already running; nothing to do\n"
        assert json.loads(queuectl("maintenance", "--json").out) == []


def test_workers_are_started_where_no_supervisor_runs_and_never_more(queuectl: Run, home: Path, stopped: None) -> None:
    assert (
        "workers     would start 2 workers" in queuectl("maintenance", "-v", "--dry-run", "--ensure-workers", "2").out
    )
    assert workers(home) == -1
    ran = queuectl("maintenance", "--ensure-workers", "2")
    assert (ran.code, ran.out, ran.err, workers(home)) == (0, "", "", 2)
    for count in ("1", "2", "5"):
        assert queuectl("maintenance", "--ensure-workers", count).code == 0
        assert workers(home) == 2
    [pid] = re.findall(r'"pid": (\d+)', (home / "run/supervisor.json").read_text())
    assert os.getpriority(os.PRIO_PROCESS, int(pid)) == os.getpriority(os.PRIO_PROCESS, 0)


def test_a_supervisor_that_cannot_start_is_told_and_the_tasks_run(queuectl: Run, jobs: Jobs, home: Path) -> None:
    jobs.completed("a")
    (home / "logs/supervisor.log").mkdir()
    ran = queuectl("maintenance", "--ensure-workers", "1", env={"QUEUECTL_RETENTION_DONE": "0.001"})
    assert ran.code == 7
    assert "queuectl: workers: " in ran.err
    assert not (home / "spool/done/a.json").exists()


@pytest.mark.parametrize("count", ["0", "-1", "5000", "x"])
def test_how_many_workers_is_checked(queuectl: Run, count: str) -> None:
    assert queuectl("maintenance", f"--ensure-workers={count}").code == 2


def test_both_at_once_is_harmless(queuectl: Run, jobs: Jobs, home: Path, stopped: None) -> None:
    """A supervisor with jobs under way, its own round, cron's and a person's purge."""
    for number in range(50):
        jobs.completed(f"old-{number}")
    for number in range(50):
        jobs.pending(f"new-{number}")
    queuectl("worker", "start", "--count", "2")
    import threading

    codes: list[int] = []
    env = {"QUEUECTL_RETENTION_DONE": "0.001", "QUEUECTL_RETENTION_JOBS": "60"}

    def again() -> None:
        for _ in range(3):
            codes.append(queuectl("maintenance", "retention", "output", "litter", env=env).code)

    threads = [threading.Thread(target=again) for _ in range(3)]
    for thread in threads:
        thread.start()
    codes.append(queuectl("purge", "--search", "old", "--yes").code)
    for thread in threads:
        thread.join()
    assert set(codes) == {0}
    assert queuectl("index", "verify").code == 0
    assert not [*home.glob("spool/done/old-*")]
