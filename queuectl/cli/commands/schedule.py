"""schedule: recurring jobs: add, list, show, run, pause, resume and remove them, with and without a supervisor."""

from __future__ import annotations

import time

from queuectl.cli.commandline import dest
from queuectl.cli.home import home_that_exists, queue_to_read
from queuectl.cli.job_options import JOB_OPTIONS, Template
from queuectl.cli.options import choice, command, flag, option
from queuectl.cli.table import Column, emit
from queuectl.cli.times import ago, short
from queuectl.client.queue import Queue
from queuectl.clock import parse_instant
from queuectl.errors import NotFound, UsageError
from queuectl.job.fields import command_line
from queuectl.status import nobody_ticks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen

    Row = Mapping[str, Any]

NOT_OF_SCHEDULES = (
    "--id",
    "--stdin",
    "--delay",
    "--at",
    "--expires",
    "--unique",
    "--on-conflict",
    "--after",
    "--after-policy",
    "--on-batch-done",
)
OPTIONS = tuple(row for row in JOB_OPTIONS if not {*row[0]} & {*NOT_OF_SCHEDULES})
NAME = option("schedule", metavar="SCHEDULE", help="the schedule")
NAMES = option("names", metavar="SCHEDULE", nargs="+", help="the schedules")
NEVER = "never"


@command(
    "schedule add",
    option("schedule", metavar="NAME", help="its name; the jobs have the ids NAME@SLOT"),
    option(
        "--cron", metavar="EXPR", help="when: minute hour day month weekday, as '30 2 * * *'; or @daily, @hourly ..."
    ),
    option("--every", metavar="TIME", help="the interval between two jobs: 15m, 1h; by elapsed time since 1970 in UTC"),
    option("--timezone", metavar="TZ", help="of the cron expression, as Europe/Berlin (default: the machine's)"),
    choice(
        "--misfire", "HOW", ("skip", "once", "all"), help="jobs for slots that passed while nothing ran (default: once)"
    ),
    choice(
        "--overlap",
        "HOW",
        ("skip", "queue", "allow"),
        help="while the job before waits or runs: make none (default), queue it behind that, or allow both",
    ),
    option(
        "--command", metavar="STRING", help="a command for /bin/sh; to run without a shell: -- PROGRAM ARGUMENT ..."
    ),
    *OPTIONS,
    flag("--no-check", help="do not check that the directory and the program exist"),
    examples=(
        "queuectl schedule add nightly --cron '30 2 * * *' -- tar cf etc.tar /etc",
        "queuectl schedule add sync --every 15m --command 'date >> /tmp/sync.log'",
    ),
    usage="NAME --cron EXPR|--every TIME -- ARGV ...",
)
def run_add(args: Arguments, screen: Screen) -> int:
    """Write a schedule to config.yaml."""
    if (args.cron is None) == (args.every is None):
        raise UsageError(
            "give either --cron or --every", f"queuectl schedule add {args.schedule} --cron '30 2 * * *' -- COMMAND"
        )
    if (args.command is None) == (not args.argv):
        raise UsageError(
            "give either --command or -- PROGRAM", f"queuectl schedule add {args.schedule} --every 1h -- COMMAND"
        )
    for names, more in JOB_OPTIONS:  # those that a schedule does not have
        if not hasattr(args, dest(names, more)):
            setattr(args, dest(names, more), more.get("default"))
    for name in ("job", "file", "lines"):
        setattr(args, name, None)
    queue = Queue(args.home)
    template = Template(args, queue)
    job = template.job({})
    for warning in template.warnings():
        screen.warn(warning)
    given = {name: getattr(args, name) for name in ("cron", "every", "timezone", "misfire", "overlap")}
    value = {**{name: text for name, text in given.items() if text is not None}, "job": dict(job)}
    overridden_by = queue.declare_schedule(args.schedule, value)
    if overridden_by:
        screen.warn(f"{overridden_by} overrides config.yaml where it is set")
    row = next((row for row in queue.schedules() if row["name"] == args.schedule), None)
    screen.result({"action": "add", "schedule": args.schedule, "next": row["next"] if row else []}, [args.schedule])
    first = _when(row["next"][0], queue.spool.clock.now()) if row and row["next"] else NEVER
    screen.message(f"Added schedule {args.schedule}; its next job: {first}")
    _warn_if_nobody_ticks(queue, screen)
    return 0


