"""status: the queue in one screen, with and without a supervisor, and what needs a person."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from queuectl import control_client
from queuectl.cli.status_screen import attention
from queuectl.client.queue import Queue
from queuectl.errors import NoSupervisor, NotAllowed, TimedOut
from queuectl.executor import process_tree
from queuectl.spool import outputs
from queuectl.spool.fs import Files
from queuectl.status import Overview
from tests.cli.support import NOW, Jobs, Ran, Run
from tests.support.permissions import as_if_not_root

ROOT = Path(__file__).parents[2]
Golden = Callable[[str, str], None]
Passes = Callable[[float], None]
SUPERVISOR: dict[str, Any] = {
    **{"ok": True, "pid": 4121, "started_at": NOW - 273_600, "version": "1.0.0"},
    **{"draining": False, "degraded": None, "syncing": None, "adopted": []},
    "workers": [
        {
            **{"name": "worker-1", "state": "busy", "pid": 4122, "started_at": NOW - 273_600, "done": 4711},
            **{"failed_attempts": 90, "job_id": "01JDFQ8Z4T0000AA", "job_since": NOW - 62},
            **{"command": "ffmpeg -i a.mov -c:v libx265 \x1b[31m a.mp4", "command_pid": 5000},
        },
        {
            **{"name": "worker-2", "state": "idle", "pid": 4123, "started_at": NOW - 273_600, "done": 4702},
            **{"failed_attempts": 0, "job_id": None, "job_since": None, "command": None, "command_pid": None},
        },
    ],
}


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A supervisor that answers from a table, to be changed by the test."""
    answer = {**SUPERVISOR}

    def ask(_layout: object, request: dict[str, Any], **_: object) -> dict[str, Any]:
        if request["do"] == "status":
            return answer
        raise NoSupervisor("no supervisor is running")  # so that the index is brought up to date here

    monkeypatch.setattr(control_client, "ask", ask)
    monkeypatch.setattr(process_tree, "usage", lambda pid: (96.4, 212 << 20) if pid == 5000 else (0.0, 9 << 20))
    return answer


@pytest.fixture(autouse=True)
def disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many hundredths of the disk are free; and a home whose name is as short as people's are."""
    monkeypatch.setenv("HOME", str(home.parent))
    free = [81]
    monkeypatch.setattr(Files, "free_bytes", lambda self, path: (free[0] << 30, 100 << 30))
    return free


def some(jobs: Jobs, now: Passes) -> None:
    now(-7200)
    jobs.dead("old-1")
    now(-86400)
    jobs.dead("old-2")
    now(86400 + 7200 - 52)
    jobs.pending("waits")
    for number in range(20):
        with jobs.running(f"done-{number}") as claim:
            now(0.5)
            claim.finish({"exit_code": 0})
    jobs.failed("again")
    now(40)


def test_the_screen(cli: Run, jobs: Jobs, now: Passes, supervisor: dict[str, Any], golden: Golden) -> None:
    some(jobs, now)
    golden("status", cli("status").out)


@pytest.mark.parametrize("columns", [60, 120])
def test_the_screen_on_other_terminals(
    cli: Run,
    jobs: Jobs,
    now: Passes,
    supervisor: dict[str, Any],
    golden: Golden,
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
) -> None:
    some(jobs, now)
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = cli("status").out
    golden(f"status-{columns}", shown)
    assert max(map(len, shown.splitlines())) <= columns


def test_without_a_supervisor(cli: Run, jobs: Jobs, now: Passes, golden: Golden) -> None:
    some(jobs, now)
    ran = cli("status")
    assert (ran.code, ran.err) == (0, "")
    golden("status-down", ran.out)


