"""delete: jobs and all they wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

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
