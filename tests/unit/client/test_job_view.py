"""The one shape of a job in JSON, and what a Job gives to Python callers."""

from __future__ import annotations

from pathlib import Path

import pytest

from queuectl.client.job_view import DETAIL, ROW, Job, row_as_dict
from queuectl.clock import parse_instant
from queuectl.errors import NotFound
from queuectl.index.rows import as_dict, row_of
from queuectl.job.fields import FIELDS
from tests.support.spools import Home


@pytest.fixture
def spool(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def view(spool: Home, job_id: str) -> Job:
    return Job(spool.job(job_id), spool.layout, spool.settings)


def test_every_field_of_an_author_has_its_place() -> None:
    assert set(FIELDS) <= set(DETAIL)
    assert len(set(DETAIL)) == len(DETAIL)


def test_a_row_is_the_beginning_of_the_detail(spool: Home) -> None:
    """The job says as little as it may, or as much; the members are the same."""
    plain = spool.enqueue({"command": "true"})
    whole = spool.enqueue(
        {
            **{"argv": ["echo", "x y"], "queue": "q", "name": "n", "batch": "b", "priority": 3, "tags": ["a", "b"]},
            **{"max_retries": 0, "timeout": 5, "kill_after": 0.5, "backoff_base": 1.5, "unique_key": "k"},
            **{"run_at": "2027-01-15T13:28:20+05:30", "expires_at": "2028-01-15T13:28:20+05:30", "cwd": "/"},
            **{"env": {"A": "b"}, "leftovers": "leave"},
        }
    )
    for job_id in (plain, whole):
        shown = view(spool, job_id).as_dict()
        row = row_as_dict(as_dict(row_of(spool.job(job_id))), spool.settings.max_retries_default)
        assert [*shown] == [*DETAIL]
        assert [*row] == [*ROW]
        assert {name: shown[name] for name in ROW} == row
    assert (shown["run_at"], shown["expires_at"]) == ("2027-01-15T07:58:20.000000Z", "2028-01-15T07:58:20.000000Z")
    assert (shown["command"], shown["argv"], shown["max_retries"]) == ("echo 'x y'", ["echo", "x y"], 0)


def test_what_else_the_author_wrote_follows_and_hides_nothing(spool: Home) -> None:
    job_id = spool.enqueue({"command": "true", "owner": "ann", "result": "mine", "attempt_list": 7})
    shown = view(spool, job_id).as_dict()
    assert [*shown] == [*DETAIL, "owner"]
    assert (shown["owner"], shown["result"], shown["attempt_list"]) == ("ann", None, [])


def test_instants_at_the_ends_of_the_calendar_can_be_shown(spool: Home) -> None:
    for instant in ("0001-01-01T00:00:00Z", "0001-01-01T14:00:00+14:00", "9999-12-31T23:59:59Z"):
        job_id = spool.enqueue({"command": "true", "created_at": instant, "run_at": instant, "expires_at": instant})
        shown = view(spool, job_id).as_dict()
        assert parse_instant(shown["run_at"]) == parse_instant(shown["expires_at"]) == parse_instant(instant)


def test_a_job_has_its_result_and_its_output(spool: Home) -> None:
    job_id = spool.enqueue({"command": "true"})
    job = view(spool, job_id)
    assert (job.result, job.progress) == (None, None)
    with pytest.raises(NotFound, match="has not run yet"):
        job.output_text()
    with spool.start(job_id) as claim:
        Path(spool.layout.output_of(job_id, 1)).write_bytes(b"one\xff\n")
        Path(spool.layout.output_of(job_id, 1, "result")).write_text('{"rows": 12}')
        Path(spool.layout.output_of(job_id, 1, "progress")).write_text("0.4 converting\n")
        assert view(spool, job_id).progress == "40% converting"
        claim.finish({"exit_code": 0})
    job = view(spool, job_id)
    assert (job.result, job.progress, job.output_text()) == ({"rows": 12}, None, "one\\xff\n")
    assert job.as_dict()["attempt_list"][0]["output_bytes"] == 5
    with pytest.raises(NotFound, match="has no attempt 2: it has 1 attempt"):
        job.output_text(2)
    Path(job.output_path()).unlink()
    with pytest.raises(NotFound, match="has been removed"):
        job.output_text()
