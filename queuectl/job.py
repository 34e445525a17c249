"""job: a job as everybody sees it, folded from the author's members, the directory and the history.

Owns:       the states and what each history event means.
Guarantees: pure; the same file in the same directory always folds to the same job.
Source:     spool/FORMAT.md § History, § States.
"""

from __future__ import annotations

from queuectl.clock import parse_instant, spell
from queuectl.fields import command_line
from queuectl.record import edited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from queuectl.fields import Fields
    from queuectl.record import Entry, Record

PENDING, PROCESSING, DONE, DEAD = "pending", "processing", "done", "dead"
DIRECTORIES = (PENDING, PROCESSING, DONE, DEAD)
STATES = ("pending", "held", "failed", "processing", "completed", "cancelled", "dead")
STATES_OF = {PENDING: ("pending", "held", "failed"), DONE: ("completed", "cancelled")}

LEADS_TO = {
    "completed": DONE,
    "cancelled": DONE,
    "died": DEAD,
    "expired": DEAD,
    "failed": PENDING,
    "interrupted": PENDING,
    "requeued": PENDING,
    "snoozed": PENDING,
    "revived": PENDING,
    "held": PENDING,
    "released": PENDING,
    "edited": PENDING,
}
VERDICTS = frozenset(("completed", "cancelled", "failed", "died", "snoozed"))  # an attempt ran to its end
DETAILS = ("exit_code", "signal", "timed_out", "output_limit", "failed_to_start", "error", "cpu_s", "max_rss_bytes")


def leads_to(history: list[Entry]) -> str | None:
    """Return the directory that the last event leads to; None when the last event is no verdict."""
    if not history:
        return None
    last = history[-1]
    event = last.get("last_event") if last["event"] == "compacted" else last["event"]
    return LEADS_TO.get(str(event))


