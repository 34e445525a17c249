"""hold and release: waiting jobs that must not start yet."""

from __future__ import annotations

import json

import pytest

from tests.cli.support import Jobs, Run, refused


@pytest.mark.parametrize("state", ["pending", "failed"])
def test_a_waiting_job_is_held_and_released(cli: Run, jobs: Jobs, state: str) -> None:
    getattr(jobs, state)("a")
    ran = cli("hold", "a")
    assert (ran.code, ran.out, ran.err) == (0, "", "Held a: it starts after queuectl release a\n")
    assert jobs.queue.get("a").state == "held"
    ran = cli("release", "a")
    assert (ran.code, ran.out, ran.err) == (0, "", "Released a\n")
    assert jobs.queue.get("a").state == "pending"


def test_one_that_is_held_stays_so(cli: Run, jobs: Jobs) -> None:
    jobs.held("a")
    jobs.pending("b")
    history = jobs.queue.get("a").history
    assert cli("hold", "a").err == "a has been held already\n"
    assert jobs.queue.get("a").history == history
    made = json.loads(cli("hold", "a", "b", "--json").out)
    assert (made["ids"], made["unchanged"]) == (["b"], [{"id": "a", "state": "held"}])


@pytest.mark.parametrize(
    ("verb", "state", "message"),
    [
        ("hold", "completed", "queuectl: job a is completed; only a waiting job can be held"),
        ("hold", "dead", "queuectl: job a is dead; only a waiting job can be held"),
        ("release", "pending", "queuectl: job a is pending, not held"),
    ],
)
def test_other_jobs_are_a_conflict(cli: Run, jobs: Jobs, verb: str, state: str, message: str) -> None:
    getattr(jobs, state)("a")
    refused(cli(verb, "a"), 4, message)


@pytest.mark.parametrize(("verb", "state", "after"), [("hold", "pending", "held"), ("release", "held", "pending")])
def test_selectors_choose_only_jobs_that_it_can_be_done_to(
    cli: Run, jobs: Jobs, verb: str, state: str, after: str
) -> None:
    getattr(jobs, state)("a", queue="night")
    getattr(jobs, state)("b", queue="night")
    getattr(jobs, state)("other")
    jobs.dead("dead")
    refused(
        cli(verb, "--queue", "night"),
        2,
        f"queuectl: this would {verb} 2 jobs ({state}): without a terminal it needs --yes",
        f"          hint: queuectl {verb} --queue night --yes   (--dry-run only counts)",
    )
    assert sorted(cli(verb, "--queue", "night", "--dry-run", "-o", "name").out.split()) == ["a", "b"]
    assert cli(verb, "--queue", "night", "--yes").code == 0
    states = {job_id: jobs.queue.get(job_id).state for job_id in ("a", "b", "other", "dead")}
    assert states == {"a": after, "b": after, "other": state, "dead": "dead"}


def test_the_state_pending_may_be_named(cli: Run, jobs: Jobs) -> None:
    """The word includes held jobs, which cannot be held."""
    jobs.pending("a")
    jobs.held("b")
    assert json.loads(cli("hold", "--state", "pending", "--yes", "--json").out)["ids"] == ["a"]
    assert cli("hold", "--state", "held", "--yes").code == 2


def test_ids_come_from_another_command(cli: Run, jobs: Jobs) -> None:
    for job_id in ("a", "b"):
        jobs.pending(job_id)
    assert cli("hold", "-", stdin=cli("list", "-o", "name").out.encode()).err == "Held 2 jobs\n"
