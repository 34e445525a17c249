"""Bulk actions that the server carries out by itself: exactly what was confirmed, shown, stopped, and after its death."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from queuectl.client.queue import Queue
from queuectl.errors import Conflict
from queuectl.web import bulk_tasks, job_actions, tasks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.support import Jobs
    from tests.web.support import Served

BULK, TASKS = "/api/v1/bulk", "/api/v1/bulk/tasks"
PATIENCE_S = 20.0


def count(web: Served, action: str, **which: Any) -> str:
    selection: str = web.post(BULK, {"action": action, **which, "dry_run": True})["selection"]
    return selection


def start(web: Served, action: str, *, more: dict[str, Any] | None = None, **which: Any) -> str:
    selection = count(web, action, **which)
    assert web.post(TASKS, {"action": action, "selection": selection, **(more or {})})["id"] == selection
    return selection


def ended(web: Served, task_id: str) -> dict[str, Any]:
    web.server.app.tasks.get(task_id).join(PATIENCE_S)
    task: dict[str, Any] = web.get(f"{TASKS}/{task_id}")
    assert task["ended_at"] is not None
    return task


class Gate:
    """Lets a task change some jobs, then keeps it in the next one until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
        self.reached, self.opened, self._free = threading.Event(), threading.Event(), free
        monkeypatch.setattr(bulk_tasks, "carry_out", self._carry_out)

    def _carry_out(self, *words: Any) -> Any:
        if self._free == 0:
            self.reached.set()
            assert self.opened.wait(PATIENCE_S)
        self._free -= 1
        return job_actions.carry_out(*words)


def test_it_is_carried_out_without_another_request_and_on_no_other_job(web: Served, jobs: Jobs) -> None:
    [*jobs.queue.enqueue_many({"command": "true", "queue": "q"} for _ in range(1200))]
    selection = count(web, "cancel", filter={"queue": "q"})
    late = jobs.pending("late", queue="q")
    begun = web.post(TASKS, {"action": "cancel", "selection": selection})
    assert (begun["total"], begun["unchanged"], begun["failed"]) == (1200, {}, 0)
    task = ended(web, selection)
    assert (task["state"], task["done"], task["left"], task["errors"]) == ("completed", 1200, 0, [])
    assert jobs.queue.get(late).state == "pending"
    assert web.get("/api/v1/jobs?state=cancelled")["total"] == 1200
    assert [each["id"] for each in web.get("/api/v1/snapshot")["tasks"]] == [selection]


