"""job: the view of a job, computed from the author's members, the directory and the history.

Owns:       the states, and how each event changes the view.
Guarantees: pure; the same file in the same directory folds to the same job. A compaction changes only the members in
            OF_HISTORY.
Source:     spool/FORMAT.md § History, § States.
"""

from __future__ import annotations

from queuectl.clock import as_spelled, instant_of, spell
from queuectl.job.fields import command_line
from queuectl.job.history import CHANGING, ready_after, with_changes
from queuectl.job.history import DEAD as DEAD
from queuectl.job.history import DIRECTORIES as DIRECTORIES
from queuectl.job.history import DONE as DONE
from queuectl.job.history import LEADS_TO as LEADS_TO
from queuectl.job.history import PENDING as PENDING
from queuectl.job.history import PROCESSING as PROCESSING
from queuectl.job.history import VERDICTS as VERDICTS
from queuectl.job.history import leads_to as leads_to

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.job.fields import Fields
    from queuectl.job.history import Entry
    from queuectl.job.job_file import Record

    Ended = tuple[str, float, float]
    Attempt = tuple[int, float | None, float | None, Ended | None]

STATES = ("pending", "held", "failed", "processing", "completed", "cancelled", "dead")
STATES_OF = {PENDING: ("pending", "held", "failed"), DONE: ("completed", "cancelled")}
HOW_ENDED = ("signal", "timed_out", "output_limit", "memory_limit", "cpu_limit", "failed_to_start")
OF_HISTORY = ("history", "earlier", "ended", "first_ready_at")
WAITS = {"failed": "retry", "snoozed": "snooze"}
ENDS = {"died": "dead"}  # the state in which an attempt ends, where it is not called like the event
SETTLING = frozenset(("started", "compacted", "completed", "cancelled", "died", "expired"))  # it waits no more
DEPENDENCY_FAILED = "dependency_failed"  # the reason of a job that died because of a parent
KEPT_TEXT_CHARS = 1000  # of a text that a compaction carries over


