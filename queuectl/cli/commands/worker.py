"""worker: the processes that run jobs, and the supervisor that keeps them."""

from __future__ import annotations

import os

from queuectl.cli.home import home_that_exists
from queuectl.cli.options import FOLLOW, HIDDEN, command, flag, number, option
from queuectl.client.queue import own_layout
from queuectl.clock import Clock
from queuectl.errors import Conflict, NoSupervisor, NotFound, PartlyFailed, UsageError
from queuectl.units import plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.job.job import Job
    from queuectl.spool.layout import Layout

LOG_LINES = 50
NONE_RUNS = "No worker is running"


def _layout(args: Arguments) -> Layout:
    return own_layout(args.home)


def _name(text: str) -> str:
    """Return a worker's name; its number alone will do."""
    return f"worker-{text}" if text.isdigit() else text


@command(
    "worker start",
    number("workers", nargs="?", help="how many to add (default: 1)"),
    number("--count", help="the same as N"),
    flag("--foreground", help="run the supervisor in the foreground until the last worker stops"),
    number("--ready-fd", help=HIDDEN),
    number("--lock-fd", help=HIDDEN),
    examples=("queuectl worker start --count 4", "queuectl worker start --count 2 --foreground"),
)
def run_start(args: Arguments, screen: Screen) -> int:
    """Add workers; return when they are ready, or with --foreground when the last one has stopped."""
    if args.workers is not None and args.count is not None:
        raise UsageError("N and --count have the same meaning: give only one")
    count = next((given for given in (args.workers, args.count) if given is not None), 1)
    if args.foreground:
        return _run_supervisor(args, count)
    if count < 1:
        raise UsageError(f"--count must be 1 or more, not {count}", "to stop workers: queuectl worker stop")
    from queuectl.supervisor.startup import job_that_would_end_it, start_workers

    layout = _layout(args)
    job_id = job_that_would_end_it(layout, os.environ)
    names = start_workers(layout, count)
    _warn_of_end(screen, job_id)
    screen.result({"action": "start", "workers": names}, names)
    if len(names) < count:
        raise PartlyFailed(f"{count - len(names)} of {count} workers did not start", "queuectl worker logs")
    screen.message(f"Started {plural(len(names), 'worker')}")
    screen.hint("To see what they are doing: queuectl status")
    return 0


def _warn_of_end(screen: Screen, job_id: str | None) -> None:
    if job_id is not None:
        screen.warn(
            f"this was started by job {job_id} and ends with it, unless that job has leftovers: leave"
            " (queuectl enqueue --leftovers leave)"
        )


def _run_supervisor(args: Arguments, count: int) -> int:
    from queuectl.supervisor.startup import run

    return run(_layout(args), os.environ, count, args.ready_fd, args.lock_fd)


@command(
    "worker scale",
    number("count", help="the number of workers to have"),
    examples=("queuectl worker scale 8", "queuectl worker scale 1"),
)
def run_scale(args: Arguments, screen: Screen) -> int:
    """Bring the number of workers to N."""
    from queuectl import control_client
    from queuectl.supervisor.startup import job_that_would_end_it, start_workers

    control_client.check_count(args.count, 0)
    layout = _layout(args) if args.count else home_that_exists(args, screen)
    try:
        before = len(control_client.ask(layout, {"do": "status"})["workers"])
    except NoSupervisor:
        before = 0
    job_id = job_that_would_end_it(layout, os.environ)
    names = start_workers(layout, args.count, absolute=True) if before or args.count else []
    _warn_of_end(screen, job_id if names else None)
    screen.result({"action": "scale", "count": args.count, "started": names}, names)
    change = f"; {plural(before - args.count, 'worker')} stop as their jobs end" if before > args.count else ""
    screen.message(f"{plural(args.count, 'worker')} now, {before} before{change}")
    return 0


