"""check: ranges, perfdata and exit codes as monitoring systems read them; it never hangs and never cries wolf."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.cli.check_metrics import MEASURES
from queuectl.cli.commands import check
from queuectl.cli.commands.check import STATES
from queuectl.cli.thresholds import figure, parse_range
from queuectl.cli.verbs import load
from queuectl.client.queue import Queue
from queuectl.spool.fs import Files
from tests.cli.support import Jobs, Run
from tests.support.permissions import as_if_not_root

ROOT = Path(__file__).resolve().parents[2]
PERFDATA = re.compile(r"'?([^'=]+)'?=(U|-?[\d.]+)(s|%|)((?:;[@~\d.:-]*){0,4})$")
Passes = Callable[[float], None]


@pytest.fixture(autouse=True)
def disk(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many hundredths of the disk are free."""
    free = [81]
    monkeypatch.setattr(Files, "free_bytes", lambda self, path: (free[0] << 30, 100 << 30))
    return free


def read(out: str) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Take a plugin's line apart as a monitoring system does: state and text, figures by label."""
    assert out.count("\n") == 1
    text, _, data = out.rstrip("\n").partition(" | ")
    found = {}
    for part in data.split():
        match = PERFDATA.match(part)
        assert match, part
        found[match[1]] = (match[2], match[3], *(match[4].split(";")[1:]))
    return text, found


# --- ranges


@pytest.mark.parametrize(
    ("text", "alarms", "fine"),
    [
        ("10", (-1, 10.1), (0, 10)),
        ("10:", (9.9, -5), (10, 1e9)),
        ("~:10", (10.1,), (-1e9, 10)),
        (":10", (-1, 11), (0, 10)),
        ("10:20", (9, 21), (10, 20)),
        ("@10:20", (10, 15, 20), (9, 21)),
        ("@5", (0, 5), (-1, 6)),
        ("-10:-5", (-11, -4, 0), (-10, -5)),
        ("5m", (301,), (300,)),
        ("5m:1h", (299, 3601), (300, 3600)),
        ("~:", (), (-1e9, 1e9)),
    ],
)
def test_a_range_alarms_where_the_guidelines_say(text: str, alarms: tuple[float], fine: tuple[float]) -> None:
    found = parse_range(text)
    assert all(found.alarms(value) for value in alarms)
    assert not any(found.alarms(value) for value in fine)


