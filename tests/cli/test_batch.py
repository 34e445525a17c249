"""batch: how far batches are, waiting for them, cancelling them."""

from __future__ import annotations

import json

import pytest

from queuectl.maintenance.batches import run_once
from queuectl.maintenance.context import TaskContext
from tests.cli.support import Jobs, Run


def some(jobs: Jobs) -> None:
    jobs.completed("a1", batch="a")
    jobs.dead("a2", batch="a")
    jobs.completed("b1", batch="b")
    jobs.pending("b2", batch="b")
    jobs.held("b3", batch="b")
    jobs.pending("alone")


def test_batches_are_listed_unfinished_ones_first(cli: Run, jobs: Jobs) -> None:
    some(jobs)
    lines = cli("batch", "list").out.splitlines()
    assert [line.split()[:2] for line in lines] == [["BATCH", "PROGRESS"], ["b", "33%"], ["a", "100%"]]
    rows = json.loads(cli("batch", "list", "--json").out)
    assert [(row["name"], row["jobs"], row["ended"], row["progress"], row["waiting"]) for row in rows] == [
        ("b", 3, 1, 0.3333, 2),
        ("a", 2, 2, 1.0, 0),
    ]
    assert cli("batch", "list", "-o", "name").out == "b\na\n"


def test_a_long_list_says_what_it_leaves_out(cli: Run, jobs: Jobs) -> None:
    some(jobs)
    ran = cli("batch", "list", "--limit", "1")
    assert len(ran.out.splitlines()) == 2
    assert ran.err == "1 more batch: --limit 2\n"


def test_a_batch_is_shown_with_its_progress(cli: Run, jobs: Jobs) -> None:
    some(jobs)
    out = cli("batch", "show", "b").out.splitlines()
    assert out[0] == "b  [######--------------] 33%  1 of 3 jobs"
    assert out[1] == "jobs       1 pending, 1 held, 1 completed"
    shown = json.loads(cli("batch", "show", "b", "--json").out)
    assert (shown["finished_at"], shown["completion"], shown["completion_job"]) == (None, None, None)
    assert json.loads(cli("batch", "show", "a", "--json").out)["finished_at"] is not None


def test_its_completion_job_is_shown(cli: Run, jobs: Jobs) -> None:
    jobs.pending("c1", batch="c", on_batch_done="true")
    assert "then       its completion job is added\n" in cli("batch", "show", "c").out
    jobs.queue.cancel("c1")
    run_once(TaskContext(jobs.queue, is_gentle=False))
    assert "then       c@done was added (pending)\n" in cli("batch", "show", "c").out
    jobs.queue.delete("c@done")
    assert "then       c@done was added (deleted since)\n" in cli("batch", "show", "c").out
    shown = json.loads(cli("batch", "show", "c", "--json").out)
    assert (shown["completion"], shown["completion_job"], shown["completion_state"]) == ("added", "c@done", None)


def test_a_completion_job_for_a_complete_batch_is_warned_of(cli: Run, jobs: Jobs) -> None:
    add = ("enqueue", "--batch", "c", "--on-batch-done", "true", "--id")
    again = "queuectl: the batch c is complete and stays so: --on-batch-done has no effect; use a new name\n"
    assert cli(*add, "c1", "--command", "true").err == ""
    assert cli(*add, "c2", "--command", "true").err == ""  # it is still open
    jobs.queue.cancel("c1")
    jobs.queue.cancel("c2")
    run_once(TaskContext(jobs.queue, is_gentle=False))
    assert cli(*add, "c3", "--command", "true").err == again
    assert cli("enqueue", "--batch", "c", "--command", "true").err == ""
    assert cli("map", "--batch", "c", "--on-batch-done", "true", "--", "echo", stdin=b"a\nb\n").err.startswith(again)


def test_a_name_that_no_job_has(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a", batch="movies")
    ran = cli("batch", "show", "movie")
    assert ran.code == 3
    assert ran.err.startswith('queuectl: no job has the batch "movie"; did you mean "movies"?\n')
    assert cli("batch", "show", "a b").code == 2


def test_a_batch_is_waited_for_and_cancelled(cli: Run, jobs: Jobs) -> None:
    some(jobs)
    assert cli("batch", "wait", "b", "--timeout", "0").code == 124
    assert cli("batch", "wait", "a").code == 10
    assert cli("batch", "cancel", "b", "--yes").code == 0
    assert [jobs.queue.get(job_id).state for job_id in ("b1", "b2", "b3", "alone")] == [
        *("completed", "cancelled", "cancelled", "pending")
    ]
    assert cli("batch", "wait", "b").code == 10


def test_another_completion_job_than_before_is_said(cli: Run, jobs: Jobs) -> None:
    add = ("enqueue", "--batch", "c", "--command", "true", "--on-batch-done")
    assert cli(*add, "echo A").err == ""
    assert cli(*add, "echo B").err == 'queuectl: the batch c gets one completion job: this one instead of "echo A"\n'
    assert cli(*add, "echo B").err == ""


def test_a_batch_without_jobs_has_no_completion_job_and_that_is_said(cli: Run, jobs: Jobs) -> None:
    ran = cli("map", "--batch", "c", "--on-batch-done", "true", "--", "echo", stdin=b"")
    assert ran.err.startswith("queuectl: no job was added, so the batch does not end")


def test_purge_keeps_the_jobs_of_a_batch_whose_completion_job_is_to_be_added(cli: Run, jobs: Jobs) -> None:
    """Without the job that has the command, it would never be added."""
    jobs.completed("d1", batch="d", on_batch_done="true")
    jobs.pending("d2", batch="d")
    ran = cli("purge", "--state", "completed", "--batch", "d", "--yes")
    assert ran.err == "Removed 0 jobs, 0 B of output; 1 job kept until the completion job of the batch was added\n"
    removed = jobs.queue.purge(batch="d")
    assert (removed.ids, removed.unreported) == ([], ["d1"])
    cli("cancel", "d2")
    assert run_once(TaskContext(jobs.queue, is_gentle=False)).words == "added 1 completion job: d@done"
    assert jobs.queue.purge(batch="d").ids == ["d1", "d2"]


def test_a_batch_whose_jobs_with_the_command_were_deleted_waits_for_nothing(
    cli: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.completed("d1", batch="d", on_batch_done="true")
    jobs.completed("d2", batch="d")
    assert json.loads(cli("batch", "show", "d", "--json").out)["completion"] == "waits"
    cli("delete", "d1")
    assert json.loads(cli("batch", "show", "d", "--json").out)["completion"] is None
    assert jobs.queue.purge(batch="d").unreported == ["d2"]
    monkeypatch.setattr("queuectl.maintenance.batches.KEPT_S", -1.0)  # the age of its file
    run_once(TaskContext(jobs.queue, is_gentle=False))
    assert jobs.queue.purge(batch="d").ids == ["d2"]
