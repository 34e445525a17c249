"""edit: fields of waiting jobs, as they are typed."""

from __future__ import annotations

import json
import time

import pytest

from tests.cli.support import Jobs, Run, refused


@pytest.mark.parametrize(
    ("typed", "field", "value"),
    [
        ("priority=5", "priority", 5),
        ("max_retries=0", "max_retries", 0),
        ("timeout=10m", "timeout", 600.0),
        ("timeout=90", "timeout", 90.0),
        ("backoff_base=1.5", "backoff_base", 1.5),
        ("queue=night", "queue", "night"),
        ("name=nightly encode", "name", "nightly encode"),
        ("command=echo a=b", "command", "echo a=b"),
        ("command=7", "command", "7"),
        ("tags=a,b", "tags", ["a", "b"]),
        ('tags=["a b"]', "tags", ["a b"]),
        ('env={"A": "b"}', "env", {"A": "b"}),
        ("run_at=2027-01-01T00:00:00Z", "run_at", "2027-01-01T00:00:00Z"),
    ],
)
def test_a_field_is_set(cli: Run, jobs: Jobs, typed: str, field: str, value: object) -> None:
    jobs.pending("a")
    ran = cli("edit", "a", "--set", typed)
    assert (ran.code, ran.out, ran.err) == (0, "", "Edited a\n")
    assert jobs.queue.get("a").fields[field] == value


def test_times_are_read_as_the_options_of_enqueue_read_them(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a")
    assert cli("edit", "a", "--set", "delay=2h", "--set", "expires=3d").code == 0
    job = jobs.queue.get("a")
    assert job.run_at == pytest.approx(time.time() + 7200, abs=60)
    assert job.expires_at == pytest.approx(time.time() + 3 * 86400, abs=60)


def test_a_field_is_removed(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a", priority=7, timeout=5)
    assert cli("edit", "a", "--unset", "priority", "--set", "max_retries=1").code == 0
    assert {name: jobs.queue.get("a").fields.get(name) for name in ("priority", "timeout", "max_retries")} == {
        "priority": None,
        "timeout": 5,
        "max_retries": 1,
    }


@pytest.mark.parametrize(
    ("line", "code", "lines"),
    [
        ([], 2, ["queuectl: nothing to change", "          hint: queuectl edit ID --set priority=5 --unset timeout"]),
        (
            ["--set", "priority"],
            2,
            ['queuectl: --set must be FIELD=VALUE, not "priority"', "          hint: to remove a field: --unset FIELD"],
        ),
        (["--set", "prio=5"], 6, ['queuectl: unknown field "prio"; did you mean "priority"?']),
        (
            ["--set", "colour=red"],
            6,
            [
                'queuectl: unknown field "colour"',
                "          hint: a member of your own can only be given in a mapping or a JSON object",
            ],
        ),
        (["--set", "id=b"], 6, ['queuectl: "id" cannot be changed']),
        (["--set", "state=dead"], 6, ['queuectl: "state" is set by QueueCTL and cannot be given here']),
        (["--set", "priority=1", "--unset", "priority"], 2, ['queuectl: "priority" is changed twice']),
        (
            ["--set", "priority=high"],
            6,
            ['queuectl: "priority" must be an integer from -1000 to 1000, not "high"'],
        ),
        (
            ["--set", "env={"],
            2,
            ['queuectl: --set env= must be JSON, not "{"', """          hint: --set 'env={"LANG": "C"}'"""],
        ),
        (
            ["--priority", "5"],
            2,
            ["queuectl: unknown option --priority", "          hint: to change a field: --set priority=VALUE"],
        ),
    ],
)
def test_what_cannot_be_changed_so_is_said_before_anything_is(
    cli: Run, jobs: Jobs, line: list[str], code: int, lines: list[str]
) -> None:
    for job_id in ("a", "b"):
        jobs.pending(job_id)
    refused(cli("edit", "a", "b", *line), code, *lines)
    assert [jobs.queue.get(job_id).fields.get("priority") for job_id in ("a", "b")] == [None, None]


def test_selectors_choose_waiting_jobs(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a", queue="night")
    jobs.held("h", queue="night")
    jobs.dead("d", queue="night")
    assert cli("edit", "--queue", "night", "--set", "priority=5").code == 2
    made = json.loads(cli("edit", "--queue", "night", "--set", "priority=5", "--yes", "--json").out)
    assert (made["action"], made["matched"], sorted(made["ids"])) == ("edit", 2, ["a", "h"])
    assert [jobs.queue.get(job_id).fields.get("priority") for job_id in ("a", "h", "d")] == [5, 5, None]


def test_a_job_that_has_ended_is_a_conflict(cli: Run, jobs: Jobs) -> None:
    jobs.dead("a")
    ran = cli("edit", "a", "--set", "priority=5")
    assert (ran.code, "dead" in ran.err) == (4, True)


def test_a_new_directory_must_exist_and_a_start_in_the_past_is_a_warning(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a", run_at="2099-01-01T00:00:00Z")
    ran = cli("edit", "a", "--set", "cwd=/nowhere")
    refused(ran, 6, "queuectl: there is no directory /nowhere")
    assert ran.err.splitlines()[1].endswith("hint: to skip this check: --no-check")
    assert jobs.queue.get("a").fields.get("cwd") != "/nowhere"
    assert cli("edit", "a", "--set", "cwd=/nowhere", "--no-check").code == 0
    assert cli("edit", "a", "--unset", "cwd").code == 0
    ran = cli("edit", "a", "--set", "at=yesterday")
    assert (ran.code, "ago): the job runs at once" in ran.err) == (0, True)
    ran = cli("edit", "--all", "--set", "cwd=/nowhere", "--no-check")
    assert "queuectl edit --all --set cwd=/nowhere --no-check --yes" in ran.err
