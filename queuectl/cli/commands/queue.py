"""queue: pause and resume queues, list them, and set their limits. All of it works with and without a supervisor."""

from __future__ import annotations

import os
from functools import partial

from queuectl.cli import lowered_limits
from queuectl.cli.home import home_that_exists, queue_to_read
from queuectl.cli.options import command, flag, option
from queuectl.cli.progress import open_index
from queuectl.cli.table import Column, emit
from queuectl.cli.times import full, refuse_bare_number
from queuectl.cli.unknown_names import warn_of_queues
from queuectl.client.queue import Queue, own_layout
from queuectl.client.queues import end_of_pause, rows_of
from queuectl.clock import parse_instant
from queuectl.config import config_file
from queuectl.config.settings import find
from queuectl.errors import QueueError, UsageError, did_you_mean
from queuectl.ids import ID_GRAMMAR, is_id
from queuectl.job.history import PROCESSING
from queuectl.scheduling.limits import ALL_PAUSED
from queuectl.spool import pauses
from queuectl.units import listed, plural, quote, spell_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.job.job import Job
    from queuectl.spool.pauses import Pause

MOST_NAMED = 5
PAUSED = option("queues", metavar="QUEUE", nargs="*", help="only these queues (default: all)")


@command(
    "pause",
    PAUSED,
    flag("--all", help="all queues, also those that do not exist yet; the same as no QUEUE"),
    option("--for", dest="duration", metavar="TIME", help="end the pause by itself after this time: 1h"),
    option("--until", metavar="TIME", help="end it by itself at this time: 18:00, 'tomorrow 08:00'"),
    flag("--running", help="also stop what runs (SIGSTOP) until the pause ends; its timeout waits meanwhile"),
    examples=(
        "queuectl pause default",
        "queuectl pause --for 1h",
        "queuectl pause default --until '2030-01-01 08:00' --running",
    ),
)
def run_pause(args: Arguments, screen: Screen) -> int:
    """Pause queues; what runs goes on, or is stopped."""
    queue, names = _queue_and_names(args, screen)
    now = queue.spool.clock.now()
    until = _end(args, now)
    if names != [ALL_PAUSED]:
        warn_of_queues(queue, screen, [name for name in names if name not in queue.settings.queues])
    pausing = partial(pauses.pause, queue.spool, until=until, stops_running=args.running)
    done = [name for name in names if pausing(name)]
    if args.running:
        queue.announce_pauses()
    running = _running(queue, names)
    stopped = [job.id for job in running if job.stopped_at is not None]
    _report(screen, queue, "pause", names, done, {"running": [job.id for job in running], "stopped": stopped})
    if done:
        whose = "" if done == [ALL_PAUSED] else " of it" if len(done) == 1 else " of them"
        when = f"for {spell_duration(until - now)}, or " if until is not None else ""
        screen.message(f"Paused {_of(done)}: no job{whose} starts {when}until queuectl resume{_typed(done)}")
    for name in names:
        if name not in done:
            screen.message(f"{_of([name]).capitalize()} had been paused already")
    _say_of_jobs(screen, stopped, "was stopped", "were stopped")
    _say_of_jobs(screen, [job.id for job in running if job.id not in stopped], "goes on", "go on")
    return 0


def _end(args: Arguments, now: float) -> float | None:
    """Return when the pause that is typed ends by itself."""
    if args.until is not None:
        refuse_bare_number("--until", args.until)
    if args.duration is not None and args.until is not None:
        raise UsageError("give --for or --until, not both", "queuectl pause --for 1h")
    for name, value in (("--for", args.duration), ("--until", args.until)):
        if value is not None:
            return end_of_pause(args.duration, args.until, now, name)
    return None


def _say_of_jobs(screen: Screen, ids: list[str], one: str, several: str) -> None:
    if ids:
        screen.message(
            f"{plural(len(ids), 'running job')} {one if len(ids) == 1 else several}: {listed(ids, MOST_NAMED)}"
        )