class Job:
    """One job; instants are seconds since 1970, `None` where it has not happened.

    A job that belongs to a Claim follows what the claim does to it.

    Attributes:
        fields: the author's members, as later edits left them.
        attempts: how often it was started, ever; also the number of its newest output file.
        failures: failed attempts since the last revival; this is what `max_retries` bounds.
        interruptions, snoozes: in a row.
        run_at: not to be started before this instant.
        last_event: the newest event that is neither an edit nor a signal, which the state follows; "" before the first.
        is_torn: its file ended in a growth that did not complete.
        ready_at: since when it may start, or will be allowed to; while it runs and afterwards: since when it might.
        first_ready_at: the same before the first entry of its history.
        wait_s: how long its newest attempt waited from then until it started.
        ended: how its newest attempt ended (completed, failed, dead or cancelled), when, and the seconds that it ran;
            None while it runs, and for an attempt that was interrupted, put back or snoozed.
        earlier: the attempts before the newest one, without those that a compaction removed.
        units: of each resource, the units that its newest attempt got.
        waits: why it waits until then: nobody (it does not), author, retry or snooze.
        stopped_at, stopped_by: since when its newest attempt is stopped by SIGSTOP, and why: "pause", or None.
        stopped_s: how long it was stopped before, all in all.
        removed_expiry: the `expires_at` that had passed and that the verb which returned this job removed.
    """

    __slots__ = (
        "attempts",
        "cpu_s",
        "created_at",
        "dead_reason",
        "directory",
        "earlier",
        "ended",
        "exit_code",
        "failures",
        "fields",
        "finished_at",
        "first_ready_at",
        "history",
        "id",
        "interruptions",
        "is_torn",
        "last_error",
        "last_event",
        "max_rss_bytes",
        "outcome",
        "ready_at",
        "removed_expiry",
        "run_at",
        "snoozes",
        "started_at",
        "stopped_at",
        "stopped_by",
        "stopped_s",
        "units",
        "updated_at",
        "wait_s",
        "waits",
        "worker",
    )

    def __init__(self, job_id: str, record: Record, directory: str, seen_at: float) -> None:
        """Fold; `seen_at` (the file's mtime) is used while there is no `created_at`."""
        fields = record.fields
        self.id = job_id
        self.directory = directory
        self.fields: Fields = fields
        self.history: list[Entry] = record.history
        self.is_torn = record.torn or record.bracket_at is not None
        self.created_at = self.updated_at = _created_at(record, seen_at)
        self.run_at = instant_of(fields["run_at"]) if "run_at" in fields else self.created_at
        self.ready_at = self.first_ready_at = max(self.created_at, self.run_at)
        self.waits = "author" if "run_at" in fields else "nobody"
        self.attempts = self.failures = self.interruptions = self.snoozes = 0
        self.started_at: float | None = None
        self.finished_at: float | None = None
        self.exit_code: int | None = None
        self.outcome: str | None = None
        self.last_error: str | None = None
        self.dead_reason: str | None = None
        self.worker: str | None = None
        self.units: dict[str, list[int]] = {}
        self.stopped_at: float | None = None
        self.stopped_by: str | None = None
        self.stopped_s = 0.0
        self.cpu_s: float | None = None
        self.max_rss_bytes: int | None = None
        self.removed_expiry: float | None = None
        self.wait_s: float | None = None
        self.ended: Ended | None = None
        self.earlier: list[Attempt] = []
        self.last_event = ""
        for entry in record.history:
            self._apply(entry)

    def follow(self, record: Record) -> None:
        """Take in the one entry by which the job's file has grown."""
        self.history = record.history
        self._apply(record.history[-1])

    def _apply(self, entry: Entry) -> None:
        event = entry["event"]
        at = self.updated_at = instant_of(entry["at"])
        if event == "signalled":
            self._apply_signal(entry, at)
            return
        if event != "edited":  # an edit leaves a job held, or waiting for its next try
            self.last_event = event
            self.stopped_at = self.stopped_by = None
        if "set" in entry and event in CHANGING:
            self._apply_changes(entry["set"], at)
        if event == "compacted":
            self._apply_compacted(entry)
        elif event == "started":
            self._apply_started(entry, at)
        elif event == "interrupted":
            self.interruptions += 1
            self.last_error = entry.get("error")
        elif event == "revived":
            self.failures = self.interruptions = self.snoozes = 0
            self.finished_at, self.dead_reason, self.run_at, self.waits = None, None, at, "nobody"
        elif event in VERDICTS:
            self._apply_verdict(event, entry, at)
        if event not in SETTLING:
            self.ready_at = ready_after(entry, at, self.ready_at)
        if "run_at" in entry:
            self.run_at = instant_of(entry["run_at"])
            self.waits = WAITS.get(event, "nobody" if self.run_at <= at else "author")
        if event in ("died", "expired"):
            self.finished_at, self.dead_reason = at, entry.get("reason", event)

    def _apply_signal(self, entry: Entry, at: float) -> None:
        signal = entry.get("signal")
        if signal == "SIGSTOP" and self.stopped_at is None:
            self.stopped_at, self.stopped_by = at, entry.get("reason")
        elif signal in ("SIGCONT", "SIGKILL") and self.stopped_at is not None:
            self.stopped_s += max(0.0, at - self.stopped_at)
            self.stopped_at = self.stopped_by = None

    def _apply_started(self, entry: Entry, at: float) -> None:
        if self.attempts:
            self.earlier.append((self.attempts, self.started_at, self.wait_s, self.ended))
        if "ready_at" in entry:
            self.ready_at = instant_of(entry["ready_at"])
        self.wait_s, self.ended = max(0.0, at - self.ready_at), None
        self.attempts = entry.get("attempt", self.attempts + 1)
        self.started_at, self.finished_at, self.worker = at, None, entry.get("worker")
        self.units, self.stopped_s = entry.get("units", {}), 0.0

    def _apply_changes(self, changes: Fields, at: float) -> None:
        self.fields = with_changes(self.fields, changes)
        if "run_at" in changes:
            wanted = changes["run_at"]
            self.run_at, self.waits = (at, "nobody") if wanted is None else (instant_of(wanted), "author")

    def _apply_verdict(self, event: str, entry: Entry, at: float) -> None:
        self.finished_at = at
        self.interruptions = 0
        self.snoozes = self.snoozes + 1 if event == "snoozed" else 0
        self.failures += event == "failed" or (event == "died" and "exit_code" in entry)
        if "exit_code" in entry or event == "completed":
            self.exit_code = entry.get("exit_code")
            self.outcome = next((how for how in HOW_ENDED if how in entry), "exited")
            self.cpu_s, self.max_rss_bytes = entry.get("cpu_s"), entry.get("max_rss_bytes")
            if event != "snoozed" and self.started_at is not None:
                self.ended = (ENDS.get(event, event), at, max(0.0, at - self.started_at))
        self.last_error = entry.get("error")

    def _apply_compacted(self, entry: Entry) -> None:
        kept = entry["kept"]
        self.last_event = entry["last_event"]
        self.attempts, self.failures = kept["attempts"], kept["failures"]
        self.interruptions, self.snoozes = kept["interruptions"], kept["snoozes"]
        self.run_at, self.updated_at = instant_of(kept["run_at"]), instant_of(kept["updated_at"])
        self.waits = kept.get("waits") or ("retry" if self.last_event == "failed" else "author")
        self.started_at, self.finished_at = (
            None if kept.get(name) is None else instant_of(kept[name]) for name in ("started_at", "finished_at")
        )
        self.exit_code, self.outcome = kept.get("exit_code"), kept.get("outcome")
        self.last_error, self.dead_reason = kept.get("last_error"), kept.get("dead_reason")
        self.worker, self.cpu_s, self.max_rss_bytes = kept.get("worker"), kept.get("cpu_s"), kept.get("max_rss_bytes")
        self.ready_at = (
            max(self.created_at, self.run_at) if kept.get("ready_at") is None else instant_of(kept["ready_at"])
        )
        self.units = kept.get("units") or {}
        self.stopped_at = None if kept.get("stopped_at") is None else instant_of(kept["stopped_at"])
        self.stopped_by, self.stopped_s = kept.get("stopped_by"), float(kept.get("stopped_s") or 0.0)
        self.wait_s, ran = kept.get("wait_s"), kept.get("run_s")
        if ran is not None and self.finished_at is not None:
            self.ended = (ENDS.get(self.last_event, self.last_event), self.finished_at, ran)

    def compacted(self, now: float) -> Entry:
        """Return the one entry that stands for the whole history so far (history.KEPT)."""
        kept = {
            "attempts": self.attempts,
            "failures": self.failures,
            "interruptions": self.interruptions,
            "snoozes": self.snoozes,
            "created_at": spell(self.created_at),
            "run_at": spell(self.run_at),
            "waits": self.waits,
            "updated_at": spell(self.updated_at),
            "started_at": _spell_or_none(self.started_at),
            "finished_at": _spell_or_none(self.finished_at),
            "exit_code": self.exit_code,
            "outcome": self.outcome,
            "last_error": _end_of(self.last_error),
            "dead_reason": _end_of(self.dead_reason),
            "worker": _end_of(self.worker),
            "cpu_s": self.cpu_s,
            "max_rss_bytes": self.max_rss_bytes,
            "ready_at": spell(self.ready_at),
            "wait_s": self.wait_s,
            "run_s": self.run_s,
            "units": self.units or None,
            "stopped_at": _spell_or_none(self.stopped_at),
            "stopped_by": _end_of(self.stopped_by),
            "stopped_s": self.stopped_s or None,
        }
        return {"event": "compacted", "at": spell(now), "last_event": self.last_event, "kept": kept}

    @property
    def state(self) -> str:
        """One of STATES."""
        if self.directory == DONE:
            return "cancelled" if self.last_event == "cancelled" else "completed"
        if self.directory == PENDING:
            return self.last_event if self.last_event in ("failed", "held") else "pending"
        return self.directory

    @property
    def run_s(self) -> float | None:
        """For how long the newest attempt ran, while the job is as its end left it; None after that."""
        if self.ended is None:
            return None
        what, at, ran = self.ended
        return ran if at == self.finished_at and what == ENDS.get(self.last_event, self.last_event) else None

    @property
    def is_held(self) -> bool:
        """Not to be started until released."""
        return self.last_event == "held"

    def due_at(self, now: float, backoff_max: float) -> float:
        """Return the instant from which it may start: `run_at`, unless the clock was set back since.

        That shows in a job that nobody wants to wait and that seems to come from the future, and in a retry that seems
        to be longer away than the longest backoff. The author's own time is waited for however far it is.
        """
        longest = float(self.fields.get("backoff_max", backoff_max))
        if self.waits == "nobody" or (self.waits == "retry" and self.run_at - now > longest):
            return min(self.run_at, now)
        return self.run_at

    @property
    def queue(self) -> str:
        """The lane it waits in."""
        return str(self.fields.get("queue", "default"))

    @property
    def priority(self) -> int:
        """Higher runs first."""
        return int(self.fields.get("priority", 0))

    @property
    def parents(self) -> list[str]:
        """The jobs that have to end before it starts for the first time; none once it was started."""
        return self.fields.get("after", []) if self.attempts == 0 else []

    @property
    def after_policy(self) -> str:
        """How its parents have to end: success, any or failure."""
        return str(self.fields.get("after_policy", "success"))

    @property
    def command(self) -> str:
        """The command as a person would type it."""
        return command_line(self.fields)

    @property
    def expires_at(self) -> float | None:
        """Not to be started after this instant."""
        text = self.fields.get("expires_at")
        return None if text is None else instant_of(text)


def _created_at(record: Record, seen_at: float) -> float:
    if "created_at" in record.fields:
        return instant_of(record.fields["created_at"])
    if not record.history:
        return as_spelled(seen_at)  # as the first entry will say, so that it stays the same number
    first = record.history[0]
    return instant_of(first.get("kept", first).get("created_at", first["at"]))


def _spell_or_none(instant: float | None) -> str | None:
    return None if instant is None else spell(instant)


def _end_of(text: str | None) -> str | None:
    return None if text is None else text[-KEPT_TEXT_CHARS:]
