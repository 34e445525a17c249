"""Every verb of the API does what the command line's does, and every answer is one that is documented."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from queuectl import disk_space
from queuectl.client.queue import Queue
from queuectl.spool.claim import Claim
from queuectl.web import job_actions
from tests.web.support import Served

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.support import Jobs
    from tests.support.supervised import Supervised


# --- putting in


def test_a_job_is_put_in(web: Served) -> None:
    reply = web.ask("POST", "/api/v1/jobs", {"command": "echo hi", "tags": ["a"], "timeout": 5})
    assert reply.status == 201
    job_id = reply.json["id"]
    assert reply.headers["location"] == f"/api/v1/jobs/{job_id}"
    assert web.queue.get(job_id).fields["timeout"] == 5
    assert web.get("/api/v1/jobs")["jobs"][0]["id"] == job_id  # read your writes


def test_many_are_put_in_and_those_that_are_none_are_named(web: Served) -> None:
    made = web.post("/api/v1/jobs", [{"command": "a"}, {"comand": "b"}, {"command": "c", "priority": 9999}, {}])
    assert len(made["ids"]) == 1
    assert [each["index"] for each in made["refused"]] == [1, 2, 3]
    assert made["refused"][0]["pointer"] == "/1/comand"
    assert made["refused"][0]["detail"] == 'unknown field "comand"; did you mean "command"?'
    assert web.ask("POST", "/api/v1/jobs", [{}]).status == 422


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/jobs?dry_run=true"])
def test_a_job_that_would_expire_before_it_can_start_is_refused(web: Served, path: str) -> None:
    late = {"command": "a", "run_at": "2099-01-02T00:00:00Z", "expires_at": "2099-01-01T00:00:00Z"}
    for body in late, [late]:
        reply = web.ask("POST", path, body)
        assert (reply.status, b"the job could never start" in reply.body) == (422, True)
    assert not web.queue.list()


def test_a_dry_run_says_what_would_be_stored_and_what_to_type(web: Served) -> None:
    job = {"command": "echo 'a b'", "priority": 5, "timeout": 120, "env": {"TOKEN": "hush"}, "tags": ["x y"]}
    made = web.post("/api/v1/jobs?dry_run=true", job)
    told = "queuectl enqueue --priority=5 --timeout=120 '--tag=x y' '--cwd=~' --env=TOKEN=hush --command"
    assert made["valid"] is True
    assert made["command_line"].startswith(told)
    assert not web.queue.list()


def test_the_command_line_it_tells_makes_the_same_job(
    web: Served, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import shlex

    from queuectl.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/")
    (home / "config.yaml").write_text("resources: {gpu: 1, tape: 2}\n")
    for parent in ("p1", "p2"):
        web.queue.enqueue("true", id=parent)
    fields: dict[str, Any]
    for fields in (
        {
            "command": "echo 'a b'",
            "priority": -5,
            "timeout": 90.5,
            "kill_after": 3600,
            "name": "n",
            "tags": ["x", "-y"],
        },
        {"argv": ["printf", "%s", "-x", "a b"], "max_retries": 0, "backoff_base": 1.5, "env": {"TOKEN": "hu sh"}},
        {"command": "-x", "id": "mine", "env": {"A": "", "B": "=1"}, "cwd": "/tmp"},
        {"command": "true", "env": {"A": "1"}, "cwd": "/tmp", "on_interrupt": "bury"},
        {"command": "true", "lock": "db:3", "needs": {"gpu": 1, "tape": 2}, "weight": 2},
        {"command": "true", "after": ["p1", "p2"], "after_policy": "any"},
        {"command": "true", "shell": "sh", "nice": 5, "ionice": "best-effort:7", "memory": 1 << 29, "cpu_time": 90},
        {"command": "true", "backoff_max": 5, "run_at": "2099-01-01T00:00:00Z", "leftovers": "leave"},
        {"command": "true", "run_at": "2099-01-01T00:00:00.000000Z", "unique_key": "a key", "queue": "q", "batch": "b"},
    ):
        line = web.post("/api/v1/jobs?dry_run=true", fields)["command_line"]
        words = shlex.split(line)[1:]
        at = words.index("--") if "--" in words else len(words)
        assert main([*words[:at], "--home", str(home), "-q", *words[at:]]) == 0, line
        [row] = web.queue.list(limit=1)
        stored = web.queue.get(row["id"]).fields
        stored = {name: value for name, value in stored.items() if name not in ({"id", "created_at"} - {*fields})}
        stored["env"] = {name: value for name, value in stored["env"].items() if name != "PATH"}
        assert stored == {"env": {}, "cwd": "/", **fields}, line
        web.queue.delete(row["id"])


@pytest.mark.parametrize(
    ("body", "data"),
    [
        ({"stdin_text": "a\nü"}, "a\nü".encode()),
        ({"stdin_text": ""}, b""),
        ({"stdin_base64": "AP8="}, b"\0\xff"),
    ],
)
def test_a_job_is_given_its_input(web: Served, home: Path, body: dict[str, str], data: bytes) -> None:
    checked = web.post("/api/v1/jobs?dry_run=true", {"command": "cat", **body})
    assert "--stdin=-" in checked["command_line"]
    made = web.post("/api/v1/jobs", {"command": "cat", **body})
    assert (home / "input" / made["id"]).read_bytes() == data
    told = web.get(f"/api/v1/jobs/{made['id']}")
    assert told["stdin"] == "input"
    assert not {*body} & {*told}
    assert f"input/{made['id']}" in told["command_line"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"command": "cat", "stdin_text": 1}, "/stdin_text"),
        ({"command": "cat", "stdin_base64": "?"}, "/stdin_base64"),
        ({"command": "cat", "stdin_text": "a", "stdin_base64": "AA=="}, "/stdin_text"),
        ({"command": "cat", "stdin_text": "a", "stdin": "/a"}, "/stdin_text"),
        ({"command": "cat", "stdin": "input"}, "/stdin"),
        ([{"command": "cat", "stdin_text": "a"}], "/0/stdin_text"),
    ],
)
def test_an_input_that_is_none_is_refused(web: Served, body: object, pointer: str) -> None:
    reply = web.ask("POST", "/api/v1/jobs", body)
    assert reply.status == 422
    assert [fault["pointer"] for fault in reply.json["errors"]] == [pointer]
    assert web.queue.list() == []


def test_a_job_says_what_it_waits_for(web: Served, jobs: Jobs, home: Path) -> None:
    jobs.pending("first")
    (home / "config.yaml").write_text("resources: {gpu: 1}\n")
    body = {"command": "true", "id": "j", "after": ["first"], "after_policy": "any", "lock": "db:2", "weight": 2}
    web.post("/api/v1/jobs", body)
    told = web.get("/api/v1/jobs/j")
    assert {name: told[name] for name in body} == body
    parent, nobody = told["waits_for"]
    words = {
        "reason": "after",
        "text": "it comes after first (pending)",
        "until": None,
        "jobs": ["first"],
        "limit": None,
        "hint": None,
    }
    assert parent == words
    assert nobody["reason"] == "no_supervisor"
    web.post("/api/v1/jobs/j/edit", {"set": {"after": None, "lock": None, "needs": {"gpu": 1}}})
    told = web.get("/api/v1/jobs/j")
    assert (told["after"], told["lock"], told["needs"]) == (None, None, {"gpu": 1})
    assert [each["reason"] for each in told["waits_for"]] == ["no_supervisor"]
    reply = web.ask("POST", "/api/v1/jobs/j/edit", {"set": {"needs": {"gpu": 2}}})
    words = "the job can never start: it needs 2 of gpu, and the setting resources.gpu is 1"
    assert (reply.status, reply.json["detail"], reply.json["errors"][0]["pointer"]) == (422, words, "/set/needs")
    jobs.completed("done")
    assert web.get("/api/v1/jobs/done")["waits_for"] == []


def test_a_parent_must_exist_and_must_not_come_after_the_job(web: Served, jobs: Jobs) -> None:
    jobs.pending("one")
    web.post("/api/v1/jobs", [{"command": "true", "id": "two", "after": ["one"]}])
    body = {"command": "true", "after": ["nope"]}
    many = [{"command": "true", "id": "p"}, {"command": "true", "after": ["p"]}]
    assert web.post("/api/v1/jobs?dry_run=true", many)["valid"]
    for path, sent, pointer in (
        ("", body, "/after"),
        ("?dry_run=true", body, "/after"),
        ("", [body], "/0/after"),
        ("/one/edit", {"set": {"after": ["two"]}}, "/set/after"),
    ):
        reply = web.ask("POST", f"/api/v1/jobs{path}", sent)
        assert (reply.status, reply.json["errors"][0]["pointer"]) == (422, pointer), path
    assert len(web.queue.list()) == 2
    assert "after" not in web.queue.get("one").fields


@pytest.mark.parametrize("name", ["X Y", "export Z", "A\tB", "A\n"])
def test_a_variable_with_a_space_in_its_name_is_refused(web: Served, jobs: Jobs, name: str) -> None:
    body = {"command": "true", "env": {name: "1"}}
    for path, sent in (("", body), ("?dry_run=true", body), ("", [body]), ("?dry_run=true", [body])):
        reply = web.ask("POST", f"/api/v1/jobs{path}", sent)
        assert reply.status == 422, path
        assert b"the name of a variable must not contain spaces or control characters" in reply.body
    jobs.pending("j")
    jobs.dead("d")
    for address in ("j/edit", "j/retry", "d/retry"):
        reply = web.ask("POST", f"/api/v1/jobs/{address}", {"set": {"env": {name: "1"}}})
        assert (reply.status, reply.json["errors"][0]["pointer"]) == (422, "/set/env")
    assert jobs.queue.get("d").state == "dead"
    jobs.spool.enqueue({**body, "id": "dropped"})  # does no harm, and an older version took it
    jobs.queue.edit("dropped", {"priority": 1})


def test_a_start_time_in_the_past_is_taken_with_a_warning(web: Served) -> None:
    past, later = {"command": "a", "run_at": "2020-01-01T00:00:00Z"}, {"command": "a", "run_at": "2099-01-01T00:00:00Z"}
    for path in ("", "?dry_run=true"):
        told = web.post(f"/api/v1/jobs{path}", past)["warnings"]
        assert [text.partition(" (")[0] for text in told] == ['"run_at" is in the past']
        assert told[0].endswith(" ago): the job runs at once")
        [many] = web.post(f"/api/v1/jobs{path}", [past, later, past])["warnings"]
        assert many.startswith('2 jobs: "run_at" is in the past (')
        assert web.post(f"/api/v1/jobs{path}", later)["warnings"] == []


def test_a_job_that_no_space_is_left_for_is_taken_with_a_warning(web: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_space, "LEAST_FREE_BYTES", 1 << 60)
    for body in ({"command": "true"}, [{"command": "true"}]):
        [told] = web.post("/api/v1/jobs", body)["warnings"]
        assert told.endswith(" needed: no job starts until there is space")


def test_a_dry_run_refuses_what_is_taken(web: Served, jobs: Jobs) -> None:
    jobs.pending("a", unique_key="k")
    for taken, words in (({"id": "a"}, "job a exists already"), ({"unique_key": "k"}, "is held by job a")):
        for path in ("", "?dry_run=true"):
            reply = web.ask("POST", f"/api/v1/jobs{path}", {"command": "true", **taken})
            assert (reply.status, words in reply.json["detail"]) == (409, True), path
        reply = web.ask("POST", "/api/v1/jobs?dry_run=true", [{"command": "true"}, {"command": "true", **taken}])
        assert (reply.status, reply.json["errors"][0]["pointer"]) == (422, "/1")
    for same in ({"id": "b"}, {"unique_key": "b"}):
        body = {"command": "true", **same}
        reply = web.ask("POST", "/api/v1/jobs?dry_run=true", [body, body])
        assert reply.json["errors"][0]["detail"] == f'a job before it has the {next(iter(same))} "b"'
    assert len(web.queue.list()) == 1


def test_jobs_are_looked_up_by_their_ids(web: Served, jobs: Jobs) -> None:
    for job_id in ("a", "b", "c"):
        jobs.pending(job_id)
    jobs.queue.delete("b")
    found = web.get("/api/v1/jobs?ids=c,b,a,c,no%20id")
    assert [row["id"] for row in found["jobs"]] == ["c", "a"]
    assert (found["total"], found["cursor"]) == (2, None)
    assert found["jobs"] == [web.get(f"/api/v1/jobs?q={job_id}")["jobs"][0] for job_id in ("c", "a")]
    assert web.ask("GET", "/api/v1/jobs?ids=a&state=dead").status == 400
    assert web.ask("GET", f"/api/v1/jobs?ids={','.join(map(str, range(501)))}").status == 400


def test_a_taken_id_and_a_held_key_are_conflicts(web: Served) -> None:
    web.post("/api/v1/jobs", {"command": "x", "id": "a", "unique_key": "k"})
    assert web.ask("POST", "/api/v1/jobs", {"command": "x", "id": "a"}).status == 409
    reply = web.ask("POST", "/api/v1/jobs", {"command": "x", "unique_key": "k"})
    assert reply.status == 409
    assert "held by job a" in reply.json["detail"]


# --- looking


def test_jobs_are_filtered_sorted_and_paged(web: Served, jobs: Jobs) -> None:
    for number in range(7):
        jobs.pending(f"p{number}", f"echo {number}", tags=["even"] if number % 2 == 0 else [], priority=number)
    jobs.dead("gone", command="ls /nowhere")
    jobs.held("wait")
    assert web.get("/api/v1/jobs")["total"] == 9
    assert {row["id"] for row in web.get("/api/v1/jobs?state=pending&q=echo")["jobs"]} == {f"p{n}" for n in range(7)}
    assert web.get("/api/v1/jobs?state=pending")["total"] == 7  # held is a state of its own
    assert web.get("/api/v1/jobs?state=pending,held")["total"] == 8
    assert web.get("/api/v1/jobs?tag=even")["total"] == 4
    assert [row["id"] for row in web.get("/api/v1/jobs?sort=priority&limit=2")["jobs"]] == ["p6", "p5"]
    assert web.get("/api/v1/jobs?since=1h&until=2099-01-01T00:00:00Z")["total"] == 9
    assert web.get("/api/v1/jobs?until=1h")["total"] == 0
    seen: list[str] = []
    cursor = ""
    while True:
        page = web.get(f"/api/v1/jobs?limit=4&sort=id{cursor}")
        seen += [row["id"] for row in page["jobs"]]
        if page["cursor"] is None:
            break
        cursor = f"&cursor={page['cursor']}"
    assert seen == ["gone", *(f"p{n}" for n in range(7)), "wait"]


def test_a_job_is_told_with_every_attempt_and_no_secret(web: Served, jobs: Jobs) -> None:
    jobs.failed("j", b"first\nlast words\n", env={"PASSWORD": "hush"}, max_retries=5)
    web.post("/api/v1/jobs/j/edit", {"set": {"env": {"PASSWORD": "hush2"}, "priority": 3}})
    reply = web.ask("GET", "/api/v1/jobs/j")
    assert b"hush" not in reply.body
    told = reply.json
    assert told["env"] == {"PASSWORD": None}
    assert told["priority"] == 3
    [attempt] = told["attempt_list"]
    assert (attempt["attempt"], attempt["event"], attempt["exit_code"]) == (1, "failed", 1)
    assert attempt["output_bytes"] == len(b"first\nlast words\n")
    assert told["actions"] == ["cancel", "retry", "hold", "edit", "delete"]
    assert web.ask("GET", "/api/v1/jobs/nobody").status == 404


def test_dead_jobs_are_grouped_by_what_their_errors_have_in_common(web: Served, jobs: Jobs) -> None:
    for number in range(4):
        details = {"exit_code": 1, "error": f"cannot open '/data/{number}.csv' after {number} tries"}
        jobs.dead(f"a{number}", details, command=f"load {number}.csv")
    jobs.dead("b", {"exit_code": 2, "error": "out of cheese"}, command="load x")
    groups = web.get("/api/v1/dead/groups")
    assert groups["total"] == 5
    assert [group["count"] for group in groups["groups"]] == [4, 1]
    assert groups["has_more"] is False
    assert web.get("/api/v1/dead/groups?limit=1")["has_more"] is True
    fingerprint = groups["groups"][0]["fingerprint"]
    assert web.get(f"/api/v1/jobs?error={fingerprint}")["total"] == 4
    assert web.get("/api/v1/snapshot")["failures"][0]["count"] == 4


def _wait_for_304(web: Served, path: str) -> None:
    """Without a supervisor the spool is looked at again and again until its last change is a second old."""
    for _ in range(200):
        etag = web.ask("GET", path).headers["etag"]
        same = web.ask("GET", path, headers={"If-None-Match": etag})
        if same.status == 304:
            assert (same.headers["etag"], same.body) == (etag, b"")
            return
        time.sleep(0.05)
    raise AssertionError(path)


def test_what_has_not_changed_is_304(web: Served, jobs: Jobs) -> None:
    jobs.pending("j")
    for path in ("/api/v1/snapshot", "/api/v1/jobs", "/api/v1/jobs/j", "/api/v1/dead/groups", "/api/v1/stats"):
        _wait_for_304(web, path)
    before = {p: web.ask("GET", p).headers["etag"] for p in ("/api/v1/snapshot", "/api/v1/jobs", "/api/v1/jobs/j")}
    web.post("/api/v1/jobs/j/hold", {})
    for path, etag in before.items():
        assert web.ask("GET", path, headers={"If-None-Match": etag}).status == 200, path


# --- doing

UNCHANGED = {("completed", "cancel"), ("cancelled", "cancel"), ("dead", "cancel"), ("held", "hold")}


@pytest.mark.parametrize(
    ("state", "verb", "after"),
    [
        ("pending", "cancel", "cancelled"),
        ("failed", "cancel", "cancelled"),
        ("completed", "cancel", "completed"),
        ("cancelled", "cancel", "cancelled"),
        ("dead", "cancel", "dead"),
        ("failed", "retry", "pending"),
        ("dead", "retry", "pending"),
        ("completed", "retry", "pending"),
        ("cancelled", "retry", "pending"),
        ("held", "retry", "pending"),
        ("pending", "hold", "held"),
        ("failed", "hold", "held"),
        ("held", "hold", "held"),
        ("held", "release", "pending"),
        ("dead", "hold", None),
        ("pending", "release", None),
        ("dead", "release", None),
        ("completed", "edit", None),
    ],
)
def test_a_verb(web: Served, jobs: Jobs, state: str, verb: str, after: str | None) -> None:
    getattr(jobs, state)("j")
    reply = web.ask("POST", f"/api/v1/jobs/j/{verb}", {"set": {"priority": 1}} if verb == "edit" else {})
    if after is None:
        assert (reply.status, web.queue.get("j").state) == (409, state)
    else:
        assert reply.status == 200, reply
        is_changed = (state, verb) not in UNCHANGED
        same = [] if is_changed else [{"id": "j", "state": state}]
        assert reply.json == {"action": verb, "matched": 1, "ids": ["j"] * is_changed, "unchanged": same, "failed": []}
        assert web.queue.get("j").state == after
    assert web.get("/api/v1/jobs")["jobs"][0]["state"] == (after or state)


def test_a_dead_job_is_corrected_and_tried_again_in_one_step(web: Served, jobs: Jobs) -> None:
    jobs.dead("j", command="fasle")
    wrong = web.ask("POST", "/api/v1/jobs/j/retry", {"set": {"priority": "high"}})
    assert (wrong.status, wrong.json["errors"][0]["pointer"]) == (422, "/set/priority")
    assert web.queue.get("j").state == "dead"
    late = web.ask("POST", "/api/v1/jobs/j/retry", {"set": {"expires_at": "2026-01-01T00:00:00Z"}})
    assert (late.status, late.json["errors"][0]["pointer"]) == (422, "/set/expires_at")
    assert web.queue.get("j").state == "dead", "refused before anything was done"
    web.post("/api/v1/jobs/j/retry", {"set": {"command": "true", "env": None}})
    job = web.queue.get("j")
    assert (job.state, job.command, job.failures) == ("pending", "true", 0)


def test_a_verb_may_name_the_states_that_were_seen(web: Served, jobs: Jobs) -> None:
    """A job that was seen as failed has completed by now: it does not run again unasked."""
    jobs.completed("j")
    for verb in ("retry", "cancel"):
        reply = web.ask("POST", f"/api/v1/jobs/j/{verb}", {"if_state": ["failed", "pending"]})
        assert (reply.status, web.queue.get("j").state) == (409 if verb == "retry" else 200, "completed")
    assert web.post("/api/v1/jobs/j/retry", {"if_state": ["completed"]})["ids"] == ["j"]
    assert web.ask("POST", "/api/v1/jobs/j/retry", {"if_state": ["done"]}).status == 422


def test_an_expired_job_is_changed_and_run_again_in_one_step(web: Served, jobs: Jobs) -> None:
    expiry = "2026-01-01T00:00:00.000000Z"
    for job_id in ("dead", "waits", "later"):
        jobs.spool.enqueue({"id": job_id, "command": "fasle", "expires_at": expiry})
    assert not isinstance(jobs.spool.claim("dead", "w"), Claim)
    for job_id in ("dead", "waits"):
        made = web.post(f"/api/v1/jobs/{job_id}/retry", {"set": {"command": "true"}})
        assert made["expiry_removed"] == [{"id": job_id, "expires_at": expiry}]
    later = {"set": {"expires_at": "2999-01-01T00:00:00Z"}}
    assert "expiry_removed" not in web.post("/api/v1/jobs/later/retry", later)
    for job_id in ("dead", "waits", "later"):
        claim = jobs.spool.claim(job_id, "w")
        assert isinstance(claim, Claim)
        claim.close()
    assert web.queue.get("later").fields["expires_at"] == "2999-01-01T00:00:00Z"


@pytest.mark.parametrize("path", ["/api/v1/jobs/j/retry", "/api/jobs/j/retry"])
def test_a_job_that_expired_runs_again_and_that_its_expiry_was_removed_is_said(
    web: Served, jobs: Jobs, path: str
) -> None:
    expiry = "2026-01-01T00:00:00.000000Z"
    jobs.spool.enqueue({"id": "j", "command": "true", "expires_at": expiry})
    assert not isinstance(jobs.spool.claim("j", "w"), Claim)
    assert web.queue.get("j").dead_reason == "expired"
    assert web.post(path, {})["expiry_removed"] == [{"id": "j", "expires_at": expiry}]
    assert isinstance(jobs.spool.claim("j", "w"), Claim)


def test_an_edit_is_checked(web: Served, jobs: Jobs) -> None:
    jobs.pending("j", "echo 1", name="x")
    web.post("/api/v1/jobs/j/edit", {"set": {"command": "echo 2", "name": None}})
    assert web.queue.get("j").fields == {"command": "echo 2"} | {
        k: v for k, v in web.queue.get("j").fields.items() if k not in ("command", "name")
    }
    for body in ({"set": {"comand": "x"}}, {"set": {"timeout": -1}}, {"set": {"id": "k"}}, {"set": {}}, {}, {"st": {}}):
        assert web.ask("POST", "/api/v1/jobs/j/edit", body).status == 422, body


def test_delete(web: Served, jobs: Jobs) -> None:
    jobs.completed("j")
    reply = web.ask("DELETE", "/api/v1/jobs/j")
    assert reply.json == {"action": "delete", "matched": 1, "ids": ["j"], "unchanged": [], "failed": []}
    assert web.ask("DELETE", "/api/v1/jobs/j").status == 404
    assert web.get("/api/v1/jobs")["total"] == 0


def test_settings_are_told_changed_and_given_back(web: Served, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "config.yaml").write_text("# mine\ntimeout: 2h30m # long\n")
    rows = {row["name"]: row for row in web.get("/api/v1/config")["settings"]}
    assert (rows["timeout"]["value"], rows["timeout"]["origin"]) == (9000, "config.yaml:2")
    made = web.ask("PUT", "/api/v1/config/backoff-base", {"value": 3}).json
    assert made == {"action": "set", "name": "backoff_base", "old": 2, "new": 3, "overridden_by": None}
    assert "# mine" in (home / "config.yaml").read_text()
    assert Queue(home).settings.backoff_base == 3
    assert web.ask("PUT", "/api/v1/config/permanent_exit_codes", {"value": [3, 4]}).json["new"] == [3, 4]
    assert web.ask("PUT", "/api/v1/config/resources", {"value": {"gpu": 2}}).json["new"] == {"gpu": 2}
    assert Queue(home).settings.get("resources") == {"gpu": 2}
    assert web.ask("PUT", "/api/v1/config/resources", {"value": {"gpu": -1}}).json["detail"].startswith("resources")
    assert web.ask("PUT", "/api/v1/config/timeout", {"value": {"gpu": 2}}).json["detail"].startswith("timeout must be ")
    assert web.ask("PUT", "/api/v1/config/snooze_exit_code", {"value": None}).status == 200
    wrong = web.ask("PUT", "/api/v1/config/timeout", {"value": "soon"})
    assert (wrong.status, wrong.json["errors"][0]["pointer"]) == (422, "/value")
    for key, value, found in (("timeout", None, "nothing"), ("timeout", -1, "-1"), ("max_output", -1, "-1")):
        refused = web.ask("PUT", f"/api/v1/config/{key}", {"value": value})
        assert refused.status == 422
        assert refused.json["detail"].startswith(f"{key} must be "), "said of what was sent, not as a file spells it"
        assert refused.json["detail"].endswith(f", not {found}")
    unknown = web.ask("PUT", "/api/v1/config/timout", {"value": 1})
    assert (unknown.status, "timeout" in unknown.json["detail"]) == (404, True)
    assert web.ask("DELETE", "/api/v1/config/timeout").json["new"] == 3600
    monkeypatch.setenv("QUEUECTL_TIMEOUT", "5")
    assert web.ask("PUT", "/api/config/timeout", {"value": "9"}).json["overridden_by"] == "environment QUEUECTL_TIMEOUT"
    (home / "config.yaml").write_text("timeout: never\n")
    monkeypatch.delenv("QUEUECTL_TIMEOUT")
    assert "timeout" in web.get("/api/v1/config")["problem"]
    assert web.ask("GET", "/api/v1/snapshot").status == 200


# --- with a supervisor


def test_workers_are_started_scaled_restarted_and_stopped(web: Served, supervised: Callable[..., Supervised]) -> None:
    watched = supervised()
    assert web.get("/api/v1/workers") == {"supervisor": None, "workers": []}
    assert web.post("/api/v1/workers/stop", {}) == {"action": "stop", "workers": []}
    assert web.ask("POST", "/api/v1/workers/restart", {}).status == 409
    assert web.post("/api/v1/workers/scale", {"count": 0})["started"] == []
    watched.start(1)
    assert web.post("/api/v1/workers", {"count": 2})["workers"] == ["worker-2", "worker-3"]
    assert web.post("/api/v1/workers/scale", {"count": 2})["started"] == []
    watched.wait_until(lambda: len(web.get("/api/v1/workers")["workers"]) == 2, "one has stopped")
    assert web.ask("POST", "/api/v1/workers/stop", {"id": "worker-9"}).status == 404
    assert len(web.post("/api/v1/workers/restart", {})["workers"]) == 2
    watched.wait_until(
        lambda: [w["state"] for w in web.get("/api/v1/workers")["workers"]] == ["idle", "idle"], "they are back"
    )
    assert b"started" in web.ask("GET", "/api/v1/workers/supervisor/log?lines=500").body
    assert web.ask("GET", "/api/v1/workers/worker-77/log").status == 404
    assert web.ask("GET", "/api/workers").json[0]["name"] == "worker-1"
    assert web.ask("DELETE", "/api/workers/1").json["workers"] == ["worker-1"]
    for body in ({"count": 0}, {"count": 65}, {"count": "2"}, {"cuont": 2}):
        assert web.ask("POST", "/api/v1/workers", body).status == 422
    web.post("/api/v1/workers/stop", {"now": True})
    watched.wait_until(lambda: web.get("/api/v1/snapshot")["supervisor"] is None, "the page says that none runs")


def test_what_runs_is_shown_with_its_last_line_and_what_it_uses(
    web: Served, supervised: Callable[..., Supervised]
) -> None:
    watched = supervised()
    watched.start(1)
    script = "echo 0.4 converting > $QUEUECTL_PROGRESS; printf 'one\\n\\033[31mtwo'; sleep 60"
    web.post("/api/v1/jobs", {"command": script, "id": "long", "timeout": 500})
    watched.wait_until(
        lambda: [each["last_line"] for each in web.get("/api/v1/snapshot")["running"]] == ["two"], "it runs"
    )
    [running] = web.get("/api/v1/snapshot")["running"]
    assert (running["id"], running["timeout"], running["worker"]) == ("long", 500, "worker-1")
    assert (running["progress"], running["progress_share"]) == ("40% converting", 0.4)
    assert running["rss_bytes"] > 0
    assert web.ask("POST", "/api/v1/jobs/long/hold", {}).status == 409
    assert web.post("/api/v1/jobs/long/cancel", {})["ids"] == ["long"]
    assert web.get("/api/v1/jobs/long")["state"] == "cancelled"


def test_a_command_that_does_not_want_to_end_keeps_nobody_waiting(
    web: Served, supervised: Callable[..., Supervised], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer says that it goes on, and it does."""
    monkeypatch.setattr(job_actions, "PATIENCE_S", 0.2)
    watched = supervised()
    watched.start(1)
    script = "trap '' TERM; echo begun; while :; do sleep 0.05; done"
    web.post("/api/v1/jobs", {"command": script, "id": "deaf", "kill_after": 1})
    watched.wait_until(lambda: web.ask("GET", "/api/v1/jobs/deaf/output").body == b"begun\n", "it runs")
    reply = web.ask("POST", "/api/v1/jobs/deaf/cancel", {})
    assert (reply.status, "the request stands" in reply.json["detail"]) == (503, True)
    watched.wait_for("deaf", "cancelled")


