"""waits_for: why a job does not run now: the one place that decides it and has the words for it.

Guarantees: pure. No reason means that the job runs, has ended, or is about to be started.
"""

from __future__ import annotations

from enum import Enum

from queuectl.clock import spell
from queuectl.job.value import Value
from queuectl.scheduling.dependencies import Verdict, decide
from queuectl.scheduling.limits import ALL_PAUSED, LOAD, MEMORY, RATE, demands_of, lane_of
from queuectl.units import listed, plural, spell_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from typing import Any

    from queuectl.job.job import Job

    Worker = Mapping[str, Any]

MOST_NAMED = 3
START = "queuectl worker start --count 2"
WAITING = ("pending", "held", "failed")
GOING = (*WAITING, "processing")  # the states of a job for which there can be a reason


class Why(Enum):
    """What has to change before a job runs; the value is what JSON has."""

    AFTER = "after"
    HELD = "held"
    SCHEDULED = "scheduled"
    RETRY = "retry"
    SNOOZED = "snoozed"
    PAUSED = "paused"
    LIMIT = "limit"
    STOPPED = "stopped"
    NO_SUPERVISOR = "no_supervisor"
    NO_ANSWER = "no_answer"
    STOPPING = "stopping"
    NO_WORKER = "no_worker"
    DISK = "disk"
    WORKERS_BUSY = "workers_busy"


OWN = frozenset(
    (Why.AFTER, Why.HELD, Why.SCHEDULED, Why.RETRY, Why.SNOOZED, Why.PAUSED, Why.LIMIT, Why.STOPPED)
)  # of the job itself; the others hold for all jobs
BRIEF = {
    Why.PAUSED: "paused",
    Why.STOPPED: "stopped ({detail})",
    Why.NO_SUPERVISOR: "no worker",
    Why.NO_ANSWER: "no answer",
    Why.NO_WORKER: "no worker",
    Why.DISK: "disk full",
}
BRIEF_LIMITS = {
    "running": "max_running",
    "queue": "queue full",
    "lock": "lock {name}",
    "rate": "queue rate",
    LOAD: "load too high",
    MEMORY: "memory low",
}
LATER = {"author": Why.SCHEDULED, "retry": Why.RETRY, "snooze": Why.SNOOZED}


class Reason(Value):
    """One thing that a job waits for.

    Attributes:
        until: seconds since 1970; when it ends by itself, None where it does not.
        detail: what else the words need: a process id, the state of the disk, how many workers.
        limit: the limit that has no room, as scheduling.limits names it.
        jobs: the ids of jobs that it is due to: parents, or the holders of what is taken.
        hint: what to type, where that helps; {id} stands for the job.
    """

    __slots__ = ("detail", "hint", "jobs", "limit", "until", "why")

    def __init__(
        self,
        why: Why,
        *,
        until: float | None = None,
        detail: str = "",
        jobs: Iterable[str] = (),
        hint: str = "",
        limit: str | None = None,
    ) -> None:
        self.why = why
        self.limit = limit
        self.jobs = tuple(jobs)
        self.until = until
        self.detail = detail
        self.hint = hint

    def words(self, now: float | None) -> str:
        """Say it: "no supervisor is running", "it is scheduled to run in 2h 5m"; without `now`, "... at 2027-01-15T07:58:20Z"."""
        if self.until is None:
            wait = ""
        elif now is None:
            wait = f" at {spell(self.until)[:19]}Z"
        else:
            wait = f" in {spell_duration(max(0.0, self.until - now))}"
        return {
            Why.AFTER: f"it comes after {self.detail}",
            Why.HELD: "it is held",
            Why.SCHEDULED: f"it is scheduled to run{wait}",
            Why.RETRY: f"attempt {self.detail} failed, the next one is{wait}",
            Why.SNOOZED: f"it asked to run again{wait}",
            Why.PAUSED: self.detail,
            Why.LIMIT: self.detail,
            Why.STOPPED: f"it is stopped ({self.detail})",
            Why.NO_SUPERVISOR: "no supervisor is running",
            Why.NO_ANSWER: f"the supervisor{self.detail} does not answer",
            Why.STOPPING: f"the supervisor is {self.detail}",
            Why.NO_WORKER: f"no worker is running{self.detail}",
            Why.DISK: self.detail,
            Why.WORKERS_BUSY: self.detail,
        }[self.why]

    def brief(self) -> str:
        """Say it in two words, for a column of a table: "after extract-3 +2", "queue full", "stopped"."""
        if self.why is Why.AFTER:
            return f"after {self.jobs[0]}" + (f" +{len(self.jobs) - 1}" if len(self.jobs) > 1 else "")
        if self.why is Why.LIMIT and self.limit is not None:
            kind, _, name = self.limit.partition("/")
            return BRIEF_LIMITS.get(kind, "{name} in use").format(name=name)
        return BRIEF.get(self.why, "").format(detail=self.detail)

    def as_dict(self, job_id: str) -> dict[str, Any]:
        """Return what JSON has: instants and no durations, so that it is the same while nothing changes."""
        return {
            "reason": self.why.value,
            "text": self.words(None),
            "until": None if self.until is None else spell(self.until),
            "jobs": [*self.jobs],
            "limit": self.limit,
            "hint": self.hint.format(id=job_id) or None,
        }


