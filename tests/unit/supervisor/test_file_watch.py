"""changes: what others did is reported once, however often a file is looked at, and memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from queuectl.client.queue import Queue
from queuectl.job.events import Event
from queuectl.supervisor.file_watch import REMEMBERED, ExternalChanges


def test_each_change_is_reported_once(tmp_path: Path) -> None:
    queue, events = Queue(tmp_path / "home"), []
    changes = ExternalChanges(lambda event: events.append(event.kind), lambda: True)
    job_id = queue.enqueue("true")

    def change(how: Callable[[], object]) -> None:
        how()
        for _ in range(3):
            changes.report(queue.get(job_id))

    def by_claim(verb: str) -> None:
        with queue.spool.take(job_id) as claim:
            getattr(claim, verb)()

    change(lambda: None)
    change(lambda: by_claim("hold"))
    change(lambda: by_claim("release"))
    change(lambda: by_claim("hold"))
    change(lambda: queue.cancel(job_id))
    change(lambda: queue.retry(job_id))
    assert events == ["enqueued", "held", "released", "held", "cancelled", "revived"]


def test_what_a_worker_reported_is_not_reported_again(tmp_path: Path) -> None:
    """It was reported when the report came; the file is seen afterwards."""
    queue, events = Queue(tmp_path / "home"), list[Event]()
    changes = ExternalChanges(events.append, lambda: True)
    job_id = queue.enqueue("true")
    queue.cancel(job_id)
    job = queue.get(job_id)
    changes.note(job_id, job.updated_at)
    changes.report(job)
    assert events == []


def test_nothing_is_reported_or_remembered_while_no_client_watches(tmp_path: Path) -> None:
    queue, events = Queue(tmp_path / "home"), list[Event]()
    changes = ExternalChanges(events.append, lambda: False)
    changes.report(queue.get(queue.enqueue("true")))
    assert (events, changes._reported) == ([], {})


def test_memory_is_bounded() -> None:
    changes = ExternalChanges(lambda _event: None, lambda: True)
    for number in range(3 * REMEMBERED):
        assert not changes.already_reported(f"job-{number}", 1.0)
        changes.note(f"job-{number}", 1.0)
    assert len(changes._reported) == REMEMBERED
    assert changes.already_reported(f"job-{3 * REMEMBERED - 1}", 1.0)