def test_a_refused_list_costs_no_connection_to_the_index(web: Served) -> None:
    web.get("/api/v1/jobs")
    before = len(os.listdir("/dev/fd"))
    for _ in range(30):
        assert web.ask("GET", "/api/v1/jobs?cursor=5b5d").status == 400
    assert len(os.listdir("/dev/fd")) <= before + 4


# --- the original's addresses


def test_lists_at_the_original_s_addresses_are_complete_unless_a_limit_was_asked_for(web: Served) -> None:
    [*web.queue.enqueue_many(["true"] * 1203)]
    for limit in ("", "?limit=1203", "?limit=9999"):
        assert len({row["id"] for row in web.get(f"/api/jobs{limit}")}) == 1203
    for limit in (1, 500, 501):
        reply = web.ask("GET", f"/api/jobs?limit={limit}")
        assert (len(reply.json), reply.headers["x-queuectl-total"]) == (limit, "1203")
    assert web.get("/api/dlq") == []


def test_the_original_s_addresses(web: Served, jobs: Jobs) -> None:
    made = web.ask("POST", "/api/jobs", {"command": "echo hi", "id": "old", "max_retries": 2})
    assert (made.status, made.json["id"]) == (201, "old")
    jobs.dead("gone")
    assert [row["id"] for row in web.get("/api/jobs?state=pending")] == ["old"]
    assert [row["id"] for row in web.get("/api/dlq")] == ["gone"]
    assert web.get("/api/jobs/old")["command"] == "echo hi"
    assert web.post("/api/jobs/gone/retry", None)["ids"] == ["gone"]
    assert web.ask("DELETE", "/api/jobs/old").status == 200
    assert web.get("/api/status")["counts"]["pending"] == 1
    assert web.get("/api/workers") == []
    assert web.get("/api/config")["backoff_base"] == 2
    assert web.ask("PUT", "/api/config/max_retries", {"value": 7}).json["name"] == "max_retries_default"
    assert web.ask("DELETE", "/api/workers/1").json["workers"] == []


