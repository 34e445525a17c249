"""health: whether the queue is well: ONE table of conditions, read by status, check, /healthz, metrics and the page.

Guarantees: pure; what is said are facts and instants, so that an overview in which nothing has changed reads the same.
            `error` is for what keeps jobs from being accepted or run; all else that is wrong is `warn`.
"""

from __future__ import annotations

from queuectl.clock import spell
from queuectl.disk_space import LOW_SHARE, is_full
from queuectl.scheduling.limits import ALL_PAUSED
from queuectl.spool.layout import ENQUEUE, RUN, shorten
from queuectl.spool.layout import START as START_WORKERS
from queuectl.units import listed, plural, spell_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from queuectl.status import Overview

    Judge = Callable[[Overview], "Verdict"]

OK, INFO, WARN, ERROR = LEVELS = ("ok", "info", "warn", "error")
LATE_S = 300.0
MOST_NAMED = 3
FAILED_LATELY_S = 86400.0
MANY_HOOKS = 20
START = "queuectl worker start --count 2"
CHECK_CONFIG = "queuectl config check"
STOPPED = {
    ENQUEUE: "Nothing can be enqueued or run",
    RUN: "Jobs can be enqueued, but not run",
    START_WORKERS: "No worker can be started",
}
MORE_FILES = "queuectl purge removes the files of jobs that have ended"


class Verdict:
    """What is so about one condition.

    Attributes:
        level: ok, info, warn or error.
        hint: what to type or to do, if something helps.
        follows: another condition that is not ok says it already.
        figures: the same for programs.
    """

    __slots__ = ("figures", "follows", "hint", "level", "text")

    def __init__(
        self, level: str, text: str, hint: str | None = None, *, follows: bool = False, **figures: Any
    ) -> None:
        self.level = level
        self.text = text
        self.hint = hint
        self.follows = follows
        self.figures = figures


def _home(overview: Overview) -> Verdict:
    if not overview.has_queue:
        return Verdict(ERROR, f"There is no queue at {shorten(overview.home)}", START)
    if overview.refused is not None:
        need, why = overview.refused
        goes_on = need == START_WORKERS and overview.supervisor is not None
        return Verdict(WARN if goes_on else ERROR, f"{STOPPED[need]}: {why}", why.hint)
    return Verdict(OK, "The home can be read and written")


def _configuration(overview: Overview) -> Verdict:
    if overview.misconfigured is None:
        return Verdict(OK, "The configuration is valid")
    goes_on = "; the supervisor continues with the last valid settings" if overview.supervisor else " or run"
    return Verdict(ERROR, f"Nothing can be enqueued{goes_on}: {overview.misconfigured}", CHECK_CONFIG)


def _disk(overview: Overview) -> Verdict:
    free, total = overview.free_bytes, overview.disk_bytes
    if not total:
        return Verdict(OK, "The free space of the disk cannot be read")
    share = round(free / total, 2)
    if free < overview.least_free_bytes:
        least = spell_size(overview.least_free_bytes)
        text = f"The disk is full: {spell_size(free)} left; below {least} (min_free) nothing is enqueued"
        return Verdict(ERROR, text, overview.how_to_free, free_share=share)
    full = is_full(free, overview.free_files)
    if full:
        text, hint = f"The disk is full: {full}: no job starts", overview.how_to_free or MORE_FILES
        return Verdict(ERROR, text, hint, free_share=share)
    if free < LOW_SHARE * total:
        return Verdict(
            WARN, f"The disk is nearly full: {spell_size(free)} left", overview.how_to_free, free_share=share
        )
    return Verdict(OK, f"{free / total:.0%} of the disk is free", free_share=share)


def _supervisor(overview: Overview) -> Verdict:
    running = overview.supervisor
    if running is not None:
        pid = running["pid"]
        if running["draining"]:
            then = "; then the supervisor restarts" if running.get("restarting") else ""
            return Verdict(WARN, f"Draining: each worker stops when its job has ended{then}", pid=pid)
        return Verdict(OK, f"The supervisor is running (pid {pid})", pid=pid)
    if overview.silent:
        text = f"The supervisor (pid {overview.silent}) does not answer: it is stopped or overloaded; figures may be outdated"
        return Verdict(ERROR, text, f"kill -CONT {overview.silent}")
    killed = f"; the last one (pid {overview.died}) was killed" if overview.died else ""
    waiting = overview.due
    if waiting:
        return Verdict(ERROR, f"{_are_waiting(waiting)}, but no workers are running{killed}", START)
    if overview.scheduled:
        first = "" if overview.next_at is None else f", the first for {spell(overview.next_at)[:19]}Z"
        scheduled = f"{plural(overview.scheduled, 'job')} {'is' if overview.scheduled == 1 else 'are'} scheduled{first}"
        return Verdict(WARN if killed else INFO, f"{scheduled}, but no workers are running{killed}", START)
    if overview.unavailable:
        return Verdict(
            WARN, f"No supervisor is running{killed}; without an index it is unknown whether jobs are waiting", START
        )
    if killed:
        return Verdict(WARN, f"No supervisor is running{killed}", START)
    return Verdict(OK, "No supervisor is running, and no job is waiting")


