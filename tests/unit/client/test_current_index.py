"""An index that shows every job, also while a supervisor rebuilds its own, cannot write it, or is of another version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from queuectl import control_client
from queuectl.client import current_index
from queuectl.client.queue import Queue
from queuectl.errors import Conflict, NotFound
from queuectl.index import database

REBUILDING = {"ok": True, "syncing": "1 of 2 jobs", "degraded": None}
DEGRADED = {"ok": True, "syncing": None, "degraded": "the disk is full"}
UP_TO_DATE = {"ok": True, "syncing": None, "degraded": None}


@pytest.fixture
def behind(home: Path) -> Queue:
    """A queue whose index lacks the second of its two jobs."""
    queue = Queue(home)
    queue.enqueue("true", id="a")
    assert queue.counts()["pending"] == 1
    queue.enqueue("true", id="b", unique_key="k")
    return queue


def answer_with(monkeypatch: pytest.MonkeyPatch, queue: Queue, answers: list[dict[str, Any]]) -> None:
    """Answer as a supervisor that has the index up to date when it says so."""
    left: Iterator[dict[str, Any]] = iter(answers)

    def ask(_layout: object, _request: object) -> dict[str, Any]:
        answer = next(left)
        if answer is UP_TO_DATE:
            current_index._sync(queue.spool, lambda _words: None)
        return answer

    monkeypatch.setattr(control_client, "ask", ask)
    monkeypatch.setattr(current_index, "LOOK_AGAIN_S", 0)


@pytest.mark.parametrize("answers", [[REBUILDING, REBUILDING, UP_TO_DATE], [DEGRADED], [REBUILDING, DEGRADED]])
@pytest.mark.parametrize(
    "figure",
    [
        lambda queue: len(queue.list()),
        lambda queue: queue.counts()["pending"],
        lambda queue: len(queue.purge("pending").ids),
        lambda queue: len([*queue.events()]),
        lambda queue: queue.queues()[0]["waiting"],
        lambda queue: queue.complete_reader().counts()["pending"],
    ],
    ids=["list", "counts", "purge", "events", "queues", "reader"],
)
def test_no_job_is_missing(
    behind: Queue, monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]], figure: Callable[[Queue], int]
) -> None:
    answer_with(monkeypatch, behind, answers)
    assert figure(behind) == 2


@pytest.mark.parametrize("answers", [[REBUILDING, UP_TO_DATE], [DEGRADED]])
def test_a_unique_key_is_found(behind: Queue, monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]]) -> None:
    answer_with(monkeypatch, behind, answers)
    with pytest.raises(Conflict, match="is held by job b"):
        behind.enqueue("true", unique_key="k")


@pytest.mark.parametrize("answer", [REBUILDING, DEGRADED])
def test_a_prefix_names_a_job_that_the_index_lacks(
    home: Path, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    """And one that the index shows alone may be ambiguous."""
    queue = Queue(home)
    first = queue.enqueue("true", id="job-ax")
    assert queue.counts()["pending"] == 1
    last = queue.enqueue("true", id="job-bx")
    monkeypatch.setattr(control_client, "ask", lambda *_args, **_more: answer)
    assert (queue.resolve(last[:-1]), queue.resolve(first[:-1])) == (last, first)
    with pytest.raises(Conflict, match="is a prefix of several ids"):
        queue.resolve(first[:1])
    with pytest.raises(NotFound):
        queue.resolve(last[:-1], is_whole=True)


def test_a_rebuild_that_lasts_too_long_is_not_waited_for(behind: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, behind, [REBUILDING])
    monkeypatch.setattr(current_index, "REBUILD_S", -1.0)
    assert behind.counts()["pending"] == 2


def test_beside_a_supervisor_of_another_version_the_job_files_are_read(
    behind: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_client, "ask", lambda *_args, **_more: UP_TO_DATE)
    monkeypatch.setattr(database, "VERSION", database.VERSION ^ 1)
    told: list[str] = []
    with behind.reader(told.append) as reader:
        assert reader.counts()["pending"] == 2
    assert told == ["the supervisor runs another version of QueueCTL, all job files are read: queuectl worker restart"]
    assert behind.counts()["pending"] == 2


def test_an_upgrade_does_not_change_the_index_of_a_running_program(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replaced(name: str) -> str:
        raise AssertionError(f"{name} is read again")

    monkeypatch.setattr(database, "_read", replaced)
    queue = Queue(home)
    queue.enqueue("true")
    assert queue.counts()["pending"] == 1
