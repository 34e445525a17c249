"""retry: run jobs again now."""

from __future__ import annotations

from queuectl.cli.home import queue_to_change
from queuectl.cli.selection import Verb, act_on
from queuectl.cli.times import ago
from queuectl.client.queue import Queue
from queuectl.clock import spell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.job.job import Job


def run(args: Arguments, screen: Screen) -> int:
    """Make each job due now: finished and dead ones with a fresh retry budget."""
    retries = Retries(queue_to_change(args, screen))
    verb = Verb("retry", "retry", "put back")
    return act_on(args, screen, retries.queue, verb, retries.retry, retries)


class Retries:
    """Retries jobs and notes whose expiry was removed."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self._expiries: list[tuple[str, float]] = []

    def retry(self, job_id: str, check: Callable[[Job], None] | None = None) -> str:
        """Retry one job and say what was done."""
        job = self.queue.rerun(job_id, {}, check)
        words = f"{job.id} runs again: attempt {job.attempts + 1}"
        if job.removed_expiry is None:
            return words
        self._expiries.append((job.id, job.removed_expiry))
        return f"{words}; its expiry, {ago(job.removed_expiry, self.queue.spool.clock.now())}, was removed"

    def words(self) -> str:
        """Say how many expiries were removed."""
        return f" (the expiry of {len(self._expiries):,} had passed and was removed)" if self._expiries else ""

    def as_dict(self) -> dict[str, Any]:
        """Return the expiries that were removed."""
        return {"expiry_removed": [{"id": job_id, "expires_at": spell(expiry)} for job_id, expiry in self._expiries]}