@pytest.mark.parametrize("name", ["é.json", "a b.json", "$(touch x).json"])
def test_a_name_that_is_no_id_is_no_address(web: Served, name: str) -> None:
    assert web.ask("GET", f"/api/v1/jobs/{quote(name.removesuffix('.json'))}").status == 404


# --- signals


def test_a_signal_is_sent_to_a_running_job_only(web: Served, jobs: Jobs) -> None:
    jobs.pending("a")
    assert web.ask("POST", "/api/v1/jobs/a/signal", {"signal": "HUP"}).status == 409
    assert web.ask("POST", "/api/v1/jobs/a/signal", {"signal": "HPU"}).status == 400
    assert web.ask("POST", "/api/v1/jobs/a/signal", {}).status == 422
    with jobs.running("b"):
        assert web.ask("POST", "/api/v1/jobs/b/signal", {"signal": "15"}).json["exit_code"] == 5


# --- queues


def test_a_queue_is_paused_for_a_time(web: Served, jobs: Jobs) -> None:
    jobs.pending("a", queue="encode")
    assert web.post("/api/v1/queues/encode/pause", {"for": "1h", "running": True})["changed"] is True
    (encode,) = web.get("/api/v1/queues")["queues"]
    assert encode["stops_running"] is True
    assert encode["paused_until"] > encode["paused_at"]
    assert web.post("/api/v1/queues/pause", {"until": "tomorrow 08:00"})["changed"] is True
    assert web.get("/api/v1/queues")["paused_until"] is not None
    assert web.ask("POST", "/api/v1/queues/pause", {"for": "soon"}).status == 400
    assert web.ask("POST", "/api/v1/queues/pause", {"for": "1h", "until": "2099-01-01"}).status == 400