def _workers(overview: Overview) -> Verdict:
    workers = overview.workers
    alive = len(workers)
    if overview.silent:
        return Verdict(WARN, "What the workers do is unknown while the supervisor does not answer", follows=True)
    lost = [worker["name"] for worker in workers if worker["state"] == "backoff"]
    if lost:
        text = f"{', '.join(lost)} died and will be started again"
        return Verdict(WARN, text, f"queuectl worker logs {lost[0]}", alive=alive)
    waiting = overview.due
    if waiting and not workers:
        text = f"{_are_waiting(waiting)}, but no workers are running"
        return Verdict(ERROR, text, START, follows=overview.supervisor is None, alive=0)
    adopted = len((overview.supervisor or {}).get("adopted", ()))
    if adopted:
        runs = "runs" if adopted == 1 else "run"
        text = f"{plural(adopted, 'job')} whose worker died {runs} on under the supervisor"
        return Verdict(WARN, text, alive=alive)
    busy = sum(worker["state"] == "busy" for worker in workers)
    shortage = (overview.supervisor or {}).get("machine")
    if shortage:
        return Verdict(INFO, f"No other job starts now: {shortage[1]}", alive=alive)
    return Verdict(OK, f"{busy} of {plural(alive, 'worker')} busy", alive=alive)


def _oldest(overview: Overview) -> Verdict:
    if overview.unavailable:
        return _unknown()
    since = overview.oldest_waiting
    if since is None:
        return Verdict(OK, "No job that is ready to start is waiting")
    late = overview.now - since > LATE_S
    text = f"A job that is ready to start has been waiting since {spell(since)[:19]}Z"
    follows = not overview.workers
    hint = None if overview.workers else START
    figures = {"since": spell(since), "warn_after_s": LATE_S}
    return Verdict(WARN if late else OK, text, hint if late else None, follows=follows, **figures)


def _paused(overview: Overview) -> Verdict:
    paused = overview.paused
    if not paused:
        return Verdict(OK, "No queue is paused", queues=[])
    names = sorted(name for name in paused if name != ALL_PAUSED)
    most = paused.get(ALL_PAUSED) or (paused[names[0]] if len(names) == 1 else None)
    since = most.since if most is not None else min(pause.since for pause in paused.values())
    until = "" if most is None or most.until is None else f", until {spell(most.until)[:19]}Z"
    figures: dict[str, Any] = {"queues": names, "all": ALL_PAUSED in paused, "since": spell(since)}
    if ALL_PAUSED in paused:
        text = f"All queues have been paused since {spell(since)[:19]}Z{until}: no job is started"
        return Verdict(WARN, text, "queuectl resume", **figures)
    if len(names) == 1:
        text = f"Queue {names[0]} has been paused since {spell(since)[:19]}Z{until}"
        return Verdict(WARN, text, f"queuectl resume {names[0]}", **figures)
    text = f"{len(names):,} queues are paused, the first since {spell(since)[:19]}Z: {listed(names, MOST_NAMED)}"
    return Verdict(WARN, text, "queuectl queue list", **figures)


def _hooks(overview: Overview) -> Verdict:
    waiting, failures = overview.hooks_waiting, overview.hook_failures
    recent = {hook: each for hook, each in failures.items() if overview.now - each["at"] < FAILED_LATELY_S}
    figures: dict[str, Any] = {"waiting": waiting, "failed": [*recent]}
    if recent:
        hook, last = max(recent.items(), key=lambda item: item[1]["at"])
        whose = f" for job {last['job']}" if last["job"] else ""
        times = f" {last['count']:,} times in a row, last" if last["count"] > 1 else ""
        also = (
            f"; {listed([name for name in recent if name != hook], MOST_NAMED)} failed too" if len(recent) > 1 else ""
        )
        text = f"The hook {hook} failed{times}{whose} at {spell(last['at'])[:19]}Z: {last['error']}{also}"
        return Verdict(WARN, text, f"see {shorten(overview.home)}/logs/hooks.log", **figures)
    if waiting > MANY_HOOKS:
        text = f"{waiting:,} hooks wait to be run; hook_rate is {overview.hook_rate or 'none'}"
        if overview.supervisor is None:
            return Verdict(WARN, f"{text}, and no supervisor is running", "queuectl maintenance hooks", **figures)
        return Verdict(WARN, text, "queuectl config set hook_rate none", **figures)
    return Verdict(OK, "No hook failed lately", **figures)


