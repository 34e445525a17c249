"""A job for which others wait is not removed: by delete, purge or retention, with a supervisor or without one."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from queuectl.client.dependents import Dependents
from queuectl.client.queue import Queue
from queuectl.errors import Conflict, InvalidData, NotFound
from queuectl.index.database import IndexUnavailable
from queuectl.index.reader import Reader
from queuectl.index.rebuild import build_or_catch_up
from queuectl.maintenance import retention
from queuectl.maintenance.context import TaskContext
from queuectl.spool import dependents
from queuectl.spool.claim import Claim
from queuectl.spool.enqueue import refuse_parents
from tests.support.supervised import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(tmp_path / "home")


def completed(queue: Queue, job_id: str) -> str:
    queue.enqueue("true", id=job_id)
    claim = queue.spool.claim(job_id, "worker-1")
    assert isinstance(claim, Claim)
    with claim:
        claim.finish({"exit_code": 0})
    return job_id


def test_delete_names_the_jobs_that_wait(queue: Queue) -> None:
    parent = completed(queue, "parent")
    for number in range(5):
        queue.enqueue("true", id=f"child-{number}", after=[parent])
    with pytest.raises(
        Conflict, match=r"job parent is not deleted.* wait: child-0, child-1, child-2 and others"
    ) as error:
        queue.delete(parent)
    assert error.value.hint == "to delete these too: queuectl delete --with-dependents parent"
    for number in range(5):
        queue.delete(f"child-{number}")
    queue.delete(parent)
    assert queue.counts()["completed"] == 0


def test_a_whole_tree_is_deleted_from_its_leaves(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    completed(queue, "top")
    queue.enqueue("true", id="left", after=["top"])
    queue.enqueue("true", id="bottom", after=["left", "top"])
    queue.enqueue("true", id="last", after=["bottom"])
    order: list[str] = []
    remove = Claim.remove

    def removed(claim: Claim) -> int:
        order.append(claim.job.id)
        return remove(claim)

    monkeypatch.setattr(Claim, "remove", removed)
    queue.delete("top", with_dependents=True)
    assert order == ["last", "bottom", "left", "top"]


def test_jobs_that_wait_for_each_other_are_deleted_too(queue: Queue) -> None:
    """Only dropped files can make a cycle; nothing else can remove it."""
    queue.enqueue("true", id="first")
    queue.enqueue("true", id="second", after=["first"])
    for job_id, parent in (("a", "c"), ("b", "a"), ("c", "b")):
        path = Path(queue.layout.job("pending", job_id))
        path.write_text(json.dumps({"command": "true", "after": [parent]}))
    assert sorted(Dependents(queue.spool).tree(["a"])) == ["b", "c"]
    queue.delete("a", with_dependents=True)
    assert sorted(job["id"] for job in queue.list()) == ["first", "second"]


def test_a_job_that_waits_no_more_protects_nothing(queue: Queue) -> None:
    """One that has ended, or died because of its parent, or that came after another job before it was edited."""
    parent, other = completed(queue, "parent"), completed(queue, "other")
    child = queue.enqueue("true", id="child", after=[parent])
    edited = queue.enqueue("true", id="edited", after=[parent])
    queue.edit(edited, after=[other])
    queue.cancel(child)
    queue.delete(parent)
    with pytest.raises(Conflict, match="edited"):
        queue.delete(other)


def test_purge_and_retention_keep_it(queue: Queue) -> None:
    queue.spool.settings = type(queue.spool.settings).from_dict({"retention_done": "1s"})
    parent, other = completed(queue, "parent"), completed(queue, "other")
    child = queue.enqueue("true", after=[parent])
    context = TaskContext(queue, is_named=True, is_gentle=False)
    context.settings, context.now = queue.spool.settings, context.now + 3600
    retention.run_once(context)
    assert [job["id"] for job in queue.list("completed")] == [parent]
    removed = queue.purge("completed")
    assert (removed.ids, removed.parents) == ([], [parent])
    queue.cancel(child)
    assert sorted(queue.purge("completed,cancelled").ids) == sorted([parent, child])
    with pytest.raises(NotFound):
        queue.get(other)


@pytest.mark.parametrize("how", ["enqueue", "edit"])
def test_a_job_that_is_being_enqueued_protects_its_parents(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It was checked that they exist; they are not removed before it is there."""
    completed(queue, "parent")
    queue.enqueue("true", id="waiting")
    results: list[str] = []

    def remove() -> None:
        try:
            Queue(queue.layout.home).delete("parent")
            results.append("removed")
        except Conflict:
            results.append("kept")

    remover = threading.Thread(target=remove)

    def checked(*args: object) -> None:
        refuse_parents(*args)  # type: ignore[arg-type]
        remover.start()
        remover.join(0.1)  # it waits for the lock; without one it would be done
        assert not results

    monkeypatch.setattr("queuectl.spool.enqueue.refuse_parents", checked)
    if how == "enqueue":
        queue.enqueue("true", after=["parent"])
    else:
        queue.edit("waiting", after=["parent"])
    remover.join()
    assert results == ["kept"]


