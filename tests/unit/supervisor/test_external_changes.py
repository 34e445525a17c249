"""hearsay: what others did is told once, however often a file is looked at, and memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from queuectl.client.queue import Queue
from queuectl.job.events import Event
from queuectl.supervisor.external_changes import REMEMBERED, Hearsay


def test_each_change_is_told_once(tmp_path: Path) -> None:
    queue, told = Queue(tmp_path / "home"), []
    hearsay = Hearsay(lambda event: told.append(event.kind), lambda: True)
    job_id = queue.enqueue("true")

    def change(how: Callable[[], object]) -> None:
        how()
        for _ in range(3):
            hearsay.seen(queue.get(job_id))

    def by_claim(verb: str) -> None:
        with queue.spool.take(job_id) as claim:
            getattr(claim, verb)()

    change(lambda: None)
    change(lambda: by_claim("hold"))
    change(lambda: by_claim("release"))
    change(lambda: by_claim("hold"))
    change(lambda: queue.cancel(job_id))
    change(lambda: queue.retry(job_id))
    assert told == ["enqueued", "held", "released", "held", "cancelled", "revived"]


def test_what_a_worker_reported_is_not_told_again(tmp_path: Path) -> None:
    """It was told when the report came; the file is seen afterwards."""
    queue, told = Queue(tmp_path / "home"), list[Event]()
    hearsay = Hearsay(told.append, lambda: True)
    job_id = queue.enqueue("true")
    queue.cancel(job_id)
    job = queue.get(job_id)
    hearsay.knows(job_id, job.updated_at)
    hearsay.seen(job)
    assert told == []


def test_nothing_is_told_or_remembered_while_nobody_listens(tmp_path: Path) -> None:
    queue, told = Queue(tmp_path / "home"), list[Event]()
    hearsay = Hearsay(told.append, lambda: False)
    hearsay.seen(queue.get(queue.enqueue("true")))
    assert (told, hearsay._known) == ([], {})


def test_memory_is_bounded() -> None:
    hearsay = Hearsay(lambda _event: None, lambda: True)
    for number in range(3 * REMEMBERED):
        assert not hearsay.knows(f"job-{number}", 1.0)
    assert len(hearsay._known) == REMEMBERED
    assert hearsay.knows(f"job-{3 * REMEMBERED - 1}", 1.0)
