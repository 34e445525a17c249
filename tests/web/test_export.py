"""All jobs of a list as a file."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

from queuectl.client.job_view import ROW

if TYPE_CHECKING:
    from tests.cli.support import Jobs
    from tests.web.support import Served

PATH = "/api/v1/export"


def test_a_file_has_all_jobs_of_the_list_in_its_order(web: Served, jobs: Jobs) -> None:
    assert [*jobs.queue.enqueue_many({"command": f"echo {n}", "id": f"j{n:04}", "queue": "q"} for n in range(1200))]
    jobs.pending("other")
    made = web.ask("GET", f"{PATH}?queue=q&sort=id")
    assert made.headers["content-disposition"] == 'attachment; filename="jobs.json"'
    assert [row["id"] for row in made.json] == [f"j{n:04}" for n in range(1200)]
    assert made.json[:500] == web.get("/api/v1/jobs?queue=q&sort=id&limit=500")["jobs"]
    rows = [*csv.reader(io.StringIO(web.ask("GET", f"{PATH}?queue=q&sort=-id&format=csv").body.decode()))]
    assert (rows[0], len(rows), rows[1][0]) == ([*ROW], 1201, "j1199")
    assert web.get(f"{PATH}?state=dead") == []
    assert len(web.ask("GET", f"{PATH}?state=dead&format=csv").body.splitlines()) == 1


def test_no_text_is_a_formula_and_none_breaks_its_line(web: Served, jobs: Jobs) -> None:
    error = '=HYPERLINK("http://x","y")'
    jobs.dead("d", {"error": error}, command='a "b",\nc', tags=["-1", "ä"], priority=-5)
    [head, row] = [*csv.reader(io.StringIO(web.ask("GET", f"{PATH}?format=csv").body.decode()))]
    found = dict(zip(head, row, strict=True))
    assert (found["last_error"], found["command"], found["tags"]) == (f"'{error}", 'a "b",\nc', "'-1, ä")
    assert (found["priority"], found["name"]) == ("-5", "")


def test_lines_are_an_object_each(web: Served, jobs: Jobs) -> None:
    assert [*jobs.queue.enqueue_many({"command": f"echo {n}", "id": f"j{n:04}"} for n in range(600))]
    made = web.ask("GET", f"{PATH}?format=jsonl&sort=id")
    assert made.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in made.body.splitlines()] == web.get(f"{PATH}?sort=id")
    assert web.ask("GET", f"{PATH}?format=jsonl&state=dead").body == b""