def test_a_home_of_a_strange_name_cannot_command_the_terminal(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its control characters are shown as everywhere."""
    (tmp_path / "es\x1b[31mc").mkdir(mode=0o700)
    monkeypatch.setenv("QUEUECTL_HOME", str(tmp_path / "es\x1b[31mc"))
    ran = cli("status")
    assert "es\\x1b[31mc" in ran.out
    assert "\x1b" not in ran.out


def test_an_empty_queue(cli: Run, golden: Golden) -> None:
    golden("status-empty", cli("status").out)


def test_json_has_everything(cli: Run, jobs: Jobs, now: Passes, supervisor: dict[str, Any], home: Path) -> None:
    some(jobs, now)
    told = json.loads(cli("status", "--json").out)
    assert (told["supervisor"]["pid"], told["supervisor"]["started_at"]) == (4121, "2026-11-21T10:01:58.000000Z")
    assert told["counts"]["completed"] == 20
    assert told["oldest_waiting_s"] == pytest.approx(50)
    assert (told["last_hour"]["done"], told["last_hour"]["failed_attempts"]) == (20, 1)
    assert [w["name"] for w in told["workers"]] == ["worker-1", "worker-2"]
    assert (told["workers"][0]["failed_attempts"], "failed" in told["workers"][0]) == (90, False)
    assert (told["workers"][0]["cpu_percent"], told["workers"][0]["rss_bytes"]) == (96.4, 212 << 20)
    assert told["disk"] == {"free_bytes": 81 << 30, "total_bytes": 100 << 30}
    assert told["attention"] == ["2 dead jobs, 1 new today: queuectl dlq list"]
    (home / "other").mkdir(mode=0o700)
    assert json.loads(cli("status", "--home", str(home / "other"), "--json").out)["home"] == f"{home}/other"


def test_the_last_hour_knows_what_has_failed_before_it_succeeded_and_what_was_deleted(
    cli: Run, jobs: Jobs, now: Passes
) -> None:
    """The same figures as those of `check`, of `stats` and of the page."""
    jobs.failed("twice", delay_s=1)
    cli("list")  # brings the index up to date
    with jobs.start("twice") as claim:
        now(2)
        claim.finish({"exit_code": 0})
    cli("list")
    cli("delete", "twice")
    told = json.loads(cli("status", "--json").out)["last_hour"]
    assert (told["done"], told["failed_attempts"]) == (1, 1)


def test_other_formats_are_the_counts(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a")
    assert "pending\t1\n" in cli("status", "-o", "tsv").out


def told(overview: Overview) -> list[str]:
    return [text for text, _ in attention(overview)]


def test_what_needs_a_person_the_most_important_last(disk: list[int]) -> None:
    overview = Overview("/q", NOW)
    assert told(overview) == []
    overview.counts = {"dead": 7, "pending": 128}
    overview.dead_today, overview.rejected = 2, 1
    overview.free_bytes, overview.disk_bytes = 1 << 30, 100 << 30
    overview.how_to_free = "queuectl purge --output-only a"
    overview.supervisor = {
        **{"pid": 4121, "syncing": "5 of 10 files", "draining": True, "degraded": "the index cannot be written"},
        **{"adopted": [{"job_id": "a", "pid": 1}]},
    }
    assert told(overview) == [
        "Degraded: the index cannot be written: queuectl worker logs",
        "1 invalid file was rejected; its reason is beside it in /q/spool/rejected: queuectl doctor",
        "7 dead jobs, 2 new today: queuectl dlq list",
        "Draining: each worker stops when its job has ended",
        "The disk is nearly full: 1 GiB left: queuectl purge --output-only a",
        "128 jobs are waiting, but no workers are running: queuectl worker start --count 2",
    ]
    overview.supervisor["degraded"], overview.counts = None, {}
    assert told(overview)[:2] == [
        "The index is being updated (5 of 10 files): figures may lag",
        "1 job whose worker died runs on under the supervisor",
    ]


@pytest.mark.parametrize(("free", "text"), [(3, "The disk is nearly full"), (0, "The disk is full")])
def test_a_full_disk_names_the_output_that_fills_it(
    cli: Run, jobs: Jobs, disk: list[int], monkeypatch: pytest.MonkeyPatch, free: int, text: str
) -> None:
    """Of a job that waits for its next try: purge by age would keep it."""
    jobs.failed("big", b"x" * 50_000)
    disk[0] = free
    [without] = [line for line in json.loads(cli("status", "--json").out)["attention"] if text in line]
    assert "queuectl purge removes jobs that have ended" in without
    monkeypatch.setattr(outputs, "LEAST_BYTES", 1000)
    [found] = [line for line in json.loads(cli("status", "--json").out)["attention"] if text in line]
    assert found.endswith(": queuectl purge --output-only big")


def test_what_keeps_jobs_from_being_accepted_comes_last() -> None:
    overview = Overview("/q", NOW)
    overview.counts = {"pending": 1}
    overview.misconfigured, overview.free_bytes, overview.disk_bytes, overview.least_free_bytes = "~/q:1: x", 1, 100, 2
    overview.refused = "enqueue", NotAllowed("/q/spool/tmp is on a read-only file system", "mount it again")
    assert [text.partition(":")[0] for text in told(overview)] == [
        "1 job is waiting, but no workers are running",
        "The disk is full",
        "Nothing can be enqueued or run",
        "Nothing can be enqueued or run",
    ]


def test_jobs_that_are_scheduled_are_not_said_to_wait(cli: Run, jobs: Jobs, now: Passes) -> None:
    for number in range(66):
        jobs.pending(f"later-{number}", run_at=f"2026-11-25T02:{59 - number % 60:02}:00Z")
    out = cli("status").out
    first = "2026-11-25T02:00:00Z"
    assert f"66 jobs are scheduled, the first for {first}, but no workers are running: queuectl worker start" in out
    assert "scheduled  66, next in 11h 58m" in out
    assert "waiting" not in out
    assert cli("status", "--short").out == "0 waiting, 66 scheduled, no workers, 0 dead\n"
    made = json.loads(cli("status", "--json").out)
    assert (made["scheduled"], made["next_at"]) == (66, "2026-11-25T02:00:00.000000Z")
    assert "stranded=0;" in cli("check").out
    jobs.pending("now")
    assert "1 job is waiting, but no workers are running" in cli("status").out
    assert "stranded=1;" in cli("check").out


def test_rejected_files_are_counted(cli: Run, jobs: Jobs, home: Path) -> None:
    jobs.pending("a")
    for name in ("one.json", "two.json"):
        (home / "spool/rejected" / name).write_text("nope")
        (home / "spool/rejected" / f"{name}.reason").write_text("no JSON")
    assert "2 invalid files were rejected; their reasons are beside them in ~/home/spool/rejected" in cli("status").out
    assert json.loads(cli("status", "--json").out)["rejected"] == 2


def test_an_index_that_cannot_be_read_does_not_hide_the_rest(
    cli: Run, jobs: Jobs, supervisor: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from queuectl.index.reader import IndexUnavailable

    def fail(*_: object) -> None:
        raise IndexUnavailable("the index is damaged")

    monkeypatch.setattr(Queue, "reader", fail)
    ran = cli("status")
    assert ran.code == 0
    assert "worker-1" in ran.out
    assert ran.out.splitlines()[-1] == "the index is damaged; rebuild the index: queuectl index rebuild"
    assert "?" in ran.out.splitlines()[3]


def test_a_busy_queue_seen_on_a_terminal(terminal: Callable[..., Ran], jobs: Jobs) -> None:
    jobs.dead("d")
    shown = terminal("status").out
    assert "\x1b[33m1 dead job, 1 new today: queuectl dlq list\x1b[0m" in shown


def test_a_supervisor_that_was_killed_is_told_of(cli: Run, jobs: Jobs, home: Path) -> None:
    jobs.pending("a")
    (home / "run/supervisor.json").write_text('{"pid": 4121, "started_at": 1.5}')
    assert "supervisor not running (the last one, pid 4121, was killed)" in cli("status").out


def test_a_supervisor_that_does_not_answer_is_told_of_with_what_the_index_knows(
    cli: Run, jobs: Jobs, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.pending("a")
    assert json.loads(cli("status", "--json").out)["counts"]["pending"] == 1  # the index is there
    (home / "run/supervisor.json").write_text('{"pid": 4121, "started_at": 1.5}')

    def ask(*_: object, **__: object) -> None:
        raise TimedOut("the supervisor did not answer within 5s")

    monkeypatch.setattr(control_client, "ask", ask)
    seen = cli("status")
    assert seen.code == 0
    assert "supervisor does not answer (pid 4121)" in seen.out
    assert seen.out.splitlines()[-1].endswith("figures may be outdated: kill -CONT 4121")
    assert json.loads(cli("status", "--json").out)["counts"]["pending"] == 1


def test_a_broken_configuration_does_not_hide_the_queue(home: Path, cli: Run) -> None:
    """What only looks warns, with file and line, and shows the queue all the same; what changes it refuses."""
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "config.yaml").write_text("timeout: soon\n")
    for words in (["status"], ["list"], ["dlq", "list"]):
        done = cli(*words)
        assert done.code == 0
        assert "config.yaml:1: timeout must be" in done.err
    assert cli("enqueue", "--command", "true").code == 6


@pytest.mark.parametrize("folder", ["pending", "processing", "done", "dead"])
def test_a_spool_directory_that_cannot_be_read_is_named_with_what_helps(jobs: Jobs, home: Path, folder: str) -> None:
    """Exit 8, and no figures: those of the other directories would be taken for all."""
    jobs.pending("a")
    closed = home / "spool" / folder
    closed.chmod(0)
    try:
        line = [*as_if_not_root(), sys.executable, str(ROOT / "queuectl"), "status"]
        ran = subprocess.run(line, capture_output=True, text=True, check=False)
    finally:
        closed.chmod(0o700)
    assert (ran.returncode, ran.stdout) == (8, "")
    assert ran.stderr.splitlines() == [
        f"queuectl: cannot use {closed}: Permission denied",
        f"          hint: chmod 700 {closed}",
    ]
