"""purge: many jobs at once, counted first and agreed to."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from queuectl.client.queue import Queue
from queuectl.index.database import IndexUnavailable
from queuectl.spool.fs import Files
from tests.cli.support import Jobs, Ran, Run, refused

ROOT = Path(__file__).resolve().parents[2]


def some(jobs: Jobs) -> None:
    for name in ("a", "b"):
        jobs.completed(name, b"12345", queue="q")
    jobs.cancelled("c", tags=["x"])
    jobs.dead("d")
    jobs.pending("e", "needle")
    jobs.failed("f")


def left(home: Path) -> list[str]:
    return sorted(path.stem for path in home.glob("spool/*/*.json"))


def test_completed_and_cancelled_jobs_go_when_nothing_else_is_said(cli: Run, jobs: Jobs, home: Path) -> None:
    some(jobs)
    ran = cli("purge", "--yes")
    assert (ran.code, ran.out, ran.err) == (0, "", "Removed 3 jobs, 10 B of output\n")
    assert left(home) == ["d", "e", "f"]
    assert cli("list", "-o", "name").out.split() != []
    assert sorted(row["id"] for row in json.loads(cli("list", "--json").out)) == ["d", "e", "f"]


def test_jobs_that_are_named_go_without_a_question(cli: Run, jobs: Jobs, home: Path) -> None:
    some(jobs)
    ran = cli("purge", "--output-only", "a")
    assert (ran.code, ran.err) == (0, "Removed what 1 job wrote, 5 B\n")
    assert left(home) == [*"abcdef"]
    assert [path.name for path in (home / "output").glob("a.*")] == []
    assert "Would remove 2 jobs (1 pending, 1 dead)" in cli("purge", "d", "e", "--dry-run").err
    ran = cli("purge", "d", "-", "nope", stdin=b"e\n")
    assert (ran.code, left(home)) == (7, [*"abcf"])
    assert 'no job "nope"' in ran.err
    assert cli("purge", "a", "--state", "dead").code == 2


def test_a_running_job_that_is_named_stays(cli: Run, jobs: Jobs, home: Path) -> None:
    with jobs.running("r", b"12345"):
        ran = cli("purge", "--output-only", "r")
        assert (ran.code, "hint: cancel it first: queuectl cancel r" in ran.err) == (4, True)
        assert (home / "output/r.1.log").read_bytes() == b"12345"


@pytest.mark.parametrize(
    ("selector", "gone"),
    [
        (("--state", "dead"), "d"),
        (("--state", "failed,pending", "--state", "dead"), "def"),
        (("--queue", "q"), "ab"),
        (("--tag", "x"), "c"),
        (("--state", "pending", "--search", "NEEDLE"), "e"),
        (("--state", "dead", "--queue", "nobody"), ""),
        (("--older-than", "1h"), ""),
        (("--older-than", "0s"), "abc"),
    ],
)
def test_selectors_say_which(cli: Run, jobs: Jobs, home: Path, selector: tuple[str, ...], gone: str) -> None:
    some(jobs)
    assert cli("purge", *selector, "--yes").code == 0
    assert left(home) == [name for name in "abcdef" if name not in gone]


def test_one_job_that_does_not_exist_is_only_an_error_as_with_other_commands(cli: Run, jobs: Jobs) -> None:
    jobs.completed("a")
    refused(cli("purge", "nosuch"), 3, 'queuectl: no job "nosuch"')
    refused(cli("purge", "nosuch", "--json"), 3)


@pytest.mark.parametrize("option", ["--older-than", "--since"])
def test_a_number_without_a_unit_is_not_taken_for_seconds(cli: Run, jobs: Jobs, option: str) -> None:
    some(jobs)
    refused(
        cli("purge", option, "30", "--yes"),
        2,
        f'queuectl: {option} "30" has no unit',
        "          hint: 30d is days, 30h hours, 30s seconds",
    )
    assert cli("purge", "--older-than", "0", "--dry-run").code == 0


def test_age_counts_from_the_last_change(cli: Run, jobs: Jobs, home: Path, now: object) -> None:
    jobs.completed("a")
    now(7200)  # type: ignore[operator]
    jobs.completed("b")
    cli("purge", "--older-than", "1h", "--yes")
    assert left(home) == ["b"]


def test_without_a_terminal_it_needs_yes(cli: Run, jobs: Jobs, home: Path) -> None:
    some(jobs)
    ran = cli("purge")
    assert ran.code == 2
    assert ran.err == (
        "queuectl: this would remove 3 jobs (2 completed, 1 cancelled) and their output, permanently:"
        " without a terminal it needs --yes\n"
        "          hint: queuectl purge --yes   (--dry-run only counts)\n"
    )
    for yes in ([], ["--yes"]):
        ran = cli("purge", "--queue", "nobody", *yes)
        assert (ran.code, ran.err) == (0, 'No job matches: no job has the queue "nobody"\n')
    only_dead = cli("purge", "--search", "nobody", "--state", "dead")
    assert (only_dead.code, only_dead.err) == (0, "No job matches\n")
    assert len(left(home)) == 6


def test_a_trial_counts_by_state_and_removes_nothing(cli: Run, jobs: Jobs, home: Path) -> None:
    some(jobs)
    ran = cli("purge", "--state", "completed,dead", "--dry-run")
    assert ran.err == "Would remove 3 jobs (2 completed, 1 dead) and their output; nothing was done\n"
    assert ran.code == 0
    made = json.loads(cli("purge", "--dry-run", "--json").out)
    assert made == {"action": "purge", "dry_run": True, "matched": 3, "by_state": {"completed": 2, "cancelled": 1}}
    assert len(left(home)) == 6


def test_only_output_goes_when_that_is_asked_for(cli: Run, jobs: Jobs, home: Path) -> None:
    some(jobs)
    assert cli("purge", "--output-only", "--queue", "q", "--yes").err == "Removed what 2 jobs wrote, 10 B\n"
    assert len(left(home)) == 6
    assert sorted(path.name for path in home.glob("output/*")) == ["d.1.log", "f.1.log"]


def test_running_jobs_are_not_purged(cli: Run, jobs: Jobs) -> None:
    with jobs.running("a"):
        for states in ("processing", "all"):
            ran = cli("purge", "--state", states, "--yes")
            assert ran.code == 2
            assert "running jobs are not purged" in ran.err


def test_what_cannot_be_removed_is_told_and_the_code_is_seven(cli: Run, jobs: Jobs, home: Path) -> None:
    some(jobs)
    (home / "output" / "a.1.log").unlink()
    (home / "output" / "a.1.log").mkdir()
    ran = cli("purge", "--yes", "--json")
    made = json.loads(ran.out)
    assert (ran.code, len(made["ids"]), made["matched"]) == (7, 2, 3)
    assert [failed["id"] for failed in made["failed"]] == ["a"]
    assert left(home) == ["a", "d", "e", "f"]


def test_json_is_what_other_bulk_commands_print(cli: Run, jobs: Jobs) -> None:
    some(jobs)
    made = json.loads(cli("purge", "a", "d", "--yes", "--json").out)
    sizes = {"output_bytes": made["output_bytes"], "output_only": False}
    assert made == {"action": "purge", "matched": 2, "ids": ["a", "d"], "unchanged": [], "failed": [], **sizes}


def test_names_are_printed_where_they_are_asked_for(cli: Run, jobs: Jobs) -> None:
    some(jobs)
    assert sorted(cli("purge", "--yes", "-o", "name").out.split()) == ["a", "b", "c"]


def test_more_jobs_than_a_page_holds(cli: Run, home: Path) -> None:
    queue = Queue(home)
    count = sum(isinstance(each, str) for each in queue.enqueue_many(["true"] * 2500))
    assert count == 2500
    assert cli("purge", "--state", "pending", "--yes").err == "Removed 2,500 jobs, 0 B of output\n"
    assert left(home) == []


def ask(answer: bytes, *argv: str) -> Ran:
    """Run it on a terminal and answer its question."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "queuectl"), "purge", *argv], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown, answered = b"", False
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:
            break
        shown += data
        if b"[y/N]" in shown and not answered:
            answered = True
            os.write(ours, answer)
    os.close(ours)
    return Ran(process.wait(), shown.decode().replace("\r\n", "\n"), "")


