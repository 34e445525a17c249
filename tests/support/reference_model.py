"""What a job has to be, said without the product's help; and processes that may end at any operation.

`Expected` knows only FORMAT.md: each verb makes a new one from the old one.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from queuectl.errors import InvalidData
from queuectl.job.job import DIRECTORIES, PENDING
from queuectl.spool.fs import Files
from queuectl.spool.layout import job_id_of
from queuectl.spool.recovery import recover
from tests.support.fault_injection import FaultInjector, can_refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from queuectl.job.job import Job
    from queuectl.spool.spool import Spool

SNOOZE, PERMANENT = 75, 99  # exit codes with a meaning of their own
SNOOZE_S, BACKOFF_MAX_S, GRACE_S, MAX_INTERRUPTIONS = 60.0, 100.0, 5.0, 3
RESOURCES = {"gpu": 2}
CONCURRENCY = {"web": 2}
SETTINGS = {
    "snooze_exit_code": SNOOZE,
    "permanent_exit_codes": [PERMANENT],
    "backoff_max": BACKOFF_MAX_S,
    "resources": RESOURCES,
    "queues": {name: {"concurrency": units} for name, units in CONCURRENCY.items()},
}
WAITING = ("pending", "failed", "held")
ENDED = ("completed", "cancelled", "dead")
LIES_IN = {"processing": "processing", "completed": "done", "cancelled": "done", "dead": "dead"}
INTERRUPTED = "its worker died before the command's end was recorded"
AFTER = "after: "  # how the error of a job begins that died because of its parents; which of them is a matter of order
NEVER_ENOUGH = "it"  # how the reason begins why a job can never start
CLOSE_ENOUGH_S = 1e-5  # files keep microseconds
NOTE = re.compile(r"n\d{4}")


# --- processes that end


class Died(BaseException):
    """The process is gone; nothing of what it would have done next is done."""


@dataclass(frozen=True)
class Fault:
    """What happens to a process.

    Attributes:
        number: before which of its operations, or the next that can.
        how: `die`; `tear`, half of a write is done first; or the name of an error that the operation gives instead.
        again: who settles calls again after an error, instead of ending.
        mending: before which operation those end who mend what it left, one after the other.
    """

    number: int
    how: str = "die"
    again: bool = False
    mending: tuple[int, ...] = ()


class Mortal(FaultInjector):
    """The files of one process: it dies for good, and its descriptors are closed only when it is buried."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: Fault | None = None
        self.is_dead = False
        self.open_fds: set[int] = set()
        self.struck = ""  # the operation at which it happened

    def arm(self, fault: Fault | None) -> None:
        self.fault, self.struck = fault, ""
        self.trace.clear()

    def at(self, method: str, *args: Any) -> None:
        if self.is_dead:
            raise Died(method)
        self.trace.append(method)
        fault = self.fault
        if fault is None or self.struck or len(self.trace) < fault.number:
            return
        if fault.how == "tear":
            if method != "write" or len(args[1]) < 2:
                return
            Files.write(self, args[0], args[1][: len(args[1]) // 2], args[2])
        elif fault.how != "die":
            code = getattr(errno, fault.how)
            if method != "close" and can_refuse(method, args, code):
                self.struck = method
                raise OSError(code, os.strerror(code), *[arg for arg in args[:1] if isinstance(arg, str)])
            return
        self.struck, self.is_dead = method, True
        raise Died(method)

    def open(self, path: str, flags: int) -> int:
        fd = super().open(path, flags)
        self.open_fds.add(fd)
        return fd

    def create(self, directory: str) -> tuple[int, str | None]:
        fd, name = super().create(directory)
        self.open_fds.add(fd)
        return fd, name

    def close(self, fd: int) -> None:
        super().close(fd)
        self.open_fds.discard(fd)

    def move_to_dead(self) -> None:
        """Let the kernel close what a process had open when it ended."""
        self.is_dead = True
        while self.open_fds:
            os.close(self.open_fds.pop())


# --- jobs


@dataclass(frozen=True)
class Expected:
    """One job. Instants are seconds since 1970.

    Attributes:
        events: all that ever happened to it, also what a compaction has folded.
        is_dropped: a stranger's file, whose mtime stands in for the time of its creation until its first event.
        waits: nobody; author, retry or snooze: who wants it to wait until `run_at`.
    """

    note: str
    id: str
    created_at: float
    state: str = "pending"
    events: tuple[str, ...] = ()
    is_dropped: bool = False
    waits: str = "nobody"
    run_at: float = 0.0
    attempts: int = 0
    failures: int = 0
    interruptions: int = 0
    snoozes: int = 0
    exit_code: int | None = None
    last_error: str | None = None
    dead_reason: str | None = None
    started_at: float | None = None
    finished_at: float | None = None
    worker: str | None = None
    priority: int = 0
    queue: str = "default"
    max_retries: int = 3
    expires_at: float | None = None
    buries: bool = False
    after: tuple[str, ...] = ()
    after_policy: str = "success"
    lock: str = ""
    gpus: int = 0
    weight: int = 1

    @property
    def directory(self) -> str:
        return LIES_IN.get(self.state, "pending")

    # --- parents and limits

    @property
    def parents(self) -> tuple[str, ...]:
        """The ids of the jobs that have to end before its first attempt."""
        return self.after if self.attempts == 0 else ()

    def verdict(self, state_of: Callable[[str], str | None]) -> str:
        """Say what its parents want of it: start, wait, fail or skip. `state_of` gives None for a job that does not exist."""
        states = [state_of(parent) for parent in self.parents]
        failed = [state in ("dead", "cancelled") for state in states]
        if None in states or (self.after_policy == "success" and any(failed)):
            return "fail"
        if not all(state in ENDED for state in states):
            return "wait"
        return "skip" if states and self.after_policy == "failure" and not any(failed) else "start"

    def decided(self, now: float, verdict: str) -> Expected:
        """After a supervisor has decided about it because of its parents."""
        if verdict in ("fail", "skip") and self.state in WAITING:
            return self.failed_parents(now) if verdict == "fail" else self.not_needed(now)
        if verdict != "fail" and self.state == "dead" and self.dead_reason == "dependency_failed":
            return self._revived(now)._without_past_expiry(now)
        return self

    def failed_parents(self, now: float) -> Expected:
        return self._after("died", "dead", finished_at=now, dead_reason="dependency_failed", last_error=AFTER)

    def not_needed(self, now: float) -> Expected:
        return self._after("cancelled", "cancelled", finished_at=now, last_error=AFTER)

    def never_enough(self, now: float) -> Expected:
        return self._after("died", "dead", finished_at=now, dead_reason="never_enough", last_error=NEVER_ENOUGH)

    def demands(self) -> dict[str, tuple[int, int | None]]:
        """For each limit how much of it the job takes, and how much there is; None: as much as anybody wants."""
        name, _, most = self.lock.partition(":")
        return {
            f"queue/{self.queue}": (self.weight, CONCURRENCY.get(self.queue)),
            **({f"lock/{name}": (1, int(most or 1))} if name else {}),
            **({"resource/gpu": (self.gpus, RESOURCES["gpu"])} if self.gpus else {}),
        }

    # --- attempts

    def refusal(self, now: float) -> str | None:
        """Why a claim is refused now; None when it has to succeed."""
        if self.state == "held":
            return "held"
        if self.expires_at is not None and self.expires_at < now:
            return "moved"
        return None if self.is_due(now) else "early"

    def is_due(self, now: float) -> bool:
        """Never before its time; but a clock that was set back delays only what its author wants to wait."""
        is_from_future = self.waits == "retry" and self.run_at - now > BACKOFF_MAX_S
        return self.waits == "nobody" or self.run_at <= now or is_from_future

    def started(self, now: float, worker: str) -> Expected:
        return self._after(
            "started", "processing", attempts=self.attempts + 1, started_at=now, finished_at=None, worker=worker
        )

    def expired(self, now: float) -> Expected:
        return self._after("expired", "dead", finished_at=now, dead_reason="expired")

    def settled(self, now: float, end: int | str) -> Expected:
        """After an attempt that ended with an exit code, or because somebody said `cancelled` or `stopped`."""
        if end == "stopped":
            return self._after("requeued", "pending", run_at=now, waits="nobody")
        code = 143 if isinstance(end, str) else end
        ended = replace(
            self,
            exit_code=code,
            finished_at=now,
            interruptions=0,
            snoozes=0,
            last_error=None if end in (0, "cancelled") else f"exit code {code}",
        )
        if end == "cancelled":
            return ended._after("cancelled", "cancelled")
        if end == 0:
            return ended._after("completed", "completed")
        if end == SNOOZE:
            return ended._after("snoozed", "pending", snoozes=self.snoozes + 1, run_at=now + SNOOZE_S, waits="snooze")
        failed = replace(ended, failures=self.failures + 1)
        if end == PERMANENT:
            return failed._after("died", "dead", dead_reason="permanent_exit")
        if self.failures >= self.max_retries:
            return failed._after("died", "dead", dead_reason="retries_exhausted")
        delay = min(2.0**failed.failures, BACKOFF_MAX_S)
        return failed._after("failed", "failed", run_at=now + delay, waits="retry")

    def bare(self, end: int | str, now: float) -> Expected:
        """After a verdict that a full disk did not take: only the directory tells of it."""
        return replace(self, state=self.settled(now, end).state)

    def interrupted(self, now: float) -> Expected:
        if self.buries or self.interruptions + 1 >= MAX_INTERRUPTIONS:
            return self._after(
                "died",
                "dead",
                interruptions=0,
                snoozes=0,
                finished_at=now,
                dead_reason="interrupted",
                last_error=INTERRUPTED,
            )
        return self._after(
            "interrupted",
            "pending",
            interruptions=self.interruptions + 1,
            run_at=now,
            waits="nobody",
            last_error=INTERRUPTED,
        )

    # --- what people do

    def changed(self, now: float, verb: str, changes: dict[str, Any]) -> Expected | None:
        """After a verb; None where it is refused. Deleting is left to the caller."""
        if verb == "cancel":
            if self.state in ENDED:
                return self
            return self._after("cancelled", "cancelled", interruptions=0, snoozes=0, finished_at=now, last_error=None)
        if verb == "revive":
            return self._revived(now)._without_past_expiry(now) if self.state in ENDED else None
        if self.state not in WAITING or (verb == "release" and self.state != "held"):
            return None
        if verb == "hold":
            return self if self.state == "held" else self._after("held", "held")
        if verb == "release":
            return self._after("released", "pending")._without_past_expiry(now)
        if verb == "run_now":
            return self._after("requeued", "pending", run_at=now, waits="nobody")._without_past_expiry(now)
        return None if self._expires_before_it_starts(now, changes) else self._edited(now, changes)

    def _expires_before_it_starts(self, now: float, changes: dict[str, Any]) -> bool:
        if self.expires_at is None or "run_at" not in changes:
            return False
        return self.expires_at <= max(now, changes["run_at"] or now)

    def _without_past_expiry(self, now: float) -> Expected:
        is_past = self.expires_at is not None and self.expires_at < now
        return replace(self, expires_at=None) if is_past else self

    def _revived(self, now: float) -> Expected:
        return self._after(
            "revived",
            "pending",
            failures=0,
            interruptions=0,
            snoozes=0,
            finished_at=None,
            dead_reason=None,
            run_at=now,
            waits="nobody",
        )

    def _edited(self, now: float, changes: dict[str, Any]) -> Expected:
        known = known_of(changes)
        if "run_at" in changes:
            wanted = changes["run_at"]
            known.update(run_at=now if wanted is None else wanted, waits="nobody" if wanted is None else "author")
        return self._after("edited", self.state, **known)

    def _after(self, event: str, state: str, **values: Any) -> Expected:
        return replace(self, state=state, events=(*self.events, event), **values)

    # --- comparing

    def is_same(self, name: str, found: object) -> bool:
        wanted = getattr(self, name)
        if self.is_dropped and not self.events and name in ("created_at", "run_at"):
            return True  # its mtime tells, which changes when it is copied
        if isinstance(wanted, float) and isinstance(found, (int, float)):
            return abs(wanted - found) < CLOSE_ENOUGH_S
        if wanted in (AFTER, NEVER_ENOUGH):
            return str(found).startswith(str(wanted))
        return bool(wanted == found)

    def differences(self, job: Job) -> list[str]:
        """Say in which points a job is not this one."""
        wrong = [
            f"{name} is {getattr(job, name)!r}, not {getattr(self, name)!r}"
            for name in COMPARED
            if not self.is_same(name, getattr(job, name))
        ]
        if job.fields.get("max_retries", 3) != self.max_retries:
            wrong.append(f"max_retries is {job.fields.get('max_retries')}, not {self.max_retries}")
        events = [entry["event"] for entry in job.history]
        is_folded = events[:1] == ["compacted"]
        wanted_events = self.events[len(self.events) - len(events) + 1 :] if is_folded else self.events
        if (
            tuple(events[is_folded:]) != wanted_events
            or job.last_event != ("", *(event for event in self.events if event != "edited"))[-1]
        ):
            wrong.append(f"events are {events} after {job.last_event}, not {self.events}")
        return wrong


COMPARED = (
    *("id", "directory", "state", "attempts", "failures", "interruptions", "snoozes", "exit_code", "last_error"),
    *("dead_reason", "created_at", "run_at", "started_at", "finished_at", "worker", "priority", "queue"),
)
IN_ROWS = tuple(name for name in COMPARED if name not in ("directory", "interruptions", "snoozes"))


def known_of(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what the model knows of the fields that an author wrote; None takes one away."""
    known = {key: fields[key] for key in ("priority", "queue", "max_retries", "weight") if key in fields}
    if "after" in fields:
        known["after"] = tuple(fields["after"] or ())
    if "after_policy" in fields:
        known["after_policy"] = fields["after_policy"] or "success"
    if "lock" in fields:
        known["lock"] = fields["lock"] or ""
    if "needs" in fields:
        known["gpus"] = (fields["needs"] or {}).get("gpu", 0)
    return known


@dataclass
class Loose:
    """A stranger's file in pending/ of which it is not yet known what it will be.

    Attributes:
        name: without `.json`.
        kind: good, half (somebody still writes), garbage, or what it is that can never be a job.
        promise: the id inside.
        writer: the descriptor of who still writes.
        after: the jobs that it comes after.
    """

    note: str
    name: str
    kind: str
    promise: str | None = None
    writer: int | None = None
    created_at: float = 0.0
    after: tuple[str, ...] = ()

    @property
    def wanted(self) -> str:
        return self.promise or self.name


# --- looking


@dataclass(frozen=True)
class Place:
    """Where a note was found; `job` where the file reads as one."""

    directory: str
    name: str
    job: Job | None


def places(spool: Spool) -> dict[str, list[Place]]:
    """Return for each note the entries of the spool, also of rejected/, that carry it inside or in their name."""
    found: dict[str, list[Place]] = {}
    for directory in (*DIRECTORIES, "rejected"):
        for name in sorted(os.listdir(spool.layout.directory(directory))):
            path = f"{spool.layout.directory(directory)}/{name}"
            if name.endswith(".reason"):
                continue
            is_file = stat.S_ISREG(os.lstat(path).st_mode)
            text = Path(path).read_bytes().decode("utf-8", "replace") if is_file else ""
            note = (NOTE.search(text) or NOTE.search(name) or [name])[0]
            found.setdefault(note, []).append(Place(directory, name, _job(spool, directory, name)))
    return found


def _job(spool: Spool, directory: str, name: str) -> Job | None:
    job_id = job_id_of(name)
    try:
        return spool.read_in(directory, job_id) if job_id and directory in DIRECTORIES else None
    except (InvalidData, OSError):
        return None


def mend(spool: Spool) -> None:
    """Do what the next start does: recover, then look at everything that waits."""
    for found in recover(spool, lambda job: spool.run_is_locked(job.id, job.attempts)):
        if found.claim is not None:
            found.claim.close()  # it still runs
    for name in sorted(spool.files.names(spool.layout.directory(PENDING))):
        spool.examine(name)
        job_id = job_id_of(name)
        try:
            claim = spool.take_in(PENDING, job_id) if job_id else None  # moves on what has ended
        except InvalidData:
            continue  # not judged yet
        if claim is not None:
            claim.close()