FIELDS = (
    *("name", "cron", "every", "timezone", "misfire", "overlap", "paused_at", "next", "last_slot", "last_job"),
    *("last_state", "last_ended_at", "missed", "missed_slot", "skipped", "skipped_slot", "error", "job"),
)


@command(
    "schedule list",
    examples=("queuectl schedule list", "queuectl schedule list --json"),
)
def run_list(args: Arguments, screen: Screen) -> int:
    """List the schedules of config.yaml."""
    queue = queue_to_read(args, screen)
    rows, now = queue.schedules(), queue.spool.clock.now()
    columns = (
        Column("NAME", lambda row: row["name"]),
        Column("WHEN", _timing),
        Column("NEXT", lambda row: _next(row, now), colour=_colour),
        Column("LAST", lambda row: row["last_slot"] and short(parse_instant(row["last_slot"]), now)),
        Column("ENDED", lambda row: _end(row, now), leave_out=1),
        Column(
            "MISSED",
            lambda row: f"{row['missed']:,}" if row["missed"] else "",
            right=True,
            is_optional=True,
            leave_out=2,
        ),
        Column(
            "SKIPPED",
            lambda row: f"{row['skipped']:,}" if row["skipped"] else "",
            right=True,
            is_optional=True,
            leave_out=3,
        ),
        Column("COMMAND", _command, leave_out=4),
    )
    emit(screen, rows, columns, FIELDS, name="name")
    for row in rows:
        if row["error"]:
            screen.warn(f"{row['error']}; it makes no jobs")
    if not rows:
        screen.hint("No schedule; add one: queuectl schedule add NAME --cron '30 2 * * *' -- COMMAND")
    elif any(row["next"] for row in rows):
        _warn_if_nobody_ticks(queue, screen)
    return 0


def _timing(row: Row) -> str:
    if row["cron"] is not None:
        zone = f" {row['timezone']}" if row["timezone"] else ""
        return f"{row['cron']}{zone}"
    return "-" if row["every"] is None else f"every {row['every']}"


def _next(row: Row, now: float) -> str:
    if row["error"]:
        return "not valid"
    if row["paused_at"]:
        return "paused"
    return short(parse_instant(row["next"][0]), now) if row["next"] else NEVER


def _colour(row: Row) -> str | None:
    return "red" if row["error"] else "yellow" if row["paused_at"] else None


def _end(row: Row, now: float) -> str | None:
    if row["last_state"] is None:
        return "deleted" if row["last_job"] else None
    if row["last_ended_at"] is None:
        return str(row["last_state"])
    return f"{row['last_state']} {ago(parse_instant(row['last_ended_at']), now)}"


def _command(row: Row) -> str:
    job = row["job"]
    return command_line(job) if isinstance(job, dict) and {"command", "argv"} & {*job} and not row["error"] else ""


def _when(slot: str, now: float) -> str:
    at = parse_instant(slot)
    return f"{time.strftime('%Y-%m-%d %H:%M:%S %Z', time.localtime(at))} ({ago(at, now)})"


def _warn_if_nobody_ticks(queue: Queue, screen: Screen) -> None:
    if nobody_ticks(queue):
        screen.warn(
            "nothing makes the jobs of schedules: no supervisor is running, and cron runs no queuectl maintenance"
        )
        screen.message("Start one: queuectl worker start --count 2")


@command(
    "schedule show",
    NAMES,
    examples=("queuectl schedule show nightly", "queuectl schedule show nightly --json"),
)
def run_show(args: Arguments, screen: Screen) -> int:
    """Show everything about schedules."""
    queue = queue_to_read(args, screen)
    rows, now = {row["name"]: row for row in queue.schedules()}, queue.spool.clock.now()
    for name in args.names:
        if name not in rows:
            queue.refuse_unknown_schedule(name)
            raise NotFound(f"no schedule {name}")
    if not screen.is_table:
        emit(screen, [rows[name] for name in args.names], (), FIELDS, name="name")
        return 0
    for number, name in enumerate(args.names):
        if number:
            screen.line()
        for label, text in _lines(rows[name], now):
            screen.line(f"{label:<10} {text}")
    return 0


