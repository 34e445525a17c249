"""retry: jobs in every state run again now."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.cli.support import NOW, Jobs, Run


@pytest.mark.parametrize("state", ["dead", "completed", "cancelled"])
def test_what_has_ended_runs_again_with_a_fresh_budget(cli: Run, jobs: Jobs, state: str) -> None:
    getattr(jobs, state)("a")
    attempts = jobs.queue.get("a").attempts
    ran = cli("retry", "a")
    assert (ran.code, ran.out, ran.err) == (0, "", f"a runs again: attempt {attempts + 1}\n")
    job = jobs.queue.get("a")
    assert (job.state, job.failures, job.attempts) == ("pending", 0, attempts)


def test_what_waits_loses_its_delay_and_keeps_its_budget(cli: Run, jobs: Jobs, now: Callable[[float], None]) -> None:
    jobs.failed("a")
    assert cli("retry", "a").code == 0
    job = jobs.queue.get("a")
    assert (job.state, job.failures, job.run_at) == ("pending", 1, NOW)


def test_a_running_job_is_a_conflict(cli: Run, jobs: Jobs) -> None:
    with jobs.running("a"):
        ran = cli("retry", "a")
    assert (ran.code, ran.err) == (4, "queuectl: job a is running\n")


def test_several_and_one_that_is_missing(cli: Run, jobs: Jobs) -> None:
    jobs.dead("a")
    jobs.dead("b")
    ran = cli("retry", "a", "b", "gone", "--json")
    done = json.loads(ran.out)
    assert (ran.code, done["ids"], len(done["failed"])) == (7, ["a", "b"], 1)
