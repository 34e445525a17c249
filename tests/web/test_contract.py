"""The routes, their description in openapi.json and the command line's JSON say the same."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from jsonschema import Draft202012Validator

from queuectl.client.job_view import DETAIL, ROW
from queuectl.client.queue import Queue
from queuectl.index.rows import COLUMNS, INTERNAL, START
from queuectl.index.statistics import Figures
from queuectl.job.job import STATES
from queuectl.web.operation import Operation
from queuectl.web.routes import OPERATIONS, find
from tests.web.support import DOCUMENT, Served

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.support import Jobs

SCHEMAS = DOCUMENT["components"]["schemas"]
MORE_FOR_THE_PAGE = ("command_line", "timeout_s", "max_retries_in_force", "actions")
EXAMPLES = {"name": "encode", "id": "worker-1", "key": "timeout", "file": "app.js", "task": "0" * 16}


def test_every_route_is_found_and_documented() -> None:
    for operation in OPERATIONS:
        path = re.sub(r"\{(\w+)\}", lambda found: EXAMPLES[found[1]], operation.path)
        assert find(operation.method, path)[0] is operation, path
        assert DOCUMENT["paths"][operation.path][operation.method.lower()]["operationId"] == operation.id
    assert len(OPERATIONS) == sum(len(methods) for methods in DOCUMENT["paths"].values()) > 40
    assert len({operation.id for operation in OPERATIONS}) == len(OPERATIONS)


def test_every_schema_of_an_answer_is_used() -> None:
    text = json.dumps(DOCUMENT)
    assert not [name for name in SCHEMAS if f'"#/components/schemas/{name}"' not in text]


def test_every_schema_is_one_and_every_reference_leads_somewhere() -> None:
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)
    for reference in re.findall(r'"#/components/(\w+)/(\w+)"', json.dumps(DOCUMENT)):
        assert reference[1] in DOCUMENT["components"][reference[0]], reference


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_every_operation_says_what_it_needs(operation: Operation) -> None:
    """A token unless it is open; a write the write token too; and says so for each way it can be refused."""
    spec = DOCUMENT["paths"][operation.path][operation.method.lower()]
    assert spec["summary"]
    if not operation.is_open:
        assert "401" in spec["responses"]
        assert any("bearer" in way for way in spec["security"])
        assert any("writeToken" in way for way in spec["security"]) == operation.is_write
    assert not operation.is_write or "403" in spec["responses"]
    assert operation.body is None or {"411", "413", "415", "422"} <= set(spec["responses"])


def test_only_the_page_signing_in_and_livez_are_open() -> None:
    is_open = {operation.id for operation in OPERATIONS if operation.is_open}
    assert is_open == {"page", "asset", "livez", "login", "logout"}


def test_a_job_is_described_with_the_members_that_it_has() -> None:
    assert [*SCHEMAS["Row"]["properties"]] == SCHEMAS["Row"]["required"] == [*ROW]
    assert set(ROW) == set(COLUMNS) - {*INTERNAL, *START}
    described = SCHEMAS["Detail"]["properties"]
    assert SCHEMAS["Detail"]["required"] == [*described] == [*DETAIL, *MORE_FOR_THE_PAGE]
    for name, row in SCHEMAS["Row"]["properties"].items():
        assert {**row, "description": ""} == {**described[name], "description": ""}
    assert set(Figures().as_dict()) == set(SCHEMAS["Stats"]["properties"]["totals"]["properties"])


def test_answers_are_those_of_the_command_line(
    web: Served, jobs: Jobs, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`list`, `show` and `config list --json` and the page say the same of the same jobs."""
    from queuectl.cli.main import main

    jobs.completed("done", timeout=5, unique_key="k", expires_at="2999-01-01T00:00:00+01:00", owner="ann")
    jobs.dead("gone", env={"PASSWORD": "hush"}, tags=["a", "b"])
    jobs.pending("next", run_at="2999-01-01T00:00:00+01:00", priority=3, max_retries=7)
    jobs.failed("again", name="n", batch="b")
    jobs.held("later")
    jobs.cancelled("off")
    jobs.running("now")

    def cli(*words: str) -> Any:
        capsys.readouterr()
        assert main([*words, "--json", "--home", str(home)]) == 0
        return json.loads(capsys.readouterr().out)

    assert web.get("/api/v1/jobs")["jobs"] == cli("list")
    assert web.get("/api/jobs?state=dead") == cli("dlq", "list") == web.get("/api/dlq")
    rows = {row["id"]: row for row in cli("list")}
    assert {row["state"] for row in rows.values()} == set(STATES)
    queue = Queue(home)
    assert {row["id"]: row for row in queue.list()} == rows
    for job_id, row in rows.items():
        [shown], told = cli("show", job_id), web.get(f"/api/v1/jobs/{job_id}")
        assert [*row] == [*ROW]
        assert {name: shown[name] for name in ROW} == row
        assert [*shown] == [*DETAIL, *(["owner"] if job_id == "done" else [])]
        assert queue.get(job_id).as_dict() == shown
        assert web.get(f"/api/jobs/{job_id}") == told
        assert set(told) == {*shown, *MORE_FOR_THE_PAGE}
        assert {**told, "env": None} == {**told, **shown, "env": None}
    assert shown["env"] is None
    [gone], told = cli("dlq", "show", "gone"), web.get("/api/v1/jobs/gone")
    assert gone["env"] == {"PASSWORD": "hush"}
    assert told["env"] == {"PASSWORD": None}
    members = ("name", "value", "origin", "help")
    settings = [{name: row[name] for name in members} for row in web.get("/api/v1/config")["settings"]]
    assert settings == cli("config", "list")
    status, same = cli("status"), web.get("/api/status")
    for name in ("at", "oldest_waiting_s", "disk"):  # what changes by itself
        del status[name], same[name]
    assert same == status