def _lines(row: Row, now: float) -> list[tuple[str, str]]:
    made = [("schedule", row["name"])]
    if row["error"]:
        made.append(("error", row["error"]))
    made += [("when", _timing(row)), ("misfire", str(row["misfire"])), ("overlap", str(row["overlap"]))]
    if row["paused_at"]:
        made.append(("paused", f"{_when(row['paused_at'], now)}; resume: queuectl schedule resume {row['name']}"))
    made += [("next" if number == 0 else "", _when(slot, now)) for number, slot in enumerate(row["next"])]
    if row["last_job"]:
        made.append(("last", f"{row['last_job']}  {_end(row, now)}"))
    for what in ("missed", "skipped"):
        if row[what]:
            made.append((what, f"{row[what]:,}, the last one {_when(row[f'{what}_slot'], now)}"))
    made.append(("command", _command(row)))
    job = row["job"] if isinstance(row["job"], dict) else {}
    made += [(field, str(value)) for field, value in job.items() if field not in ("command", "argv", "env")]
    made.append(("jobs", f"queuectl list --tag schedule:{row['name']}"))
    return made


@command(
    "schedule run",
    NAME,
    examples=("queuectl schedule run nightly", "queuectl schedule run nightly --json"),
)
def run_run(args: Arguments, screen: Screen) -> int:
    """Enqueue the job of a schedule now; it belongs to no slot."""
    queue = _queue(args, screen)
    job_id = queue.run_schedule(args.schedule)
    screen.result({"action": "run", "schedule": args.schedule, "id": job_id}, [job_id])
    screen.message(f"Queued {job_id}")
    return 0


@command(
    "schedule pause",
    NAMES,
    examples=("queuectl schedule pause nightly", "queuectl schedule pause nightly --json"),
)
def run_pause(args: Arguments, screen: Screen) -> int:
    """Let schedules make no jobs."""
    queue = _queue(args, screen, args.names)
    done = [name for name in args.names if queue.pause_schedule(name)]
    return _report(args, screen, "pause", done, "Paused", "had been paused already")


@command(
    "schedule resume",
    NAMES,
    examples=("queuectl schedule resume nightly", "queuectl schedule resume nightly -q"),
)
def run_resume(args: Arguments, screen: Screen) -> int:
    """Let schedules make jobs again."""
    queue = _queue(args, screen, args.names)
    done = [name for name in args.names if queue.resume_schedule(name)]
    return _report(args, screen, "resume", done, "Resumed", "had not been paused")


@command(
    "schedule remove",
    NAMES,
    examples=("queuectl schedule remove nightly", "queuectl schedule remove nightly -q"),
)
def run_remove(args: Arguments, screen: Screen) -> int:
    """Take schedules out of config.yaml."""
    queue = _queue(args, screen, args.names)
    for name in dict.fromkeys(args.names):
        queue.remove_schedule(name)
    return _report(args, screen, "remove", args.names, "Removed", "")


def _queue(args: Arguments, screen: Screen, names: Iterable[str] = ()) -> Queue:
    """Open the queue; refuses `names` of schedules that it does not have."""
    home_that_exists(args, screen)
    queue = Queue(args.home)
    for name in names:
        queue.refuse_unknown_schedule(name)
    return queue


def _report(args: Arguments, screen: Screen, action: str, done: list[str], verb: str, otherwise: str) -> int:
    unchanged = [name for name in args.names if name not in done]
    screen.result({"action": action, "schedules": done, "unchanged": unchanged}, done)
    if done:
        screen.message(f"{verb} schedule{'' if len(done) == 1 else 's'} {', '.join(done)}")
    for name in unchanged:
        screen.message(f"Schedule {name} {otherwise}")
    return 0