def _schedules(overview: Overview) -> Verdict:
    found = overview.schedules
    if found is None:
        return Verdict(OK, "There is no schedule", active=0, invalid=[])
    figures: dict[str, Any] = {"active": len(found.active), "invalid": sorted(found.invalid)}
    if found.invalid:
        [first, *more] = found.invalid.values()
        others = f", and {plural(len(more), 'other schedule')}" if more else ""
        return Verdict(WARN, f"A schedule adds no jobs: {first}{others}", "queuectl schedule list", **figures)
    if found.ahead:
        name, until = next(iter(found.ahead.items()))
        text = f"Schedule {name} adds no jobs before {spell(until)[:19]}Z: the clock was ahead and has been set back"
        return Verdict(WARN, text, f"queuectl schedule resume {name}", **figures)
    count = plural(len(found.active), "schedule")
    if found.active and overview.supervisor is None and not overview.silent and not found.is_ticked(overview.now):
        adds = "adds" if len(found.active) == 1 else "add"
        return Verdict(WARN, f"{count} {adds} no jobs, because no supervisor is running", START, **figures)
    return Verdict(OK, f"{count} {'is' if len(found.active) == 1 else 'are'} active", **figures)


def _dead(overview: Overview) -> Verdict:
    if overview.unavailable:
        return _unknown()
    count, today = overview.count("dead"), overview.dead_today
    new = f", {today:,} new today" if today else ""
    if not count:
        return Verdict(OK, "No job is dead", count=0)
    return Verdict(WARN if today else INFO, f"{plural(count, 'dead job')}{new}", "queuectl dlq list", count=count)


def _index(overview: Overview) -> Verdict:
    if overview.unavailable:
        return Verdict(WARN, f"{overview.unavailable}; rebuild the index", "queuectl index rebuild")
    supervisor = overview.supervisor or {}
    if supervisor.get("degraded"):
        return Verdict(WARN, f"Degraded: {supervisor['degraded']}", "queuectl worker logs")
    syncing = supervisor.get("syncing") or overview.syncing
    if syncing:
        return Verdict(WARN, f"The index is being updated ({syncing}): figures may lag")
    return Verdict(OK, "The index is up to date")


def _spool(overview: Overview) -> Verdict:
    rejected, invalid = overview.rejected, overview.invalid
    where = f"{shorten(overview.home)}/spool/rejected"
    told = []
    if rejected:
        one, several = "invalid file was rejected; its reason is", "invalid files were rejected; their reasons are"
        told.append(
            f"{rejected:,} {one if rejected == 1 else several} beside {'it' if rejected == 1 else 'them'} in {where}"
        )
    if invalid:
        one, several = "file in spool/pending is not a valid job", "files in spool/pending are not valid jobs"
        told.append(f"{invalid:,} {one if invalid == 1 else several}, and will be rejected by the next supervisor")
    cycles = (overview.supervisor or {}).get("cycles") or []
    if cycles:
        one, several = "job comes after itself and cannot start", "jobs come after each other and cannot start"
        told.append(f"{len(cycles):,} {one if len(cycles) == 1 else several}: {listed(cycles, MOST_NAMED)}")
    if told:
        return Verdict(WARN, "; ".join(told), "queuectl doctor", rejected=rejected, invalid=invalid)
    return Verdict(OK, "No file in the spool is invalid", rejected=0, invalid=0)


def _are_waiting(count: int) -> str:
    return f"{count:,} {'job is' if count == 1 else 'jobs are'} waiting"


def _unknown() -> Verdict:
    return Verdict(WARN, "Unknown without an index", follows=True)


# In the order of importance, the least first; of those that are equally bad the last is the most important.
CONDITIONS: dict[str, Judge] = {
    "index": _index,
    "oldest_pending": _oldest,
    "workers": _workers,
    "paused": _paused,
    "hooks": _hooks,
    "schedules": _schedules,
    "spool": _spool,
    "dead": _dead,
    "supervisor": _supervisor,
    "disk": _disk,
    "configuration": _configuration,
    "home": _home,
}
BLOCKING = ("home", "configuration", "disk")  # an error of these keeps jobs from being accepted


def examine(overview: Overview) -> dict[str, Verdict]:
    """Judge every condition."""
    return {name: judge(overview) for name, judge in CONDITIONS.items()}


def attention(overview: Overview) -> list[Verdict]:
    """Return what needs a person, the most important last, nothing said twice."""
    wrong = [found for found in examine(overview).values() if found.level != OK and not found.follows]
    return sorted(wrong, key=lambda found: LEVELS.index(found.level))


def attention_lines(overview: Overview) -> list[str]:
    """Return `attention` as text, each with its hint."""
    return [f"{need.text}: {need.hint}" if need.hint else need.text for need in attention(overview)]


def blocked(overview: Overview) -> list[Verdict]:
    """Return what keeps jobs from being accepted or run, workers aside."""
    found = examine(overview)
    return [found[name] for name in BLOCKING if found[name].level == ERROR]