def test_queues_are_listed_paused_and_resumed(web: Served, jobs: Jobs, home: Path) -> None:
    (home / "config.yaml").write_text("queues: {encode: {concurrency: 2, rate: 10/1m}}\n")
    jobs.pending("a", queue="other")
    assert web.post("/api/v1/queues/encode/pause", {}) == {"action": "pause", "queue": "encode", "changed": True}
    assert web.post("/api/v1/queues/encode/pause", {})["changed"] is False
    told = web.get("/api/v1/queues")
    assert told["queues"] == Queue(home).queues() == web.get("/api/v1/snapshot")["queues"]
    encode, other = told["queues"]
    assert (encode["name"], encode["waiting"], encode["concurrency"], encode["rate"]) == ("encode", 0, 2, "10/1m")
    assert (other["name"], other["waiting"], other["running"], other["paused_at"]) == ("other", 1, 0, None)
    assert (told["paused_at"], encode["paused_at"] is None) == (None, False)
    assert web.post("/api/v1/queues/pause", {}) == {"action": "pause", "queue": None, "changed": True}
    assert web.get("/api/v1/queues")["paused_at"] is not None
    assert web.get("/api/v1/jobs/a")["waits_for"][0]["text"] == "all queues are paused"
    assert web.post("/api/v1/queues/resume", {})["changed"] is True
    assert web.post("/api/v1/queues/encode/resume", {})["changed"] is True
    assert web.queue.paused() == {}
    assert web.ask("POST", "/api/v1/queues/_all/pause").status == 404