@command(
    "worker restart",
    option("--id", metavar="ID", help="replace only this worker; the supervisor stays"),
    flag("--wait", help="return when it has restarted (the default outside a job)"),
    flag("--no-wait", help="return at once (the default inside a job)"),
    option("--timeout", metavar="TIME", help="wait at most this long, then exit with 124; the restart continues"),
    examples=("queuectl worker restart", "queuectl worker restart --id worker-2"),
)
def run_restart(args: Arguments, screen: Screen) -> int:
    """Restart the supervisor with the installed code, or replace one worker."""
    from queuectl import control_client
    from queuectl.supervisor.supervisor_lock import find_supervisor

    layout = home_that_exists(args, screen)
    if args.id is not None:
        names = control_client.ask(layout, {"do": "restart", "id": _name(args.id)})["restarting"]
        screen.result({"action": "restart", "workers": names}, names)
        screen.message(f"{names[0]} will be replaced once its job has ended")
        return 0
    timeout_s = _timeout(args)
    job = _calling_job(layout)
    if job is not None and (args.wait or timeout_s is not None):
        raise _waits_for_itself(job, "restart", "queuectl worker restart, without --wait and --timeout")
    supervisor = find_supervisor(layout)
    if supervisor is None:
        raise NoSupervisor("no supervisor is running", "queuectl worker start --count 2")
    names = control_client.ask(layout, {"do": "restart"})["restarting"]
    screen.result({"action": "restart", "workers": names}, names)
    if job is not None or args.no_wait:
        when = f"this job ({job.id}) and all others have" if job is not None else "all running jobs have"
        screen.message(f"The supervisor restarts, with {plural(len(names), 'worker')}, once {when} ended")
        return 0
    from queuectl.cli.stopping import await_restart, warn_of_stopped

    warn_of_stopped(layout, screen, names)
    screen.flush()
    await_restart(supervisor, screen, names, timeout_s)
    screen.message(f"Restarted, with {plural(len(names), 'worker')}")
    return 0


@command(
    "worker stop",
    option("--id", metavar="ID", help="only this worker (default: all)"),
    flag("--wait", help="return when every process of the queue has ended"),
    option("--timeout", metavar="TIME", help="wait at most this long, then exit with 124; the stop continues"),
    flag("--now", help="do not wait for jobs: kill their commands and requeue them"),
    examples=(
        "queuectl worker stop",
        "queuectl worker stop --wait --timeout 30",
        "queuectl worker stop --id worker-2 --now",
    ),
)
def run_stop(args: Arguments, screen: Screen) -> int:
    """Stop one worker or all; a stopped supervisor is no error."""
    from queuectl import control_client
    from queuectl.supervisor.supervisor_lock import find_supervisor

    layout, request = home_that_exists(args, screen), {"do": "stop", "now": args.now}
    if args.id is not None:
        request["id"] = _name(args.id)
    timeout_s = _timeout(args)
    waits = args.wait or timeout_s is not None
    job = _calling_job(layout) if waits or args.now else None
    supervisor = find_supervisor(layout)
    if job is not None and supervisor is not None and _would_stop(layout, job, request.get("id")):
        _refuse_to_stop(job, now=args.now)
    try:
        names = [] if supervisor is None else control_client.ask(layout, request)["stopping"]
    except NoSupervisor:
        names = []
    if names and not args.now:
        from queuectl.cli.stopping import warn_of_stopped

        warn_of_stopped(layout, screen, names)
    if waits:
        from queuectl.cli.stopping import await_orphaned_workers, await_stop

        if supervisor is not None:
            await_stop(supervisor, screen, names, timeout_s, alone=args.id is not None)
        elif args.id is None:
            await_orphaned_workers(layout, screen, timeout_s)
    screen.result({"action": "stop", "workers": names}, names)
    if supervisor is None:
        screen.message(NONE_RUNS)
    elif waits:
        screen.message(f"Stopped {plural(len(names), 'worker')}")
    else:
        screen.message(f"Stopping {plural(len(names), 'worker')} {'at once' if args.now else 'as their jobs end'}")
        screen.hint("To wait for that: queuectl worker stop --wait")
    return 0