@pytest.mark.parametrize(
    ("path", "pointer", "hint"),
    [
        ("/api/v1/jobs?stat=dead", "?stat", 'did you mean "state"?'),
        (
            "/api/v1/jobs?state=dad",
            "?state",
            "states are pending, held, failed, processing, completed, cancelled, dead",
        ),
        ("/api/v1/jobs?limit=0", "?limit", None),
        ("/api/v1/jobs?limit=501", "?limit", None),
        ("/api/v1/jobs?limit=1e2", "?limit", None),
        ("/api/v1/jobs?limit=5&limit=6", "?limit", None),
        ("/api/v1/jobs?sort=colour", "?sort", None),
        ("/api/v1/jobs?since=yesteryear", "?since", None),
        ("/api/v1/jobs?error=zz", "?error", None),
        ("/api/v1/stats?window=1y", "?window", None),
        ("/api/v1/snapshot?x=1", "?x", "known: none"),
        ("/api/v1/jobs/a/output?follow=yes", "?follow", None),
        ("/api/v1/jobs?", None, None),
    ],
)
def test_a_wrong_parameter_is_an_error_that_points_at_it(
    web: Served, path: str, pointer: str | None, hint: str | None
) -> None:
    reply = web.ask("GET", path)
    if pointer is None:
        assert reply.status == 200
        return
    assert reply.status == 400
    assert reply.json["errors"][0]["pointer"] == pointer
    assert hint is None or reply.json["errors"][0]["hint"] == hint


@pytest.mark.parametrize("cursor", ["x", "00", "5b5d", "ff", "5b2275706461746564225d"])
def test_a_cursor_of_another_list_is_refused(web: Served, cursor: str) -> None:
    assert web.ask("GET", f"/api/v1/jobs?cursor={cursor}").status == 400


FILTERS = (
    *(
        {"state": "dead"},
        {"queue": "video"},
        {"tag": "a"},
        {"batch": "b"},
        {"q": "true"},
        {"error": "0123abcd"},
        {"sort": "id"},
    ),
    *({"since": "2h"}, {"until": "2030-01-01T00:00:00Z"}, {"since": "2020-01-01T00:00:00Z"}),
)


def test_a_cursor_goes_with_its_own_filters_only(web: Served) -> None:
    for number in range(3):
        web.queue.enqueue("true", id=f"j{number}", tags=["a"])
    for mine in ({}, {"state": "pending"}, {"tag": "a"}, {"q": "true"}, {"since": "2h"}, {"sort": "-created"}):
        first = web.get(f"/api/v1/jobs?{urlencode({**mine, 'limit': 2})}")
        assert first["cursor"], mine
        again = web.get(f"/api/v1/jobs?{urlencode({**mine, 'cursor': first['cursor'], 'limit': 1})}")
        assert len(again["jobs"]) == 1, "it goes on, whatever the size of the page"
        assert not {job["id"] for job in again["jobs"]} & {job["id"] for job in first["jobs"]}
        for other in FILTERS:
            if {**mine, **other} != mine:
                reply = web.ask("GET", f"/api/v1/jobs?{urlencode({**mine, **other, 'cursor': first['cursor']})}")
                assert (reply.status, "does not belong to this list" in reply.json["detail"]) == (400, True), other