def test_batches_are_listed_and_shown(web: Served, jobs: Jobs, home: Path) -> None:
    jobs.completed("a1", batch="a")
    jobs.completed("b1", batch="b")
    jobs.pending("b2", batch="b", on_batch_done="true")
    told = web.get("/api/v1/batches")["batches"]
    assert told == Queue(home).batches()
    assert [(row["name"], row["jobs"], row["ended"], row["completion"]) for row in told] == [
        *(("b", 2, 1, "waits"), ("a", 1, 1, None))
    ]
    shown = web.get("/api/v1/batches/b")
    assert (shown["progress"], shown["counts"]["pending"], shown["finished_at"]) == (0.5, 1, None)
    assert [row["name"] for row in web.get("/api/v1/snapshot")["batches"]] == ["b"]
    assert web.ask("GET", "/api/v1/batches/none").status == 404


def test_a_pause_is_in_health_and_in_the_metrics(web: Served, jobs: Jobs) -> None:
    jobs.pending("a", queue="encode")
    jobs.pending("b")
    assert web.get("/api/v1/snapshot")["health"]["checks"]["paused"]["status"] == "pass"
    web.queue.pause("encode")
    web.post("/api/v1/jobs", {"command": "true", "id": "c"})  # so that the next snapshot is a new one
    check = web.get("/api/v1/snapshot")["health"]["checks"]["paused"]
    assert (check["status"], check["queues"], check["all"]) == ("warn", ["encode"], False)
    assert check["detail"] == f"Queue encode has been paused since {check['since'][:19]}Z"
    figures = web.ask("GET", "/metrics").body.decode().splitlines()
    assert 'queuectl_queue_paused{queue="encode"} 1' in figures
    assert 'queuectl_queue_paused{queue="default"} 0' in figures
    assert 'queuectl_oldest_pending_seconds{queue="encode"} 0.0' in figures
    assert "queuectl_paused 0" in figures
    web.post("/api/v1/queues/pause", {})
    told = web.get("/api/v1/snapshot")
    assert told["health"]["checks"]["paused"]["detail"].startswith("All queues have been paused since ")
    assert "queuectl resume" in [need.get("hint") for need in told["attention"]]
    assert told["oldest_waiting_at"] is None
    assert "queuectl_paused 1" in web.ask("GET", "/metrics").body.decode().splitlines()