class Job:
    """One job; instants are seconds since 1970, `None` where it has not happened.

    Attributes:
        fields: the author's members, as later edits left them.
        attempts: how often it was started, ever; also the number of its newest output file.
        failures: failed attempts since the last revival; this is what `max_retries` bounds.
        interruptions, snoozes: in a row.
        run_at: not to be started before this instant.
    """

    __slots__ = (
        "attempts",
        "cpu_s",
        "created_at",
        "dead_reason",
        "directory",
        "exit_code",
        "failures",
        "fields",
        "finished_at",
        "history",
        "id",
        "interruptions",
        "last_error",
        "last_event",
        "max_rss_bytes",
        "outcome",
        "run_at",
        "snoozes",
        "started_at",
        "state",
        "updated_at",
        "worker",
    )

    def __init__(self, job_id: str, record: Record, directory: str, seen_at: float) -> None:
        """Fold; `seen_at` (the file's mtime) stands in for a `created_at` that the author left out."""
        self.id = job_id
        self.directory = directory
        self.fields: Fields = record.fields
        self.history = record.history
        self.created_at = _instant_or(record.fields.get("created_at"), seen_at)
        self.updated_at = self.created_at
        self.run_at = _instant_or(record.fields.get("run_at"), self.created_at)
        self.attempts = self.failures = self.interruptions = self.snoozes = 0
        self.started_at: float | None = None
        self.finished_at: float | None = None
        self.exit_code: int | None = None
        self.outcome: str | None = None
        self.last_error: str | None = None
        self.dead_reason: str | None = None
        self.worker: str | None = None
        self.cpu_s: float | None = None
        self.max_rss_bytes: int | None = None
        self.last_event = ""
        for entry in record.history:
            self._apply(entry)
        self.state = self._state()

    def _apply(self, entry: Entry) -> None:
        event = entry["event"]
        at = self.updated_at = _instant_or(entry["at"], self.updated_at)
        self.last_event = event
        if event == "compacted":
            self._apply_compacted(entry)
        elif event == "started":
            self.attempts = entry.get("attempt", self.attempts + 1)
            self.started_at, self.finished_at, self.worker = at, None, entry.get("worker")
        elif event == "edited":
            self.fields = edited(self.fields, [entry])
            self.run_at = _instant_or(self.fields.get("run_at"), self.run_at)
        elif event == "interrupted":
            self.interruptions += 1
            self.last_error = entry.get("error")
        elif event == "revived":
            self.failures = self.interruptions = self.snoozes = 0
            self.finished_at, self.dead_reason, self.run_at = None, None, at
        if event in VERDICTS:
            self._apply_verdict(event, entry, at)
        if "run_at" in entry:
            self.run_at = _instant_or(entry["run_at"], at)
        if event in ("died", "expired"):
            self.finished_at, self.dead_reason = at, entry.get("reason", event)

    def _apply_verdict(self, event: str, entry: Entry, at: float) -> None:
        self.finished_at = at
        self.interruptions = 0
        self.snoozes = self.snoozes + 1 if event == "snoozed" else 0
        self.failures += event == "failed" or (event == "died" and "exit_code" in entry)
        if "exit_code" in entry or event == "completed":
            self.exit_code = entry.get("exit_code")
            self.outcome = next((d for d in DETAILS[1:5] if d in entry), "exited")
            self.cpu_s, self.max_rss_bytes = entry.get("cpu_s"), entry.get("max_rss_bytes")
        self.last_error = entry.get("error")

    def _apply_compacted(self, entry: Entry) -> None:
        kept = entry["kept"]
        self.last_event = entry.get("last_event", "")
        for name in ("attempts", "failures", "interruptions", "snoozes", "exit_code", "outcome", "last_error", "worker"):
            setattr(self, name, kept.get(name))
        self.run_at, self.updated_at = kept["run_at"], kept["updated_at"]
        self.started_at, self.finished_at = kept.get("started_at"), kept.get("finished_at")

    def compacted(self, now: float) -> Entry:
        """Return the one entry that stands for the whole history so far."""
        kept = {
            "attempts": self.attempts,
            "failures": self.failures,
            "interruptions": self.interruptions,
            "snoozes": self.snoozes,
            "run_at": self.run_at,
            "updated_at": self.updated_at,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "exit_code": self.exit_code,
            "outcome": self.outcome,
            "last_error": self.last_error,
            "worker": self.worker,
        }
        return {"event": "compacted", "at": spell(now), "last_event": self.last_event, "kept": kept}

    def _state(self) -> str:
        if self.directory == PROCESSING:
            return "processing"
        if self.directory == DEAD:
            return "dead"
        if self.directory == DONE:
            return "cancelled" if self.last_event == "cancelled" else "completed"
        if self.last_event in ("failed", "held"):
            return self.last_event
        return "pending"

    @property
    def is_held(self) -> bool:
        """Not to be started until released."""
        return self.last_event == "held"

    @property
    def queue(self) -> str:
        """The lane it waits in."""
        return str(self.fields.get("queue", "default"))

    @property
    def priority(self) -> int:
        """Higher runs first."""
        return int(self.fields.get("priority", 0))

    @property
    def command(self) -> str:
        """The command as a person would type it."""
        return command_line(self.fields)

    @property
    def expires_at(self) -> float | None:
        """Not to be started after this instant."""
        text = self.fields.get("expires_at")
        return None if text is None else parse_instant(text)

    def as_dict(self) -> dict[str, Any]:
        """Return what `show --json`, the API and Python users get: author's members first, then what happened."""
        made: dict[str, Any] = {"id": self.id, "state": self.state, "command": self.command}
        made.update((k, v) for k, v in self.fields.items() if k not in ("id", "state", "attempts", "updated_at"))
        made.update(
            attempts=self.attempts,
            failures=self.failures,
            queue=self.queue,
            priority=self.priority,
            created_at=spell(self.created_at),
            updated_at=spell(self.updated_at),
            run_at=spell(self.run_at),
            started_at=_spell_or_none(self.started_at),
            finished_at=_spell_or_none(self.finished_at),
            exit_code=self.exit_code,
            outcome=self.outcome,
            last_error=self.last_error,
            dead_reason=self.dead_reason,
            worker=self.worker,
            cpu_s=self.cpu_s,
            max_rss_bytes=self.max_rss_bytes,
        )
        return made


def _instant_or(value: object, otherwise: float) -> float:
    if not isinstance(value, str):
        return otherwise
    try:
        return parse_instant(value)
    except ValueError:
        return otherwise


def _spell_or_none(instant: float | None) -> str | None:
    return None if instant is None else spell(instant)
