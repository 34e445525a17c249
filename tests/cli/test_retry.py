"""retry: jobs in every state run again now."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from queuectl.clock import spell
from queuectl.spool.intake import ClaimRefused
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


def expired(jobs: Jobs, *ids: str) -> None:
    """Jobs that expire at NOW + 60; to be called again once that has passed, when a claim moves them to dead/."""
    for job_id in ids:
        jobs.pending(job_id, expires_at=spell(NOW + 60))


@pytest.mark.parametrize("command", [["retry"], ["dlq", "retry"]])
def test_an_expired_job_runs_again_without_its_expiry(
    cli: Run, jobs: Jobs, now: Callable[[float], None], command: list[str]
) -> None:
    expired(jobs, "a", "b", "c")
    now(60 + 7200)
    for job_id in ("a", "b", "c"):
        assert isinstance(jobs.spool.claim(job_id, "w"), ClaimRefused)
        assert jobs.queue.get(job_id).dead_reason == "expired"
    ran = cli(*command, "a")
    assert (ran.code, ran.err) == (0, "a runs again: attempt 1; its expiry, 2h 00m ago, was removed\n")
    jobs.start("a").close()
    jobs.dead("d")
    ran = cli(*command, "b", "d")
    assert (ran.code, ran.err) == (0, "Put back 2 jobs (the expiry of 1 had passed and was removed)\n")
    made = json.loads(cli(*command, "c", "--json").out)
    assert made["expiry_removed"] == [{"id": "c", "expires_at": spell(NOW + 60)}]


def test_a_waiting_job_past_its_expiry_runs_too(cli: Run, jobs: Jobs, now: Callable[[float], None]) -> None:
    expired(jobs, "a")
    now(120)
    assert cli("retry", "a").err == "a runs again: attempt 1; its expiry, 1m 00s ago, was removed\n"
    jobs.start("a").close()
