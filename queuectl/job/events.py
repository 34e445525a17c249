"""events: what happened, as one value that log, index, watchers and tests listen to.

Owns:       the sentence for each kind of event; every log line about a job comes from here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SENTENCES = {
    "enqueued": "waits in pending/",
    "started": "attempt {attempt} started",
    "completed": "completed",
    "failed": "attempt failed, runs again {run_at}",
    "died": "moved to the dead letter queue: {reason}",
    "expired": "moved to the dead letter queue: expired before it could start",
    "interrupted": "its run was interrupted, runs again",
    "requeued": "put back, not counted",
    "snoozed": "asked to be run later, {run_at}",
    "revived": "taken back from where it had ended, runs again",
    "held": "is held",
    "released": "is released",
    "edited": "was edited",
    "cancelled": "cancelled",
    "rejected": "rejected: {detail}",
    "moved": "moved to where its last event leads",
    "removed": "is gone",
    "adopted": "its worker died; the command goes on as process {pid}",
    "orphaned": "a run of an earlier supervisor is still alive",
}


class Event:
    """One thing that happened to a job.

    Attributes:
        kind: a key of SENTENCES.
        state: the job's state afterwards; empty when it is gone.
    """

    __slots__ = ("details", "job_id", "kind", "state")

    def __init__(self, kind: str, job_id: str, state: str = "", details: dict[str, Any] | None = None) -> None:
        self.kind = kind
        self.job_id = job_id
        self.state = state
        self.details = details or {}

    def sentence(self) -> str:
        """Say it in words, with every detail as key=value behind."""
        words = SENTENCES[self.kind].format_map(_Blank(self.details))
        pairs = " ".join(f"{key}={value}" for key, value in self.details.items() if value is not None)
        return f"job {self.job_id} {words} action={self.kind} {pairs}".rstrip()


class _Blank(dict[str, Any] if TYPE_CHECKING else dict):  # type: ignore[misc]
    def __missing__(self, key: str) -> str:
        return "?"
