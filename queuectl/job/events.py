"""events: what happened, as one value that log, index, watchers and tests listen to.

Owns:       the sentence for each kind of event; every log line about a job comes from here. The members of an event that
            is in the history of its job: the same when it is reported as it happens and when it is read afterwards.
"""

from __future__ import annotations

from queuectl.clock import spell
from queuectl.job.history import LEADS_TO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from queuectl.job.job import Job

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
    "signalled": "was sent {signal}",
    "rejected": "rejected: {detail}",
    "moved": "moved to where its last event leads",
    "removed": "is gone",
    "adopted": "its worker died; the command goes on as process {pid}",
    "hook": "{hook} was run",
    "orphaned": "a run of an earlier supervisor is still alive",
}
STATE_AFTER = {
    **dict.fromkeys(LEADS_TO, "pending"),
    **{"started": "processing", "completed": "completed", "cancelled": "cancelled", "died": "dead", "expired": "dead"},
    **{"failed": "failed", "held": "held", "signalled": "processing"},
}
MEMBERS = ("at", "event", "id", "state", "attempt", "worker", "exit_code")  # of every event, null where it has none
LEFT_OUT = ("event", "at", "created_at", "set")


class Event:
    """One thing that happened to a job.

    Attributes:
        kind: a key of SENTENCES.
        state: the job's state afterwards; empty when it is gone.
        details: the other members of the event.
        at: when, as the history of the job has it; None for what is in no history.
    """

    __slots__ = ("at", "details", "job_id", "kind", "state")

    def __init__(
        self,
        kind: str,
        job_id: str,
        state: str = "",
        details: Mapping[str, Any] | None = None,
        at: str | None = None,
    ) -> None:
        self.kind = kind
        self.job_id = job_id
        self.state = state
        self.details = details or {}
        self.at = at

    def as_dict(self, now: float) -> dict[str, Any]:
        """Return the event as `events --json` and the API have it."""
        at = spell(now) if self.at is None else self.at
        made: dict[str, Any] = dict.fromkeys(MEMBERS)
        made.update(at=at, event=self.kind, id=self.job_id, state=self.state)
        made.update((name, value) for name, value in self.details.items() if value is not None)
        return made

    def sentence(self) -> str:
        """Say it in words, with every detail as key=value behind."""
        words = SENTENCES[self.kind].format_map(_Blank(self.details))
        pairs = " ".join(f"{key}={value}" for key, value in self.details.items() if value is not None)
        return f"job {self.job_id} {words} action={self.kind} {pairs}".rstrip()


class _Blank(dict[str, Any] if TYPE_CHECKING else dict):  # type: ignore[misc]
    def __missing__(self, key: str) -> str:
        return "?"


def event_of(
    entry: Mapping[str, Any], job_id: str, state: str, attempt: int | None = None, worker: str | None = None
) -> Event:
    """Return the event of a history entry; `attempt` and `worker` are those of the attempt that it ended."""
    run = {"attempt": attempt, "worker": worker} if worker else {}
    details = {**run, **{name: value for name, value in entry.items() if name not in LEFT_OUT}}
    return Event(entry["event"], job_id, state, details, entry["at"])


def events_of(job: Job) -> Iterator[Event]:
    """Yield what happened to a job, oldest first."""
    attempt, worker, state = 0, None, "pending"
    if not job.history or job.history[0]["event"] != "compacted":
        yield Event("enqueued", job.id, state, at=spell(job.created_at))
    for entry in job.history:
        kind = entry["event"]
        if kind == "compacted":
            attempt, worker = entry["kept"]["attempts"], entry["kept"].get("worker")
            state = STATE_AFTER.get(entry["last_event"], "pending")
            continue
        is_end = state == "processing" and kind != "started"
        if kind == "started":
            attempt, worker = entry.get("attempt", attempt + 1), entry.get("worker")
        state = STATE_AFTER[kind] if kind not in ("edited", "signalled") else state
        yield event_of(entry, job.id, state, attempt, worker if is_end else None)
