"""external_changes: reports what other programs did to waiting jobs: enqueued, held, released, edited, revived, cancelled.

The supervisor learns of such a change by reading the file, and reads the same file more than once.

Guarantees: each change is reported once. Bounded memory: the last REMEMBERED jobs are known. Costs next to nothing while
            no client watches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.job.events import Event
from queuectl.job.history import last_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from queuectl.job.job import Job

REMEMBERED = 1024
BY_OTHERS = frozenset(("enqueued", "held", "released", "edited", "revived", "requeued", "cancelled"))


class ExternalChanges:
    """Reports each change that is seen for the first time.

    Args:
        emit: called with every event.
        has_watchers: whether a client watches events.
    """

    def __init__(self, emit: Callable[[Event], None], has_watchers: Callable[[], bool]) -> None:
        self._emit = emit
        self._has_watchers = has_watchers
        self._reported: dict[str, float] = {}

    def already_reported(self, job_id: str, updated_at: float) -> bool:
        """Tell whether the change of a job at that time was reported."""
        return self._reported.get(job_id) == updated_at

    def note(self, job_id: str, updated_at: float) -> None:
        """Remember a change as reported."""
        self._reported[job_id] = updated_at
        if len(self._reported) > REMEMBERED:
            del self._reported[next(iter(self._reported))]

    def report(self, job: Job) -> None:
        """Report the last change of a job that was just read, if another program made it."""
        if not self._has_watchers():
            return
        kind = last_event(job.history) or "enqueued"
        if kind in BY_OTHERS and not self.already_reported(job.id, job.updated_at):
            self.note(job.id, job.updated_at)
            self._emit(Event(kind, job.id, job.state))