@command(
    "resume",
    PAUSED,
    flag("--all", help="remove every pause, also those of single queues, which plain resume leaves"),
    examples=("queuectl resume default", "queuectl resume", "queuectl resume --all"),
)
def run_resume(args: Arguments, screen: Screen) -> int:
    """Let jobs start again."""
    queue, names = _queue_and_names(args, screen)
    if args.all:
        names = [ALL_PAUSED, *sorted(pauses.paused(queue.spool) - {ALL_PAUSED})]
    before = pauses.read(queue.spool)
    known = None if names[0] == ALL_PAUSED else before.keys()
    stopped = _stopped(queue) if pauses.stopping(before) else set()
    done = [name for name in names if pauses.resume(queue.spool, name)]
    if stopped:
        queue.announce_pauses()
    left = pauses.paused(queue.spool)
    _report(screen, queue, "resume", names, done, {})
    if done:
        screen.message(f"Resumed {_of(done)}")
    for name in names:
        if name not in done and not (name == ALL_PAUSED and done):
            near = did_you_mean(name, known - {ALL_PAUSED}) if known else ""
            screen.message(f"{_of([name]).capitalize()} had not been paused{near}")
    _say_of_jobs(screen, sorted(stopped - _stopped(queue)) if stopped else [], "continues", "continue")
    if left:
        screen.message(_still_paused(left))
    return 0


def _stopped(queue: Queue) -> set[str]:
    """Return the ids of the jobs that a pause has stopped."""
    return {job.id for job in _running(queue, [ALL_PAUSED]) if job.stopped_by is not None}


def _still_paused(left: Iterable[str]) -> str:
    if ALL_PAUSED in left:
        return "All queues are still paused: queuectl resume"
    names = sorted(left)
    verb = "is" if len(names) == 1 else "are"
    return f"{_of(names).capitalize()} {verb} still paused: queuectl resume{_typed(names)}"


def _typed(names: list[str]) -> str:
    return "" if names == [ALL_PAUSED] else f" {' '.join(names)}"


def _queue_and_names(args: Arguments, screen: Screen) -> tuple[Queue, list[str]]:
    """Return the queue, and the names of the pauses that are meant."""
    if args.all and args.queues:
        raise UsageError("give queues or --all, not both")
    for name in args.queues:
        if not is_id(name):
            raise UsageError(f"{quote(name)} cannot be the name of a queue: {ID_GRAMMAR}")
    home_that_exists(args, screen, has_queue=True)
    return Queue(args.home, warn=screen.warn), [*dict.fromkeys(args.queues)] or [ALL_PAUSED]


def _of(names: list[str]) -> str:
    """Return "queue encode", "queues encode, mail" or "all queues"."""
    if names[0] == ALL_PAUSED:
        return "all queues" + (f", also {_of(names[1:])}" if names[1:] else "")
    return f"queue{'' if len(names) == 1 else 's'} {', '.join(names)}"


def _running(queue: Queue, names: list[str]) -> list[Job]:
    """Return the running jobs of these queues."""
    found = []
    for job_id in queue.spool.ids(PROCESSING):
        try:
            job = queue.spool.read(job_id)
        except QueueError:
            continue
        if job.state == "processing" and (names == [ALL_PAUSED] or job.queue in names):
            found.append(job)
    return sorted(found, key=lambda job: job.id)


def _report(
    screen: Screen, queue: Queue, action: str, names: list[str], done: list[str], more: dict[str, list[str]]
) -> None:
    paused = pauses.paused(queue.spool)
    changed = [name for name in done if name != ALL_PAUSED]
    screen.result(
        {
            "action": action,
            "queues": changed,
            "all": ALL_PAUSED in done,
            "unchanged": [name for name in names if name not in done and name != ALL_PAUSED],
            "paused": sorted(paused - {ALL_PAUSED}),
            "all_paused": ALL_PAUSED in paused,
            **more,
        },
        changed if screen.format == "name" else (),
    )


# --- queue list, queue set


FIELDS = (
    *("name", "waiting", "running", "counts", "concurrency", "rate", "paused", "paused_at", "paused_until"),
    *("stops_running", "oldest_waiting_at"),
)