def test_progress_is_shown_and_the_rest_is_left_when_it_is_stopped(
    web: Served, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        jobs.pending(f"j{number}")
    gate = Gate(monkeypatch, 2)
    selection = start(web, "hold", filter={"state": "pending"})
    assert gate.reached.wait(PATIENCE_S)
    seen = web.get(f"{TASKS}/{selection}")
    assert (seen["state"], seen["done"], seen["left"], seen["ended_at"]) == ("running", 2, 3, None)
    assert web.ask("DELETE", f"{TASKS}/{selection}").status == 409
    again = web.ask("POST", TASKS, {"action": "hold", "selection": selection})
    assert (again.status, again.json["title"]) == (409, "selection in use")
    monkeypatch.setattr(tasks, "JOIN_S", 0.0)
    assert web.post(f"{TASKS}/{selection}/stop", {})["state"] == "stopping"
    gate.opened.set()
    task = ended(web, selection)
    assert (task["state"], task["done"], task["left"]) == ("stopped", 3, 2)
    assert web.queue.counts()["held"] == 3
    web.ask("DELETE", f"{TASKS}/{selection}")
    gone = web.ask("GET", f"{TASKS}/{selection}")
    assert (gone.status, gone.json["title"]) == (410, "task gone")


def test_it_survives_who_asked_for_it_but_not_the_server(web: Served, jobs: Jobs, serve: Callable[..., Served]) -> None:
    """Another page sees it; another server knows neither the task nor the selection."""
    jobs.pending("p")
    selection = start(web, "delete", ids=["p"], more={"delay_s": 60})
    assert web.get(TASKS)["tasks"][0]["state"] == "waiting"
    other = serve()
    assert other.get(TASKS) == {"tasks": []}
    assert other.ask("GET", f"{TASKS}/{selection}").status == 410
    assert other.ask("POST", TASKS, {"action": "delete", "selection": selection}).status == 410
    web.server.app.tasks.stop_all()
    assert jobs.queue.get("p").state == "pending"


def test_a_deletion_that_is_stopped_within_its_delay_has_deleted_nothing(web: Served, jobs: Jobs) -> None:
    jobs.pending("p")
    selection = start(web, "delete", ids=["p"], more={"delay_s": 60})
    task = web.post(f"{TASKS}/{selection}/stop", {})
    assert (task["state"], task["done"], task["left"]) == ("stopped", 0, 1)
    assert jobs.queue.get("p").state == "pending"


@pytest.mark.parametrize("is_task", [True, False])
def test_a_deletion_leaves_a_job_that_has_started_since_it_was_confirmed(
    web: Served, jobs: Jobs, is_task: bool
) -> None:
    """One that runs, one that has ended by now, and one that was retried; a job that ran already is deleted."""
    for job_id in ("runs", "ended", "waits", "held"):
        jobs.pending(job_id)
    jobs.failed("again")
    ran = jobs.running("ran")
    selection = count(web, "delete", ids=["runs", "ended", "waits", "held", "again", "ran"])
    with jobs.start("runs") as claim:
        for ends in (ran, jobs.start("ended"), jobs.start("again")):
            with ends:
                ends.finish({"exit_code": 0})
        with jobs.spool.take("held") as held:
            held.hold()
        if is_task:
            web.post(TASKS, {"action": "delete", "selection": selection})
            task = ended(web, selection)
            assert (task["done"], task["unchanged"]) == (3, {"processing": 1, "completed": 2})
        else:
            done = web.post(BULK, {"action": "delete", "selection": selection})
            assert sorted(done["ids"]) == ["held", "ran", "waits"]
            assert {each["id"] for each in done["unchanged"]} == {"runs", "ended", "again"}
        assert claim.job.state == "processing"
        claim.finish({"exit_code": 0})
    assert sorted(row["id"] for row in web.queue.list()) == ["again", "ended", "runs"]


def test_what_fails_is_grouped_by_its_error_and_keeps_nothing_else_from_being_done(web: Served, jobs: Jobs) -> None:
    for number in range(3):
        jobs.pending(f"p{number}")
        jobs.pending(f"c{number}", after=[f"p{number}"])
    jobs.pending("free")
    jobs.pending("gone")
    selection = count(web, "delete", ids=["p0", "p1", "p2", "free", "gone"])
    jobs.queue.delete("gone")
    web.post(TASKS, {"action": "delete", "selection": selection})
    task = ended(web, selection)
    assert (task["state"], task["done"], task["failed"], task["unchanged"]) == ("completed", 1, 3, {"deleted": 1})
    [group] = task["errors"]
    assert (group["count"], group["ids"], "p0" in group["detail"]) == (3, ["p0", "p1", "p2"], True)
    assert not jobs.queue.spool.find("free")


def test_errors_without_end_are_counted_together(web: Served, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "GROUPS", 1)
    monkeypatch.setattr(tasks, "EXAMPLES", 1)
    for number in range(3):
        jobs.pending(f"p{number}")
    errors = iter(f"error {word}" for word in ("one", "two", "three"))

    def refuse(*_: Any) -> None:
        raise Conflict(next(errors))

    monkeypatch.setattr(bulk_tasks, "carry_out", refuse)
    task = ended(web, start(web, "delete", ids=["p0", "p1", "p2"]))
    assert [(group["detail"] == "other errors", group["count"], len(group["ids"])) for group in task["errors"]] == [
        (False, 1, 1),
        (True, 2, 1),
    ]


def test_it_changes_fields_and_removes_expiries(web: Served, jobs: Jobs) -> None:
    jobs.spool.enqueue({"id": "old", "command": "true", "expires_at": "2026-01-01T00:00:00Z"})
    jobs.spool.claim("old", "w")
    task = ended(web, start(web, "retry", ids=["old"], more={"set": {"priority": 5}}))
    assert (task["done"], task["expiry_removed"]) == (1, 1)
    assert jobs.queue.get("old").priority == 5
    selection = count(web, "edit", ids=["old"])
    assert web.ask("POST", TASKS, {"action": "edit", "selection": selection}).status == 422
    assert web.ask("POST", TASKS, {"action": "delete", "selection": selection}).status == 409


def test_what_it_cannot_begin_is_said(web: Served, jobs: Jobs) -> None:
    jobs.pending("p")
    selection = count(web, "delete", filter={"state": "pending"})
    (web.home / "config.yaml").write_text("durability: [\n")
    bulk_tasks.begin(web.server.app, selection, "delete", {}, 0)
    task = ended(web, selection)
    assert (task["state"], task["left"]) == ("failed", 1)
    assert "config.yaml" in task["problem"]
    assert str(web.home) not in json.dumps(task)


def test_only_so_many_at_a_time_and_results_do_not_pile_up(
    web: Served, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.pending("p")
    monkeypatch.setattr(tasks, "MOST", 1)
    first = start(web, "delete", ids=["p"], more={"delay_s": 60})
    second = count(web, "delete", ids=["p"])
    full = web.ask("POST", TASKS, {"action": "delete", "selection": second})
    assert (full.status, full.json["title"]) == (503, "busy or full")
    web.post(f"{TASKS}/{first}/stop", {})
    monkeypatch.setattr(tasks, "KEPT", 1)
    for selection in (second, count(web, "delete", ids=["p"])):
        web.post(TASKS, {"action": "delete", "selection": selection})
        ended(web, selection)
    assert len(web.get(TASKS)["tasks"]) == 1
    monkeypatch.setattr(tasks, "KEPT_S", -1.0)
    assert web.get(TASKS)["tasks"] == []


def test_read_only_shows_tasks_and_starts_none(serve: Callable[..., Served]) -> None:
    web = serve(read_only=True)
    assert web.get(TASKS) == {"tasks": []}
    assert web.ask("POST", TASKS, {"action": "delete", "selection": "0" * 16}).status == 403


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_each_job_is_deleted_or_as_it_was_when_the_server_ends(home: Path, jobs: Jobs, how: signal.Signals) -> None:
    ids = {str(job_id) for job_id in jobs.queue.enqueue_many({"command": "true"} for _ in range(2000))}
    command = [sys.executable, "-m", "queuectl", "web", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None
        url, token = process.stdout.readline().partition("#")[0], (home / "web.token").read_text().strip()

        def ask(method: str, path: str, body: Any = None) -> Any:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            with closing(http.client.HTTPConnection(url.split("/")[2], timeout=PATIENCE_S)) as connection:
                connection.request(method, path, json.dumps(body) if body else None, headers)
                return json.loads(connection.getresponse().read())

        try:
            counted = ask("POST", BULK, {"action": "delete", "filter": {"state": "pending"}, "dry_run": True})
            ask("POST", TASKS, {"action": "delete", "selection": counted["selection"]})
            while not ask("GET", f"{TASKS}/{counted['selection']}")["done"]:
                pass
            process.send_signal(how)
            _, errors = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    queue = Queue(home)
    left = {row["id"] for row in queue.list(limit=None)}
    assert left < ids
    for job_id in ids:
        assert bool(queue.spool.find(job_id)) == (job_id in left)
        if job_id in left:
            assert queue.get(job_id).state == "pending"
    if how == signal.SIGINT:
        assert not left or f"Stopped 1 bulk action: {len(left):,} job" in errors