def _timeout(args: Arguments) -> float | None:
    if args.timeout is None:
        return None
    from queuectl.cli.times import duration

    return duration("--timeout", args.timeout)


def _calling_job(layout: Layout) -> Job | None:
    """Return the job of this home inside which we run."""
    from queuectl.config.settings import Settings
    from queuectl.executor.environment import calling_job
    from queuectl.spool.spool import Spool

    return calling_job(Spool(layout, Settings()), os.environ)


def _would_stop(layout: Layout, job: Job, name: str | None) -> bool:
    """Tell whether the worker that runs a job is among those to be stopped; `name` is of the only one, None stands for all."""
    if name is None:
        return True
    from queuectl import control_client

    workers = control_client.ask(layout, {"do": "status"})["workers"]
    return any(worker["name"] == name and worker["job_id"] == job.id for worker in workers)


def _refuse_to_stop(job: Job, *, now: bool) -> NoReturn:
    if not now:
        raise _waits_for_itself(job, "stop", "queuectl worker stop, without --wait and --timeout")
    raise Conflict(
        f"this command runs in job {job.id}, which it would kill and requeue; the job would do the same again when it runs next",
        "queuectl worker stop, without --now, lets the job end first; to load new code: queuectl worker restart",
    )


def _waits_for_itself(job: Job, what: str, hint: str) -> Conflict:
    return Conflict(
        f"this command runs in job {job.id}, and the {what} waits for this job to end: it would wait for itself", hint
    )


@command(
    "worker list",
    examples=("queuectl worker list", "queuectl worker list --json"),
)
def run_list(args: Arguments, screen: Screen) -> int:
    """Show the workers."""
    from queuectl import control_client
    from queuectl.cli.table import emit
    from queuectl.cli.workers import FIELDS, columns
    from queuectl.status import with_usage, worker_as_dict

    try:
        workers = control_client.ask(home_that_exists(args, screen), {"do": "status", "usage": True})["workers"]
    except NoSupervisor:
        workers = []
    rows = with_usage(workers)
    emit(screen, rows if screen.is_table else map(worker_as_dict, rows), columns(Clock().now()), FIELDS, name="name")
    if not rows:
        screen.message(NONE_RUNS)
        screen.hint("Start some: queuectl worker start --count 2")
    return 0


@command(
    "worker logs",
    option("id", metavar="ID", nargs="?", default="supervisor", help="worker-1 ... or supervisor (default)"),
    flag(*FOLLOW, help="show new lines until Ctrl-C"),
    number("-n", "--lines", help="only the last N lines (default: 50 on a terminal and with -f, else all)"),
    examples=("queuectl worker logs worker-1 --lines 20", "queuectl worker logs supervisor -f"),
)
def run_logs(args: Arguments, screen: Screen) -> int:
    """Show the log of a worker or of the supervisor."""
    from queuectl.cli.tail import follow, read_all, show
    from queuectl.growing_file import GrowingFile

    if args.lines is not None and args.lines < 0:
        raise UsageError(f"--lines must be 0 or more, not {args.lines}")
    layout, name = home_that_exists(args, screen), _name(args.id)
    if name != "supervisor" and not name.removeprefix("worker-").isdigit():
        raise NotFound(f'no worker "{args.id}"', "logs exist for worker-1, worker-2 ... and supervisor")
    with GrowingFile(
        layout.log(name), lambda what: screen.message(f"--- {name}.log {what}: showing it from its new start ---")
    ) as source:
        if source.is_missing:
            raise NotFound(f"{name} has no log yet", f"its file will be {layout.log(name)}")
        is_for_people = args.follow or (screen.is_terminal and screen.is_table)
        lines = LOG_LINES if args.lines is None and is_for_people else args.lines
        if lines is not None and source.skip_to_last(lines) and args.lines is None:
            screen.message(f"(the last {lines} lines; --lines N for more)")
        if args.follow:
            follow(screen, source)
        elif screen.format in ("json", "jsonl"):
            screen.json({"name": name, "path": layout.log(name), "lines": read_all(source).splitlines()})
        else:
            show(screen, source)
    return 0
