"""The reports to hooks: what a verdict writes, when, and what later changes do to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from queuectl.job.fields import HOOKS
from queuectl.job.job import DONE, PROCESSING
from queuectl.spool import hooks
from queuectl.spool.claim import Claim, SpoolFull
from queuectl.spool.fs import Files
from queuectl.spool.group_commit import commit_group
from tests.support.clock import NOON
from tests.support.faulty_fs import FullDisk
from tests.support.spools import Home

ALL = dict.fromkeys(HOOKS, "true")


def called(spool: Home) -> list[tuple[str | None, str]]:
    return [(report.job_id, report.hook) for report in hooks.reports(spool)]


def settle(claim: Claim, how: str) -> None:
    if how == "completed":
        claim.finish({"exit_code": 0})
    elif how == "failed":
        claim.reschedule("failed", NOON, {"exit_code": 1})
    elif how == "died":
        claim.move_to_dead("retries_exhausted", {"exit_code": 1})
    elif how == "cancelled":
        claim.cancel({"exit_code": 143})
    else:
        claim.reschedule(how, NOON, {})


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("completed", ["on_success"]),
        ("failed", ["on_failure"]),
        ("died", ["on_dead", "on_failure"]),
        ("cancelled", ["on_cancel"]),
        ("snoozed", []),
        ("requeued", []),
    ],
)
def test_a_verdict_reports_to_its_hooks(spool: Home, how: str, expected: list[str]) -> None:
    job_id = spool.put("pending", **ALL)
    with spool.start(job_id) as claim:
        settle(claim, how)
    assert called(spool) == [(job_id, hook) for hook in expected]


def test_where_no_hook_is_configured_nothing_is_written(spool: Home) -> None:
    for state in ("completed", "failed", "dead", "cancelled"):
        spool.put(state)
    assert os.listdir(spool.layout.hooks) == []


@pytest.mark.parametrize("in_group", [False, True])
def test_a_report_is_durable_before_the_job_moves(tmp_path: Path, in_group: bool) -> None:
    """Proves G22: a crash after the move has the report."""
    steps: list[str] = []

    class Noted(Files):
        def sync_data(self, fd: int) -> None:
            steps.append("verdict")
            super().sync_data(fd)

        def sync(self, fd: int) -> None:
            steps.append("report")
            super().sync(fd)

        def sync_directory(self, path: str) -> None:
            steps.append(os.path.basename(path))
            super().sync_directory(path)

        def move(self, source: str, target: str, *, is_fresh: bool = False) -> None:
            steps.append("move")
            super().move(source, target, is_fresh=is_fresh)

    spool = Home(tmp_path, files=Noted(), durability="full")
    claims = [spool.start(spool.put("pending", on_success="true")) for _ in range(2)]
    steps.clear()
    for claim in claims:
        claim.finish({}, commit=not in_group)
    if in_group:
        assert commit_group(spool, claims) == {}
        assert steps == [*["verdict", "report"] * 2, "hooks", "move", "move", DONE]
    else:
        assert steps == ["verdict", "report", "hooks", "move", DONE] * 2
    for claim in claims:
        claim.close()


def test_whoever_completes_the_move_writes_the_report(spool: Home) -> None:
    """Proves G22: the process that wrote the verdict was killed before it wrote the report."""
    job_id = spool.put("completed", on_success="true")
    name = hooks.reports(spool)[0].name
    os.unlink(f"{spool.layout.hooks}/{name}")
    os.rename(spool.path(DONE, job_id), spool.path(PROCESSING, job_id))
    with spool.take_in(PROCESSING, job_id) as claim:  # type: ignore[union-attr]
        assert claim.finish_move()
    assert [report.name for report in hooks.reports(spool)] == [name]


def test_a_report_is_the_job_as_it_was(spool: Home) -> None:
    job_id = spool.put("dead", on_dead="true", name="first")
    with spool.take(job_id) as claim:
        claim.revive()
        claim.edit({"name": "second"})
        claim.delete()
    (report,) = hooks.reports(spool)
    job = hooks.job_of(spool, report)
    assert job is not None
    assert (job.id, job.state, job.fields["name"], job.dead_reason) == (job_id, "dead", "first", "retries_exhausted")


def test_a_report_that_does_not_fit_keeps_the_job_until_it_does(tmp_path: Path) -> None:
    """Proves G22."""
    files = FullDisk()
    spool = Home(tmp_path, files=files)
    job_id = spool.put("pending", on_success="true")
    with spool.start(job_id) as claim:
        claim.finish({}, commit=False)
        files.full = True
        with pytest.raises(SpoolFull, match="the disk is full"):
            claim.finish({})
        assert spool.where(job_id) == [PROCESSING]
        files.full = False
        claim.finish({})
    assert (spool.where(job_id), called(spool)) == ([DONE], [(job_id, "on_success")])


def test_names_that_are_none_of_ours_are_passed_over(spool: Home) -> None:
    names = ("a.1.on_dead", "_queue.2.on_idle")
    for name in (*names, "a.1.on_idle", "_queue.2.on_dead", "a.x.on_dead", ".1.on_dead", "on_dead", "a b.1.on_dead"):
        Path(spool.layout.hooks, name).write_text("{}")
    assert [report.name for report in hooks.reports(spool)] == [*names]


def test_a_home_of_an_earlier_version_gets_the_directory(spool: Home) -> None:
    os.rmdir(spool.layout.hooks)
    assert hooks.reports(spool) == []
    job_id = spool.put("completed", on_success="true")
    assert called(spool) == [(job_id, "on_success")]