# --- schedules


def test_schedules_are_listed_run_paused_and_resumed(web: Served, home: Path) -> None:
    web.queue.add_schedule("nightly", "echo hi", cron="30 2 * * *", timezone="Europe/Berlin", env={"SECRET": "x"})
    with open(home / "config.yaml", "a") as file:
        file.write("  bad:\n    every: never\n    job: {command: x}\n")
    web.post("/api/v1/jobs", {"command": "true"})  # so that the next answer is a new one
    told = web.get("/api/v1/schedules")["schedules"]
    assert told == web.get("/api/v1/snapshot")["schedules"]
    nightly, bad = told
    assert (nightly["command"], nightly["cron"], len(nightly["next"]), nightly["error"]) == (
        *("echo hi", "30 2 * * *"),
        *(5, None),
    )
    assert "SECRET" not in str(told)
    assert bad["error"].startswith("config.yaml:")
    assert "schedule bad: every must be a duration" in bad["error"]
    assert str(home) not in bad["error"]
    made = web.ask("POST", "/api/v1/schedules/nightly/run", {})
    assert (made.status, made.json["action"]) == (201, "run")
    job = web.get(f"/api/v1/jobs/{made.json['id']}")
    assert (job["tags"], job["schedule"]) == (["schedule:nightly"], {"name": "nightly", "slot": None})
    address = "/api/v1/schedules/nightly"
    assert web.post(f"{address}/pause", {}) == {"action": "pause", "schedule": "nightly", "changed": True}
    assert web.post(f"{address}/pause", {})["changed"] is False
    [paused, _] = web.get("/api/v1/schedules")["schedules"]
    assert (paused["next"], paused["paused_at"] is None) == ([], False)
    assert web.post(f"{address}/resume", {})["changed"] is True
    assert web.ask("POST", "/api/v1/schedules/nigthly/run", {}).status == 404
    assert web.ask("POST", "/api/v1/schedules/bad/run", {}).status == 422


