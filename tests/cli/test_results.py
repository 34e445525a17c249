"""results: how jobs ended and what they left, one JSON line for each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.cli.support import Jobs, Run, refused


def leave(jobs: Jobs, job_id: str, result: str) -> None:
    Path(jobs.queue.layout.output_of(job_id, 1, "result")).write_text(result)


def test_one_line_per_job_in_the_order_of_the_ids(cli: Run, jobs: Jobs) -> None:
    for job_id in ("a", "b"):
        jobs.completed(job_id)
    jobs.dead("c")
    jobs.pending("d")
    leave(jobs, "a", '{"rows": 3}')
    leave(jobs, "b", "{nope")
    ran = cli("results", "b", "d", "c", "a")
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert [row.pop("result_error") is not None for row in rows] == [True, False, False, False]
    assert rows == [
        {"id": "b", "state": "completed", "exit_code": 0, "result": None},
        {"id": "d", "state": "pending", "exit_code": None, "result": None},
        {"id": "c", "state": "dead", "exit_code": 137, "result": None},
        {"id": "a", "state": "completed", "exit_code": 0, "result": {"rows": 3}},
    ]


def test_selectors_give_the_order_of_creation(cli: Run, jobs: Jobs, now: Callable[[float], None]) -> None:
    for job_id in ("z", "a", "m"):
        now(1)
        jobs.pending(job_id, batch="night")
    for job_id in ("m", "z"):
        now(1)
        with jobs.start(job_id) as claim:
            claim.finish({"exit_code": 0})
        jobs.spool.note_change(job_id)
    assert cli("results", "--batch", "night", "-o", "name").out == "z\na\nm\n"
    assert cli("results", "--batch", "night", "--state", "completed", "-o", "name").out == "z\nm\n"
    assert cli("results", "--all", "--sort", "id", "--limit", "2", "-o", "name").out == "a\nm\n"


def test_json_is_an_array_and_tsv_has_columns(cli: Run, jobs: Jobs) -> None:
    jobs.completed("a")
    leave(jobs, "a", "[1, 2]")
    row = {"id": "a", "state": "completed", "exit_code": 0, "result": [1, 2], "result_error": None}
    assert json.loads(cli("results", "a", "--json").out) == [row]
    tsv = "id\tstate\texit_code\tresult\tresult_error\na\tcompleted\t0\t[1, 2]\t\n"
    assert cli("results", "a", "-o", "tsv").out == tsv
    assert cli("results", "-", "-o", "name", stdin=b"a\n").out == "a\n"


def test_what_does_not_exist_is_said(cli: Run, jobs: Jobs) -> None:
    jobs.completed("a")
    refused(cli("results", "nope"), 3, 'queuectl: no job "nope"')
    ran = cli("results", "nope", "a", "-o", "name")
    assert (ran.code, ran.out) == (7, "a\n")
    ran = cli("results", "--search", "none", "--json")
    assert (ran.code, ran.out, ran.err) == (0, "[]\n", "No job matches\n")
    refused(cli("results"), 2, "queuectl: no jobs given")
