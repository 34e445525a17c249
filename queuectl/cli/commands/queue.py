"""queue: pause and resume queues, list them, and set their limits. All of it works with and without a supervisor."""

from __future__ import annotations

import os

from queuectl.cli.home import home_that_exists, queue_to_read
from queuectl.cli.options import command, flag, option
from queuectl.cli.progress import open_index
from queuectl.cli.table import Column, emit
from queuectl.cli.unknown_names import warn_of_queues
from queuectl.client.queue import Queue, own_layout
from queuectl.client.queues import rows_of
from queuectl.config import config_file
from queuectl.config.settings import find
from queuectl.errors import QueueError, UsageError, did_you_mean
from queuectl.ids import ID_GRAMMAR, is_id
from queuectl.job.history import PROCESSING
from queuectl.scheduling.limits import ALL_PAUSED
from queuectl.spool import pauses
from queuectl.units import plural, quote, spell_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen

MOST_NAMED = 5
PAUSED = option("queues", metavar="QUEUE", nargs="*", help="only these queues (default: all)")


@command(
    "pause",
    PAUSED,
    flag("--all", help="all queues, also those that do not exist yet; the same as no QUEUE"),
    examples=("queuectl pause default", "queuectl pause", "queuectl pause --json"),
)
def run_pause(args: Arguments, screen: Screen) -> int:
    """Pause queues; what runs goes on."""
    queue, names = _queue_and_names(args, screen)
    if names != [ALL_PAUSED]:
        warn_of_queues(queue, screen, [name for name in names if name not in queue.settings.queues])
    done = [name for name in names if pauses.pause(queue.spool, name)]
    running = _running(queue, names)
    _report(screen, queue, "pause", names, done, {"running": running})
    if done:
        whose = "" if done == [ALL_PAUSED] else " of it" if len(done) == 1 else " of them"
        screen.message(f"Paused {_of(done)}: no job{whose} starts until queuectl resume{_typed(done)}")
    for name in names:
        if name not in done:
            screen.message(f"{_of([name]).capitalize()} had been paused already")
    if running:
        named = ", ".join(running[:MOST_NAMED]) + (" ..." if len(running) > MOST_NAMED else "")
        screen.message(f"{plural(len(running), 'running job')} {'goes' if len(running) == 1 else 'go'} on: {named}")
    return 0


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
    known = None if names[0] == ALL_PAUSED else pauses.paused(queue.spool)
    done = [name for name in names if pauses.resume(queue.spool, name)]
    left = pauses.paused(queue.spool)
    _report(screen, queue, "resume", names, done, {})
    if done:
        screen.message(f"Resumed {_of(done)}")
    for name in names:
        if name not in done and not (name == ALL_PAUSED and done):
            near = did_you_mean(name, known - {ALL_PAUSED}) if known else ""
            screen.message(f"{_of([name]).capitalize()} had not been paused{near}")
    if left:
        screen.message(_still_paused(left))
    return 0


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


def _running(queue: Queue, names: list[str]) -> list[str]:
    """Return the ids of the running jobs of these queues."""
    found = []
    for job_id in queue.spool.ids(PROCESSING):
        try:
            job = queue.spool.read(job_id)
        except QueueError:
            continue
        if job.state == "processing" and (names == [ALL_PAUSED] or job.queue in names):
            found.append(job_id)
    return sorted(found)


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

FIELDS = ("queue", "waiting", "held", "running", "concurrency", "rate", "paused", "oldest_waiting_s")
COLUMNS = (
    Column("QUEUE", lambda row: row["queue"]),
    Column("WAITING", lambda row: f"{row['waiting']:,}", right=True),
    Column("HELD", lambda row: f"{row['held']:,}" if row["held"] else "", right=True, is_optional=True, leave_out=3),
    Column("RUNNING", lambda row: f"{row['running']:,}", right=True),
    Column("LIMIT", lambda row: row["concurrency"], right=True),
    Column("RATE", lambda row: row["rate"], right=True),
    Column("OLDEST", lambda row: _age(row["oldest_waiting_s"]), right=True, leave_out=2),
    Column("PAUSED", lambda row: "paused" if row["paused"] else "", colour=lambda _row: "yellow", is_optional=True),
)


@command(
    "queue list",
    examples=("queuectl queue list", "queuectl queue list --json"),
)
def run_list(args: Arguments, screen: Screen) -> int:
    """List the queues that jobs or settings name."""
    queue = queue_to_read(args, screen)
    paused, now = pauses.since(queue.spool), queue.spool.clock.now()
    with open_index(queue, screen) as reader:
        counts, oldest = reader.by_queue(), reader.oldest_by_queue(now)
    rows = [
        {
            "queue": row["name"],
            "waiting": row["waiting"],
            "held": row["counts"]["held"],
            "running": row["running"],
            "concurrency": row["concurrency"],
            "rate": row["rate"],
            "paused": row["name"] in paused or ALL_PAUSED in paused,
            "oldest_waiting_s": max(0.0, now - oldest[row["name"]]) if row["name"] in oldest else None,
        }
        for row in rows_of(counts, oldest, queue.settings, paused)
    ]
    emit(screen, rows, COLUMNS, FIELDS, name="queue")
    if ALL_PAUSED in paused:
        screen.message("All queues are paused: queuectl resume")
    if not rows:
        screen.hint("No job has been enqueued, and no queue has a limit")
    return 0


def _age(seconds: float | None) -> str | None:
    return None if seconds is None else spell_duration(seconds)


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
    overridden_by = None
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
    queue = Queue(args.home)
    if queue.layout.has_spool:
        warn_of_queues(queue, screen, [args.queue])
    return 0


def _spelled(value: object) -> str:
    return "none" if value is None else str(value)