class Supervision(Value):
    """What the supervisor of a home says of itself at one moment.

    Attributes:
        status: its `status` answer; None when none runs, or it does not answer.
        is_silent: one runs and does not answer.
        pid: of the silent one, as far as is known.
        caller: the id of the job inside which this process runs; empty when there is none.
        orphaned: the jobs that workers still run although no supervisor does.
        paused: the names of paused queues; ALL_PAUSED for all.
    """

    __slots__ = ("caller", "is_silent", "orphaned", "paused", "pid", "status")

    def __init__(
        self,
        status: Mapping[str, Any] | None,
        *,
        is_silent: bool = False,
        pid: int | None = None,
        caller: str = "",
        orphaned: Collection[str] = (),
        paused: frozenset[str] = frozenset(),
    ) -> None:
        self.paused = paused
        self.status = status
        self.is_silent = is_silent
        self.pid = pid
        self.caller = caller
        self.orphaned = frozenset(orphaned)


def waits_for(
    job: Job,
    supervision: Supervision,
    now: float,
    backoff_max: float,
    parents: Mapping[str, str | None] | None = None,
    cycle: Sequence[str] = (),
    is_stopped: bool | None = None,
) -> list[Reason]:
    """Return why a job does not run now: what the job itself waits for first, then what holds all jobs up.

    Args:
        parents: the states of the jobs it comes after, as far as the caller knows them.
        cycle: the jobs through which it comes after itself.
        is_stopped: whether the process of a running job is stopped; None where only its history says it.
        now: seconds since 1970.
        backoff_max: the setting, for a job that has none of its own.
    """
    if job.state == "processing":
        runs = supervision.status is not None or supervision.is_silent or job.id in supervision.orphaned
        return [*_stop_reason(job, supervision, is_stopped), *([] if runs else [_no_supervisor()])]
    if job.state not in WAITING:
        return []
    own = [
        reason
        for reason in (
            _own_reason(job, now, backoff_max),
            _parents_reason(job, parents, cycle),
            _pause_reason(job.queue, supervision),
            _limit_reason(job.queue, lane_of(job.fields), supervision),
        )
        if reason is not None
    ]
    general = _general_reason(supervision)
    if own and general is not None and general.why in (Why.DISK, Why.WORKERS_BUSY, Why.STOPPING):
        general = None  # may be over by the time the job may start
    return own if general is None else [*own, general]


def waits_for_start(queue: str, lane: str, supervision: Supervision) -> Reason | None:
    """Return what keeps a job from starting that is due and has no parents left, as far as that is not another job's turn."""
    own = _pause_reason(queue, supervision) or _limit_reason(queue, lane, supervision)
    return own or _general_reason(supervision)


def _own_reason(job: Job, now: float, backoff_max: float) -> Reason | None:
    if job.is_held:
        return Reason(Why.HELD, hint="queuectl release {id}")
    due_at = job.due_at(now, backoff_max)
    if due_at <= now:
        return None
    why = Why.RETRY if job.state == "failed" else LATER.get(job.waits, Why.SCHEDULED)
    return Reason(why, until=due_at, detail=str(job.attempts) if why is Why.RETRY else "")