@pytest.mark.parametrize("text", ["", "@", "abc", "20:10", "10:20:30", "~", "10:~", "--5", "5x", "1e3"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a range, as"):
        parse_range(text)


bounds = st.one_of(st.integers(-10_000, 10_000), st.integers(-1000, 1000).map(lambda n: n / 4))


@given(bounds, bounds, st.booleans(), bounds)
def test_a_range_as_it_is_written_in_perfdata_means_the_same(a: float, b: float, inside: bool, value: float) -> None:
    text = f"{'@' if inside else ''}{figure(min(a, b))}:{figure(max(a, b))}"
    assert parse_range(str(parse_range(text))).alarms(value) is parse_range(text).alarms(value)


# --- what it says


def test_a_queue_that_is_well(cli: Run, jobs: Jobs, now: Passes) -> None:
    jobs.completed("a")
    ran = cli("check")
    assert (ran.code, ran.err) == (0, "")
    text, found = read(ran.out)
    assert text == "QUEUECTL OK - 0 waiting, no workers, 0 dead"
    assert list(found) == list(MEASURES)
    assert found["disk_free"] == ("81", "%", "10:", "5:", "0", "100")
    assert found["oldest"] == ("0", "s", "300", "3600", "0")
    assert cli("check", "-q").out == ""


def test_the_worst_comes_first_and_decides(cli: Run, jobs: Jobs, now: Passes, disk: list[int]) -> None:
    jobs.dead("d")
    jobs.pending("a")
    now(600)
    disk[0] = 4
    ran = cli("check", "-q")
    text, found = read(ran.out)
    assert ran.code == 2
    assert text.startswith(
        "QUEUECTL CRITICAL - stranded 1 (above 0); disk_free 4% (below 5%); oldest 10m 00s (above 5m 00s);"
        " dead_today 1 (above 0); 1 waiting (oldest 10m 00s), no workers, 1 dead"
    )
    assert (found["oldest"][:2], found["stranded"][0]) == (("600", "s"), "1")


def test_ranges_that_are_given_replace_those_of_the_same_figure_only(cli: Run, jobs: Jobs, now: Passes) -> None:
    jobs.dead("d")
    assert cli("check").code == 1
    assert cli("check", "-w", "dead_today=~:").code == 0
    assert cli("check", "-c", "dead=0", "-w", "dead_today=1").code == 2
    assert cli("check", "-w", "dead_today=~:", "-c", "workers=1:").out.startswith(
        "QUEUECTL CRITICAL - workers 0 (below 1)"
    )


def test_failures_of_the_last_hour_are_counted_by_attempts(cli: Run, jobs: Jobs, now: Passes) -> None:
    jobs.failed("f")
    jobs.dead("d")
    now(60)
    ran = cli("check", "-w", "failed_1h=1")
    assert "failed_1h 2 (above 1)" in ran.out
    now(7200)
    assert read(cli("check").out)[1]["failed_1h"][0] == "0"


@pytest.mark.parametrize(
    ("fields", "waits", "waited"),
    [({"run_at": "2020-01-01T00:00:00Z"}, 20, "20s"), ({"run_at": "2026-11-24T14:02:08Z"}, 10, "10s"), ({}, 20, "20s")],
    ids=["past", "future", "none"],
)
def test_a_job_waits_from_when_it_was_enqueued_and_may_start(
    cli: Run, jobs: Jobs, now: Passes, fields: dict[str, Any], waits: float, waited: str
) -> None:
    """Every command has the same time: `--at` in the past makes a new job no older."""
    jobs.pending("a", **fields)
    now(20)
    measures = {row["key"]: row["value"] for row in json.loads(cli("check", "--json").out)["measures"]}
    assert measures["oldest"] == waits
    assert json.loads(cli("status", "--json").out)["oldest_waiting_s"] == waits
    assert json.loads(cli("stats", "--json").out)["oldest_waiting_s"] == waits
    assert f'queuectl_oldest_pending_seconds{{queue="default"}} {waits:.1f}' in cli("metrics").out.splitlines()
    with jobs.start("a") as claim:
        claim.finish({"exit_code": 0})
    jobs.spool.note_change("a")
    assert f"queuectl_job_wait_seconds_sum {waits:.1f}" in cli("metrics").out.splitlines()
    assert waited in cli("show", "a").out.splitlines()[-1].split("  ")


def test_json_has_every_figure(cli: Run, jobs: Jobs) -> None:
    jobs.dead("d")
    ran = cli("check", "--json")
    told = json.loads(ran.out)
    assert (ran.code, told["state"], told["exit_code"]) == (1, "WARNING", 1)
    assert [row["key"] for row in told["measures"]] == list(MEASURES)


# --- what cannot be found out is UNKNOWN


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (("-w", "oldst=5"), 'there is no metric "oldst"; did you mean "oldest"?; there are oldest, waiting'),
        (("-w", "oldest=soon"), '-w oldest: "soon" is not a range, as "10"'),
        (("-w", "dead_today=/root:"), '-w dead_today: "/root:" is not a range, as "10"'),
        (("-c", "oldest"), '-c must be KEY=RANGE, not "oldest"'),
        (("--timeout", "0"), "--timeout must be more than 0"),
        (("--bogus",), "unknown option --bogus"),
        (("extra",), 'unexpected argument "extra"'),
        (("-w", "a|b=1"), 'there is no metric "a/b"'),
    ],
)
def test_misuse_is_unknown_and_never_2(cli: Run, jobs: Jobs, line: tuple[str, ...], says: str) -> None:
    ran = cli("check", *line)
    assert (ran.code, ran.err) == (3, "")
    assert ran.out.startswith(f"QUEUECTL UNKNOWN - {says}")
    assert ran.out.count("\n") == 1
    assert json.loads(cli("check", *line, "--json").out)["state"] == "UNKNOWN"


def test_other_commands_called_check_keep_their_exit_codes(cli: Run) -> None:
    assert cli("config", "check", "--bogus").code == 2


def test_where_there_is_no_queue_nothing_is_made(cli: Run, home: Path) -> None:
    shutil.rmtree(home)
    ran = cli("check")
    assert (ran.code, ran.out.partition(": ")[0]) == (3, f"QUEUECTL UNKNOWN - no queue at {home} ($QUEUECTL_HOME)")
    assert not home.exists()


def test_a_home_of_somebody_else_is_unknown(cli: Run, home: Path) -> None:
    home.chmod(0o777)
    assert cli("check").code == 3