@pytest.mark.parametrize(("answer", "code", "count"), [(b"y\n", 0, 3), (b"n\n", 1, 6), (b"\n", 1, 6), (b"\x04", 1, 6)])
def test_on_a_terminal_it_asks(jobs: Jobs, home: Path, answer: bytes, code: int, count: int) -> None:
    some(jobs)
    ran = ask(answer)
    assert "Remove 3 jobs (2 completed, 1 cancelled) and their output, permanently? [y/N]" in ran.out
    assert (ran.code, len(left(home))) == (code, count)


def test_with_nothing_to_remove_it_does_not_ask(jobs: Jobs) -> None:
    ran = ask(b"", "--state", "dead")
    assert (ran.code, ran.out) == (0, "No job matches\n")


def test_a_full_disk_is_no_reason_to_keep_what_fills_it(cli: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """No index can be written there: the last one tells which jobs there are, in the room kept for verdicts."""
    jobs.completed("a")
    jobs.dead("d")
    jobs.queue.counts()
    jobs.spool.keep_ballast()

    def fail(*_: object) -> None:
        raise IndexUnavailable("the index cannot be used: database or disk is full", is_passing=True)

    monkeypatch.setattr(Queue, "complete_reader", fail)
    ran = cli("purge", "--yes")
    assert (ran.code, "free some disk space" in ran.err) == (9, True)
    monkeypatch.setattr(Files, "free_bytes", lambda *_: (0, 1 << 40))
    ran = cli("purge", "--yes")
    assert (ran.code, "Removed 1 job," in ran.err) == (0, True)
    assert (jobs.spool.find("a"), jobs.spool.find("d")) == (None, "dead")
    assert Path(jobs.queue.layout.ballast).exists()
