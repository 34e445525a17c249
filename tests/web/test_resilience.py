"""The page stays right, and says what it sees, whatever happens to supervisor and index."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from queuectl.client.queue import Queue
from queuectl.index.database import IndexUnavailable
from queuectl.index.rebuild import rebuild
from queuectl.web import index_access

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from queuectl.index.reader import Reader
    from tests.cli.support import Jobs
    from tests.support.supervised import Supervised
    from tests.web.support import Served


def _snapshot(web: Served) -> dict[str, Any]:
    web.server.app.writes.note_write()  # now, not half a second ago
    found: dict[str, Any] = web.get("/api/v1/snapshot")
    return found


def test_over_a_restart_of_the_supervisor(web: Served, supervised: Callable[..., Supervised]) -> None:
    watched = supervised()
    for turn in range(2):
        process = watched.start(1)
        job_id = web.post("/api/v1/jobs", {"command": "true"})["id"]
        watched.wait_for(job_id, "completed")
        seen = _snapshot(web)
        assert seen["counts"]["completed"] == turn + 1
        assert seen["supervisor"]["pid"] == process.pid
        process.kill()
        process.wait()
        watched.wait_until(lambda: not watched.survivors(), "the worker has gone too")
        seen = _snapshot(web)
        assert (seen["supervisor"], seen["supervisor_died"]) == (None, process.pid)
        assert seen["counts"]["completed"] == turn + 1


def test_a_stopped_supervisor_is_said_and_jobs_are_put_in_all_the_same(web: Served) -> None:
    job_id = web.post("/api/v1/jobs", {"command": "true"})["id"]
    seen = _snapshot(web)
    assert seen["counts"]["pending"] == 1
    assert seen["attention"][0] == {
        "level": "error",
        "text": "1 job is waiting, but no workers are running",
        "hint": "queuectl worker start --count 2",
    }
    web.post(f"/api/v1/jobs/{job_id}/cancel", {})
    assert _snapshot(web)["attention"] == []


def test_a_supervisor_that_does_not_answer_is_said_and_not_waited_for(
    web: Served, supervised: Callable[..., Supervised]
) -> None:
    """Stopped by SIGSTOP it holds its lock and its socket; the page answers all the same."""
    watched = supervised()
    process = watched.start(1)
    process.send_signal(signal.SIGSTOP)
    try:
        for path in ("/api/v1/jobs", "/api/v1/stats?window=1h", "/metrics", "/api/status", "/api/v1/dead/groups"):
            assert web.ask("GET", path).status == 200, path
        seen = _snapshot(web)
        assert (seen["supervisor"], seen["supervisor_silent"]) == (None, process.pid)
        assert seen["attention"][0]["text"].startswith(f"The supervisor (pid {process.pid}) does not answer")
        assert seen["attention"][0]["hint"] == f"kill -CONT {process.pid}"
        assert "no workers are running" not in str(seen["attention"])
        health = web.ask("GET", "/healthz")
        assert (health.status, health.json["checks"]["supervisor"]["status"]) == (503, "fail")
        job_id = web.post("/api/v1/jobs", {"command": "true"})["id"]
    finally:
        process.send_signal(signal.SIGCONT)
    watched.wait_for(job_id, "completed")
    watched.wait_until(lambda: _snapshot(web)["supervisor"] is not None, "it answers again")
    assert _snapshot(web)["attention"] == []


def test_over_a_rebuild_and_a_lost_index(web: Served, jobs: Jobs, home: Path) -> None:
    jobs.completed("a")
    jobs.dead("b")
    before = _snapshot(web)["counts"]
    for _ in rebuild(jobs.spool, jobs.queue.layout.index):
        pass
    assert _snapshot(web)["counts"] == before
    (home / "index.sqlite3").unlink()
    assert _snapshot(web)["counts"] == before
    (home / "index.sqlite3").write_bytes(b"no database" * 100)
    seen = _snapshot(web)
    assert seen["counts"] == before or seen["index"]["problem"]
    assert web.get("/api/v1/jobs")["total"] == 2


def test_over_a_lost_index_beside_a_supervisor(web: Served, supervised: Callable[..., Supervised], home: Path) -> None:
    watched = supervised()
    watched.start(1)
    job_id = web.post("/api/v1/jobs", {"command": "true"})["id"]
    watched.wait_for(job_id, "completed")
    assert web.get("/api/v1/jobs")["total"] == 1
    for name in home.glob("index.sqlite3*"):
        name.unlink()
    web.post("/api/v1/jobs", {"command": "true"})
    watched.wait_until(lambda: web.ask("GET", "/api/v1/jobs").status == 200, "there is an index again")
    watched.wait_until(lambda: web.get("/api/v1/jobs")["total"] == 2, "it has everything")
    assert _snapshot(web)["counts"]["completed"] >= 1


def test_an_index_that_cannot_be_read_is_said_and_the_queue_works(
    web: Served, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> Reader:
        raise IndexUnavailable(f"the index {path} cannot be used: disk I/O error", is_passing=True)

    monkeypatch.setattr(index_access, "Reader", refuse)
    assert web.ask("POST", "/api/v1/jobs", {"command": "true", "id": "j"}).status == 201
    seen = _snapshot(web)
    assert (seen["counts"], seen["index"]["available"]) == (None, False)
    assert str(home) not in str(seen["index"])
    reply = web.ask("GET", "/api/v1/jobs")
    assert (reply.status, reply.headers["retry-after"]) == (503, "2")
    assert str(home).encode() not in reply.body
    assert web.get("/api/v1/jobs/j")["state"] == "pending"
    assert web.ask("GET", "/metrics").status == 200


def test_an_index_that_is_being_built_is_said(
    serve: Callable[..., Served], jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first request of a large queue does not wait for its index."""
    job_id, built, catch_up = jobs.pending("a"), threading.Event(), Queue.catch_up

    def slowly(queue: Queue, on_step: Callable[[str], None]) -> None:
        on_step("1 of 2 files compared")
        built.wait()
        catch_up(queue, on_step)

    monkeypatch.setattr(index_access, "PATIENCE_S", 0.01)
    monkeypatch.setattr(Queue, "catch_up", slowly)
    Path(jobs.queue.layout.index).unlink(missing_ok=True)
    web = serve()
    refused = web.ask("GET", "/api/v1/jobs")
    assert refused.status == 503
    assert refused.json["detail"] == "the index is being built from the job files: 1 of 2 files compared"
    assert refused.json["hint"] == "try again in a few seconds"
    built.set()
    monkeypatch.setattr(index_access, "PATIENCE_S", 20.0)
    assert [row["id"] for row in web.get("/api/v1/jobs")["jobs"]] == [job_id]


def test_dropped_files_are_seen(web: Served, home: Path) -> None:
    assert web.get("/api/v1/jobs")["total"] == 0
    (home / "spool/tmp/x").write_text('{"command": "true"}')
    (home / "spool/tmp/x").rename(home / "spool/pending/dropped.json")
    assert [row["id"] for row in web.get("/api/v1/jobs")["jobs"]] == ["dropped"]


def test_many_threads_read_and_write_at_once(web: Served) -> None:
    errors: list[object] = []

    def work(number: int) -> None:
        try:
            for turn in range(5):
                job_id = web.post("/api/v1/jobs", {"command": "true", "id": f"t{number}-{turn}"})["id"]
                assert job_id in {row["id"] for row in web.get("/api/v1/jobs?limit=500")["jobs"]}
                web.get("/api/v1/snapshot")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert web.get("/api/v1/jobs")["total"] == 40