@pytest.mark.parametrize(
    ("folder", "mode", "code", "text"),
    [
        ("logs", 0o500, 0, "No worker can be started"),
        ("state", 0o500, 0, "No worker can be started"),
        ("input", 0o500, 0, "No worker can be started"),
        ("spool/rejected", 0o000, 0, "No worker can be started"),
        ("spool", 0o500, 0, "Jobs can be enqueued, but not run"),
        ("spool/dead", 0o500, 0, "Jobs can be enqueued, but not run"),
        ("run", 0o000, 0, "Jobs can be enqueued, but not run"),
        ("output", 0o300, 0, "Jobs can be enqueued, but not run"),
        ("spool/pending", 0o000, 8, "Nothing can be enqueued or run"),
        ("spool", 0o000, 8, "Nothing can be enqueued or run"),
    ],
)
def test_a_directory_that_is_closed_is_critical_and_says_what_it_stops(
    home: Path, folder: str, mode: int, code: int, text: str
) -> None:
    """What check says agrees with what enqueue and worker start do."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        line = [*as_if_not_root(), sys.executable, str(ROOT / "queuectl"), *words]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    (home / folder).chmod(mode)
    try:
        checked, started, enqueued = run("check"), run("worker", "start"), run("enqueue", "--command", "true")
    finally:
        (home / folder).chmod(0o700)
    assert (checked.returncode, started.returncode, enqueued.returncode) == (2, 8, code)
    assert f"{text}: {home}/{folder} cannot be " in checked.stdout


def test_a_bug_is_unknown(cli: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **_more: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(check, "look", fail)
    ran = cli("check")
    assert (ran.code, ran.out) == (3, "QUEUECTL UNKNOWN - ZeroDivisionError\n")


def test_without_an_index_what_it_alone_knows_is_unknown_and_the_rest_is_told(
    cli: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, disk: list[int]
) -> None:
    from queuectl.index.reader import IndexUnavailable

    def fail(*_: object) -> None:
        raise IndexUnavailable("the index is damaged")

    jobs.pending("a")
    monkeypatch.setattr(Queue, "reader", fail)
    ran = cli("check")
    text, found = read(ran.out)
    assert ran.code == 3
    assert text.startswith("QUEUECTL UNKNOWN - the index is damaged: no oldest, dead_today, stranded; ? waiting")
    assert found["oldest"][0] == "U"
    disk[0] = 1
    assert cli("check").code == 2


@pytest.mark.parametrize(("due", "code", "state"), [(True, 2, "CRITICAL"), (False, 1, "WARNING")])
def test_a_supervisor_that_hangs_is_told_in_time(cli: Run, jobs: Jobs, *, due: bool, code: int, state: str) -> None:
    """It accepts the connection and never answers, as one that was stopped: nobody runs the jobs."""
    if due:
        jobs.pending("a")
    jobs.queue.counts()
    run = Path(jobs.queue.layout.run)
    (run / "supervisor.json").write_text('{"pid": 4711}')
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(run / "control.sock"))
        listener.listen()
        ran = cli("check", "--timeout", "2")
    assert ran.code == code
    assert ran.out.startswith(f"QUEUECTL {state} - ")
    assert "the supervisor (pid 4711) does not answer" in ran.out


def test_an_index_that_somebody_else_keeps_is_unknown_in_time(cli: Run, jobs: Jobs) -> None:
    from filelock import FileLock

    jobs.pending("a")
    with FileLock(f"{jobs.queue.layout.run}/index.lock"):
        assert cli("check", "--timeout", "0.2").code == 3


# --- what help says


def test_where_nobody_can_read_it_the_exit_code_still_tells(home: Path) -> None:
    """A full disk behind stdout, or a closed pipe, is no bug of ours and shows no traceback."""
    for target in ("/dev/full", None):
        reader, writer = os.pipe()
        os.close(reader)
        stdout = os.open(target, os.O_WRONLY) if target else os.dup(writer)
        words = [sys.executable, "-m", "queuectl", "--home", str(home / "none"), "check"]
        ran = subprocess.run(words, stdout=stdout, stderr=subprocess.PIPE, check=False)
        os.close(stdout)
        os.close(writer)
        assert (ran.returncode, ran.stderr) == (3, b"")


def test_help_names_every_figure_and_every_default() -> None:
    options: dict[str, Any] = {names[0]: more["help"] for names, more in load("check").options}
    assert all(re.search(rf"\b{key}\b", options["-c"]) for key in MEASURES)
    for option, attribute in (("-w", "warning"), ("-c", "critical")):
        [told] = re.findall(r"\(default: ([^)]*)\)", options[option])
        assert dict(part.split("=") for part in told.split(", ")) == {
            key: getattr(measure, attribute) for key, measure in MEASURES.items() if getattr(measure, attribute)
        }


def test_states_are_their_exit_codes() -> None:
    assert STATES == ("OK", "WARNING", "CRITICAL", "UNKNOWN")


def test_a_queue_that_cannot_accept_jobs_is_critical(cli: Run, home: Path) -> None:
    (home / "config.yaml").write_text("timeout: soon\n")
    ran = cli("check")
    assert ran.code == 2
    assert ran.out.startswith(
        f"QUEUECTL CRITICAL - Nothing can be enqueued or run: {home}/config.yaml:1: timeout must be"
    )
    assert " blocked=1;;0;0 " in ran.out
    assert cli("enqueue", "--command", "true").code == 6
    assert cli("check", "-c", "blocked=~:").code == 0
