"""delete: jobs and all they wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from queuectl.errors import NotFound
from tests.cli.support import Jobs, Run


@pytest.mark.parametrize("state", ["pending", "held", "failed", "completed", "cancelled", "dead"])
def test_a_job_in_any_state_is_gone_with_what_it_wrote(cli: Run, jobs: Jobs, home: Path, state: str) -> None:
    getattr(jobs, state)("a")
    ran = cli("delete", "a")
    assert (ran.code, ran.out, ran.err) == (0, "", "Deleted a\n")
    assert not [*home.glob("spool/*/a*"), *home.glob("output/a*")]
    assert cli("delete", "a").code == 3


def test_naming_ids_is_consent_also_for_several(cli: Run, jobs: Jobs, home: Path) -> None:
    for job_id in ("a", "b"):
        jobs.pending(job_id)
    assert cli("delete", "a", "b").err == "Deleted 2 jobs\n"
    assert not [*home.glob("spool/pending/*")]


@pytest.mark.parametrize("command", [("delete",), ("cancel",), ("retry",), ("dlq", "delete"), ("purge",)])
def test_a_prefix_of_an_id_that_was_chosen_changes_no_other_job(cli: Run, jobs: Jobs, command: tuple[str, ...]) -> None:
    """job-1 was deleted; typed once more it must not reach job-10."""
    jobs.dead("job-10")
    ran = cli(*command, "job-1")
    assert ran.code == 3
    assert "Did you mean job-10 (dead)?" in ran.err
    assert jobs.queue.get("job-10").state == "dead"


def test_a_generated_id_may_be_abbreviated(cli: Run, jobs: Jobs) -> None:
    job_id = jobs.queue.enqueue("true")
    assert cli("delete", job_id[:12]).code == 0
    with pytest.raises(NotFound):
        jobs.queue.get(job_id)