def _columns(now: float, paused: Mapping[str, Pause]) -> tuple[Column, ...]:
    def held(row: Mapping[str, Any]) -> str:
        return f"{row['counts']['held']:,}" if row["counts"]["held"] else ""

    def age(row: Mapping[str, Any]) -> str | None:
        since = row["oldest_waiting_at"]
        return None if since is None else spell_duration(max(0.0, now - parse_instant(since)))

    def pause(row: Mapping[str, Any]) -> str:
        until = _until(paused, row["name"]) if row["paused"] else None
        return f"until {full(until)[:16]}" if until is not None else "paused" if row["paused"] else ""

    return (
        Column("QUEUE", lambda row: row["name"]),
        Column("WAITING", lambda row: f"{row['waiting']:,}", right=True),
        Column("HELD", held, right=True, is_optional=True, leave_out=3),
        Column("RUNNING", lambda row: f"{row['running']:,}", right=True),
        Column("LIMIT", lambda row: row["concurrency"], right=True),
        Column("RATE", lambda row: row["rate"], right=True),
        Column("OLDEST", age, right=True, leave_out=2),
        Column("PAUSED", pause, colour=lambda _row: "yellow", is_optional=True),
    )


@command(
    "queue list",
    examples=("queuectl queue list", "queuectl queue list --json"),
)
def run_list(args: Arguments, screen: Screen) -> int:
    """List the queues that jobs or settings name."""
    queue = queue_to_read(args, screen)
    paused, now = pauses.read(queue.spool), queue.spool.clock.now()
    with open_index(queue, screen) as reader:
        counts, oldest = reader.by_queue(), reader.oldest_by_queue(now)
    rows = [*rows_of(counts, oldest, queue.settings, paused)]
    emit(screen, rows, _columns(now, paused), FIELDS, name="name")
    if ALL_PAUSED in paused:
        until = paused[ALL_PAUSED].until
        when = "" if until is None else f" for {spell_duration(max(0.0, until - now))} more"
        screen.message(f"All queues are paused{when}: queuectl resume")
    if not rows:
        screen.hint("No job has been enqueued, and no queue has a limit")
    return 0


def _until(paused: Mapping[str, Pause], name: str) -> float | None:
    """Return when jobs of a queue start again by themselves."""
    ends = [pause.until for pause in (paused.get(name), paused.get(ALL_PAUSED)) if pause is not None]
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


@command(
    "queue set",
    option("queue", metavar="QUEUE", help="the queue"),
    option("--concurrency", metavar="N", help="at most N jobs run at once; none removes the limit"),
    option("--rate", metavar="N/TIME", help="at most N jobs start in this time: 10/1m; none removes the limit"),
    examples=("queuectl queue set encode --concurrency 2", "queuectl queue set mail --rate 10/1m --concurrency none"),
)
def run_set(args: Arguments, screen: Screen) -> int:
    """Set the limits of a queue in config.yaml."""
    if not is_id(args.queue):
        raise UsageError(f"{quote(args.queue)} cannot be the name of a queue: {ID_GRAMMAR}")
    wanted = {key: value for key in ("concurrency", "rate") if (value := getattr(args, key)) is not None}
    if not wanted:
        raise UsageError(
            "nothing to set: give --concurrency or --rate", f"queuectl queue set {args.queue} --concurrency 2"
        )
    home = own_layout(args.home).home
    setting = find("queues")
    for key, text in wanted.items():
        config_file.check_member(setting, {}, (args.queue, key), text)
    changes: dict[str, tuple[Any, Any]] = {}
    overridden_by, lanes = None, lowered_limits.startable_lanes(home)
    for key, text in wanted.items():
        old, new, overridden_by = config_file.set_value(home, f"queues.{args.queue}.{key}", text, os.environ)
        changes[key] = (old, new)
    if screen.format in ("json", "jsonl"):
        old, new = ({key: pair[at] for key, pair in changes.items()} for at in (0, 1))
        screen.json({"action": "set", "queue": args.queue, "old": old, "new": new, "overridden_by": overridden_by})
    words = (f"{key} {_spelled(old)} → {_spelled(new)}" for key, (old, new) in changes.items())
    screen.message(f"queue {args.queue}: {', '.join(words)}")
    if overridden_by:
        screen.warn(f"{overridden_by} overrides this where it is set")
    lowered_limits.warn(screen, home, lanes, f"queues.{args.queue}.concurrency")
    queue = Queue(args.home)
    if queue.layout.has_spool:
        warn_of_queues(queue, screen, [args.queue])
    return 0


def _spelled(value: object) -> str:
    return "none" if value is None else str(value)
