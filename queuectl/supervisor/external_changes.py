"""hearsay: what others did to jobs that wait: put in, held, released, edited, revived, cancelled: told once each.

The supervisor learns of it by looking at files, and looks at the same one more than once.

Guarantees: bounded memory: of the last REMEMBERED jobs it is known what was told of them. Costs next to nothing while
            nobody listens.
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


class Hearsay:
    """Tells of what is seen for the first time.

    Args:
        tell: called with every event.
        is_heard: somebody listens.
    """

    def __init__(self, tell: Callable[[Event], None], is_heard: Callable[[], bool]) -> None:
        self._tell = tell
        self._is_heard = is_heard
        self._known: dict[str, float] = {}

    def knows(self, job_id: str, updated_at: float) -> bool:
        """Tell whether this is no news, and remember it."""
        if self._known.get(job_id) == updated_at:
            return True
        self._known[job_id] = updated_at
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        return False

    def seen(self, job: Job) -> None:
        """A job was read; perhaps somebody has changed it."""
        if not self._is_heard():
            return
        kind = last_event(job.history) or "enqueued"
        if kind in BY_OTHERS and not self.knows(job.id, job.updated_at):
            self._tell(Event(kind, job.id, job.state))