def test_a_schedule_that_adds_no_jobs_is_in_health_and_in_the_metrics(web: Served, home: Path) -> None:
    web.queue.add_schedule("s", "true", every="1h")
    web.post("/api/v1/jobs", {"command": "true"})
    check = web.get("/api/v1/snapshot")["health"]["checks"]["schedules"]
    assert (check["status"], check["active"], check["invalid"]) == ("warn", 1, [])
    assert check["detail"] == "1 schedule adds no jobs, because no supervisor is running"
    text = web.ask("GET", "/metrics").body.decode()
    assert 'queuectl_health{condition="schedules"} 1' in text
    assert 'queuectl_schedule_slots_missed_total{schedule="s",reason="misfire"} 0' in text


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/api/v1/queues/default/pause", {"for": "1x"}, "/for"),
        ("/api/v1/queues/default/pause", {"for": "1h", "until": "tomorrow"}, "/for"),
        ("/api/v1/queues/pause", {"until": "never ever"}, "/until"),
        ("/api/v1/jobs/any/signal", {"signal": "FOO"}, "/signal"),
    ],
)
def test_a_member_that_cannot_be_read_is_named(web: Served, path: str, body: dict[str, str], pointer: str) -> None:
    refused = web.ask("POST", path, body)
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (400, pointer)
    assert web.get("/api/v1/queues")["paused_at"] is None


def test_a_member_of_a_setting_is_set_and_unset(web: Served, home: Path) -> None:
    assert web.ask("PUT", "/api/v1/config/resources.gpu", {"value": 2}).json["name"] == "resources.gpu"
    assert web.ask("PUT", "/api/v1/config/queues.encode-2.concurrency", {"value": "3"}).json["new"] == 3
    assert web.ask("PUT", "/api/v1/config/queues.encode-2.rate", {"value": "10/1m"}).status == 200
    assert web.get("/api/config")["queues"] == {"encode-2": {"concurrency": 3, "rate": "10/1m"}}
    wrong = web.ask("PUT", "/api/v1/config/resources.gpu", {"value": "two"})
    assert (wrong.status, wrong.json["errors"][0]["pointer"]) == (422, "/value")
    assert web.ask("PUT", "/api/v1/config/queues.encode.speed", {"value": 1}).status == 404
    assert web.ask("DELETE", "/api/v1/config/queues.encode-2.rate").json["old"] == "10/1m"
    assert web.ask("DELETE", "/api/v1/config/resources.gpu").json["new"] is None
    assert web.get("/api/config")["resources"] == {}