def test_a_job_that_is_being_removed_is_no_parent_any_more(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    completed(queue, "parent")
    results: list[str] = []

    def enqueue() -> None:
        try:
            results.append(Queue(queue.layout.home).enqueue("true", after=["parent"]))
        except InvalidData as error:
            results.append(str(error))

    enqueuer = threading.Thread(target=enqueue)
    remove = Claim.remove

    def removed(claim: Claim) -> int:
        enqueuer.start()
        enqueuer.join(0.1)
        assert not results
        return remove(claim)

    monkeypatch.setattr(Claim, "remove", removed)
    queue.delete("parent")
    enqueuer.join()
    assert results == ['the job comes after "parent", which does not exist']


def test_without_an_index_the_files_are_read(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    completed(queue, "parent")
    queue.enqueue("true", id="child", after=["parent"])

    def unavailable(*_: object) -> Reader:
        raise IndexUnavailable("no disk")

    monkeypatch.setattr("queuectl.client.current_index.open_reader", unavailable)
    with pytest.raises(Conflict, match="child"):
        queue.delete("parent")


def test_an_index_that_a_supervisor_still_builds_is_waited_for(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is complete, it does not show all jobs that wait."""
    completed(queue, "parent")
    queue.list()  # makes an index, in which the child is not yet
    queue.enqueue("true", id="child", after=["parent"])
    answers = iter([{"syncing": "1 of 2 files compared"}, {"syncing": None}])

    def ask(*_: object) -> dict[str, str | None]:
        answer = next(answers)
        if answer["syncing"] is None:
            for _step in build_or_catch_up(queue.spool):
                continue
        return answer

    monkeypatch.setattr("queuectl.control_client.ask", ask)
    monkeypatch.setattr("queuectl.client.current_index.LOOK_AGAIN_S", 0.0)
    with pytest.raises(Conflict, match="child"):
        queue.delete("parent")


def test_dependents_stay_when_the_job_itself_must_not_be_removed(queue: Queue) -> None:
    """What was asked for is checked before anything is removed."""
    completed(queue, "parent")
    queue.enqueue("true", id="child", after=["parent"])

    def refuse(_job: object) -> None:
        raise Conflict("it has changed")

    with pytest.raises(Conflict, match="it has changed"):
        queue.delete("parent", refuse, with_dependents=True)
    assert queue.get("child").state == "pending"


def test_where_no_job_ever_had_parents_the_index_is_not_asked(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    completed(queue, "a")
    monkeypatch.setattr("queuectl.client.current_index.open_reader", lambda *_: pytest.fail("it was"))
    queue.delete("a")
    assert dependents.enqueued(queue.spool) == 0


def test_the_command_line_with_a_supervisor_and_a_dropped_child(supervised: Make) -> None:
    s = supervised()
    s.queue.enqueue("true", id="parent")
    s.start(1)
    s.wait_for("parent", "completed")
    s.queue.enqueue("true", id="held")
    dropped = s.home / "spool/pending/dropped.json"
    dropped.with_suffix(".tmp").write_text(
        json.dumps({"command": "true", "after": ["parent"], "run_at": "2999-01-01T00:00:00Z"})
    )
    dropped.with_suffix(".tmp").rename(dropped)
    s.wait_until(lambda: dependents.enqueued(s.queue.spool) > 0, "the supervisor has seen it")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "bin/queuectl", *words], env=s.environ, capture_output=True, text=True, check=False
        )

    kept = run("delete", "parent")
    assert (kept.returncode, "dropped" in kept.stderr, "--with-dependents" in kept.stderr) == (4, True, True)
    purged = run("purge", "--yes")
    assert "1 job was kept, because jobs that come after it wait" in purged.stdout + purged.stderr
    gone = run("delete", "--with-dependents", "parent")
    assert gone.returncode == 0, gone.stderr
    assert not dropped.exists()
