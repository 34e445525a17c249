"""dlq: list, show, retry, delete, of dead jobs only."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.cli.support import Jobs, Run


def test_dead_jobs_are_listed_and_no_others(
    cli: Run, jobs: Jobs, now: Callable[[float], None], golden: Callable[[str, str], None]
) -> None:
    jobs.dead("d1", command="python train.py --fold 9")
    now(60)
    jobs.dead("d2", {"exit_code": 3, "signal": "SIGTERM"})
    jobs.completed("c")
    jobs.failed("f")
    golden("dlq-list", cli("dlq", "list").out)
    assert cli("dlq", "list", "-o", "name").out == "d2\nd1\n"
    assert {job["state"] for job in json.loads(cli("dlq", "list", "--json").out)} == {"dead"}


def test_equal_errors_are_grouped(cli: Run, jobs: Jobs, now: Callable[[float], None]) -> None:
    for number in range(3):
        jobs.dead(f"closed-{number}", {"error": f"connection closed after {number} bytes", "exit_code": 12}, queue="q")
        now(1)
    jobs.dead("full", {"error": "No space left on device"})
    jobs.failed("waits")
    lines = cli("dlq", "list", "--group").out.splitlines()
    assert [line.split()[:1] for line in lines] == [["JOBS"], ["3"], ["1"]]
    assert "closed-2" in lines[1]
    assert lines[1].endswith("  connection closed after 2 bytes")
    groups = json.loads(cli("dlq", "list", "--group", "--json").out)
    assert [(group["count"], group["id"]) for group in groups] == [(3, "closed-2"), (1, "full")]
    assert groups[0]["last_error"] == "connection closed after 2 bytes"
    assert cli("dlq", "list", "--group", "-o", "name").out == "closed-2\nfull\n"
    assert cli("dlq", "list", "--group", "--error", "space", "-o", "name").out == "full\n"
    assert cli("dlq", "list", "--group", "--queue", "q", "--since", "1h", "-o", "name").out == "closed-2\n"
    assert cli("dlq", "list", "--group", "--limit", "1").err == "(1 of 2 errors shown)\n"
    assert cli("dlq", "list", "--group", "--queue", "nobody", "--json").out == "[]\n"


def test_an_empty_dlq(cli: Run) -> None:
    assert cli("dlq", "list").out == ""
    assert cli("dlq", "list", "--json").out == "[]\n"


def test_retry_puts_a_dead_job_back(cli: Run, jobs: Jobs) -> None:
    jobs.dead("d")
    ran = cli("dlq", "retry", "d")
    assert (ran.code, ran.err) == (0, "d runs again: attempt 2\n")
    assert jobs.queue.get("d").state == "pending"


def test_delete_removes_a_dead_job(cli: Run, jobs: Jobs) -> None:
    jobs.dead("d")
    assert cli("dlq", "delete", "d").err == "Deleted d\n"
    assert jobs.spool.find("d") is None


def test_show_tells_all_about_a_dead_job(cli: Run, jobs: Jobs) -> None:
    jobs.dead("d")
    assert cli("dlq", "show", "d").out == cli("show", "d").out


@pytest.mark.parametrize(
    ("verb", "hint"),
    [
        ("retry", "          hint: to run it now: queuectl retry a\n"),
        ("delete", "          hint: to delete it all the same: queuectl delete a\n"),
        ("show", ""),
    ],
)
def test_a_job_in_another_state_is_a_conflict_that_names_the_state(cli: Run, jobs: Jobs, verb: str, hint: str) -> None:
    jobs.failed("a")
    ran = cli("dlq", verb, "a")
    assert (ran.code, ran.out) == (4, "")
    assert ran.err == f"queuectl: job a is not dead: it is failed\n{hint}"
    assert jobs.queue.get("a").state == "failed"


def test_the_dead_among_several_are_put_back(cli: Run, jobs: Jobs) -> None:
    jobs.dead("d")
    jobs.completed("c")
    ran = cli("dlq", "retry", "d", "c")
    assert ran.code == 7
    assert jobs.queue.get("d").state == "pending"
    assert jobs.queue.get("c").state == "completed"
