"""priority: waiting jobs start earlier or later."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.support import Jobs, Run, refused


def test_the_priority_of_a_job_is_changed(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a")
    ran = cli("priority", "5", "a")
    assert (ran.code, ran.out, ran.err) == (0, "", "a: priority 0 → 5\n")
    assert jobs.queue.get("a").priority == 5
    assert cli("priority", "-5", "a").err == "a: priority 5 → -5\n"
    history = jobs.queue.get("a").history
    assert cli("priority", "-5", "a").err == "a has priority -5 already: it is pending\n"
    assert jobs.queue.get("a").history == history


def test_selectors_choose_waiting_jobs(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a", queue="night")
    jobs.failed("b", queue="night")
    jobs.completed("c", queue="night")
    refused(
        cli("priority", "-3", "--queue", "night"),
        2,
        "queuectl: this would edit 2 jobs (1 pending, 1 failed): without a terminal it needs --yes",
        "          hint: queuectl priority -3 --queue night --yes   (--dry-run only counts)",
    )
    assert sorted(json.loads(cli("priority", "-3", "--queue", "night", "--yes", "--json").out)["ids"]) == ["a", "b"]


def test_other_jobs_are_a_conflict_and_other_numbers_are_refused(cli: Run, jobs: Jobs) -> None:
    jobs.completed("a")
    assert cli("priority", "5", "a").code == 4
    refused(cli("priority", "1001", "a"), 2, "queuectl: the priority must be an integer from -1000 to 1000, not 1001")
    assert cli("priority", "high", "a").code == 2


def test_the_hint_of_an_edit_can_be_typed(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a", queue="night")
    ran = cli("edit", "--queue", "night", "--set", "weight=2", "--unset", "timeout")
    assert "hint: queuectl edit --set weight=2 --unset timeout --queue night --yes" in ran.err


def test_an_edit_reads_what_a_job_waits_for_and_takes(cli: Run, jobs: Jobs, home: Path) -> None:
    (home / "config.yaml").write_text("resources: {gpu: 1}\n")
    for job_id in ("a", "b", "c"):
        jobs.pending(job_id)
    assert (
        cli("edit", "c", "--set", "after=a,b", "--set", "needs=gpu=1", "--set", "lock=db:2", "--set", "weight=3").code
        == 0
    )
    fields = jobs.queue.get("c").fields
    assert [fields[name] for name in ("after", "needs", "lock", "weight")] == [["a", "b"], {"gpu": 1}, "db:2", 3]