def _parents_reason(job: Job, states: Mapping[str, str | None] | None, cycle: Sequence[str]) -> Reason | None:
    if not job.parents:
        return None
    if cycle:
        words = f"itself, through {listed(cycle, MOST_NAMED)}: none of them can start"
        return Reason(Why.AFTER, detail=words, jobs=cycle, hint="queuectl edit {id} --unset after")
    decision = decide(job.after_policy, states if states is not None else dict.fromkeys(job.parents, "pending"))
    if decision.verdict in (Verdict.START, Verdict.SKIP):
        return None
    named = [
        f"{job_id} ({state or 'does not exist'})" if states is not None else job_id
        for job_id, state in decision.parents.items()
    ]
    return Reason(Why.AFTER, detail=listed(named, MOST_NAMED), jobs=decision.parents)


def _pause_reason(queue: str, supervision: Supervision) -> Reason | None:
    if ALL_PAUSED in supervision.paused:
        return Reason(Why.PAUSED, detail="all queues are paused", hint="queuectl resume")
    if queue in supervision.paused:
        return Reason(Why.PAUSED, detail=f"queue {queue} is paused", hint=f"queuectl resume {queue}")
    return None


def _stop_reason(job: Job, supervision: Supervision, is_stopped: bool | None) -> list[Reason]:
    if not (job.stopped_at is not None if is_stopped is None else is_stopped):
        return []
    if job.stopped_by is None:
        return [Reason(Why.STOPPED, detail="SIGSTOP", hint="queuectl signal CONT {id}")]
    hint = "queuectl resume" if ALL_PAUSED in supervision.paused else f"queuectl resume {job.queue}"
    return [Reason(Why.STOPPED, detail=job.stopped_by, hint=hint)]


def _limit_reason(queue: str, lane: str, supervision: Supervision) -> Reason | None:
    blocked: Mapping[str, Any] = (supervision.status or {}).get("blocked") or {}
    for limit in (*(demand.limit for demand in demands_of(lane)), RATE + queue):
        if limit in blocked:
            holders = blocked[limit]
            named = listed(holders, MOST_NAMED)
            words = describe_limit(limit) + (f": {named}" if named else "")
            return Reason(Why.LIMIT, detail=words, jobs=holders, limit=limit)
    shortage = (supervision.status or {}).get("machine")
    return None if not shortage else Reason(Why.LIMIT, detail=shortage[1], limit=shortage[0])


def describe_limit(limit: str) -> str:
    """Say which limit has no room: "lock db is held"."""
    kind, _, name = limit.partition("/")
    return {
        "running": "as many jobs run as max_running allows",
        "queue": f"queue {name} runs as many jobs as its concurrency allows",
        "lock": f"lock {name} is held",
        "resource": f"resource {name} is in use",
        "rate": f"queue {name} has started as many jobs as its rate allows",
    }[kind]


def _no_supervisor() -> Reason:
    return Reason(Why.NO_SUPERVISOR, hint=START)


def _general_reason(supervision: Supervision) -> Reason | None:
    status = supervision.status
    if status is None:
        if not supervision.is_silent:
            return _no_supervisor()
        pid = supervision.pid
        return Reason(Why.NO_ANSWER, detail=f" (pid {pid})" if pid else "", hint="queuectl doctor")
    if status["draining"]:
        detail = "restarting" if status.get("restarting") else "stopping"
        return Reason(Why.STOPPING, detail=detail, hint="" if status.get("restarting") else START)
    workers = [worker for worker in status["workers"] if worker["state"] != "stopping"]
    if not workers or all(worker["state"] == "backoff" for worker in workers):
        died = f": {plural(len(workers), 'worker')} died and will be started again" if workers else ""
        return Reason(Why.NO_WORKER, detail=died, hint="queuectl worker logs" if workers else START)
    if status.get("full"):
        return Reason(Why.DISK, detail=str(status["full"]), hint="queuectl doctor")
    if all(worker["job_id"] is not None or worker["state"] == "backoff" for worker in workers):
        return Reason(Why.WORKERS_BUSY, detail=_all_busy(workers, supervision.caller), hint="queuectl worker list")
    return None


def _all_busy(workers: Sequence[Worker], caller: str) -> str:
    """Say that all workers are busy; where one of them waits for us, that too: nobody else can see it."""
    count = len(workers)
    ours = any(worker["job_id"] == caller for worker in workers)
    if count == 1:
        return "the only worker runs the very job that is waiting here" if ours else "the only worker is busy"
    return f"all {count:,} workers are busy" + (", one of them with the job that is waiting here" if ours else "")
