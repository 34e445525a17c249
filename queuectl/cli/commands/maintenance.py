"""maintenance: what has to be done now and then, for cron and for the supervisor.

Guarantees: nothing is printed when all is well, so that cron sends no mail, except with --dry-run; beside a run that is under way there is nothing
            to do, which is no error either.
"""

from __future__ import annotations

from queuectl.cli.error_output import describe, problem
from queuectl.cli.home import refuse_wrong_name
from queuectl.cli.options import command, flag, number, option
from queuectl.cli.table import emit
from queuectl.cli.terminal import write_stderr
from queuectl.cli.text import safe
from queuectl.client.queue import Queue
from queuectl.errors import Busy, PartlyFailed, QueueError
from queuectl.units import plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.maintenance.runner import Done

    Row = dict[str, Any]

MOST_REPORTED = 5  # of the things that failed in one task
NOTHING = "nothing to do"
TASK_COLUMNS = 10
HELPERS = ["batches", "hooks"]  # what the supervisor has done at once: it must not wait for a processor
TASKS = (
    "reclaim",
    "batches",
    "hooks",
    "schedules",
    "retention",
    "output",
    "litter",
    "logs",
    "statistics",
    "index",
)  # queuectl/maintenance/runner.py


@command(
    "maintenance",
    option("tasks", metavar="TASK", nargs="*", help="only these tasks: " + ", ".join(TASKS)),
    flag("-v", "--verbose", help="show what each task did"),
    flag("--dry-run", help="change nothing; show what would be done"),
    number("--ensure-workers", help="first start N workers if no supervisor is running, as after a reboot"),
    examples=(
        "queuectl maintenance",
        "queuectl maintenance --verbose --dry-run",
        "queuectl maintenance retention output --verbose",
    ),
)
def run(args: Arguments, screen: Screen) -> int:
    """Run the tasks; the exit code is 7 when something failed, while the rest was done."""
    from queuectl.control_client import check_count
    from queuectl.maintenance.runner import check

    check(args.tasks)
    if args.ensure_workers is not None:
        check_count(args.ensure_workers, 1, "--ensure-workers")
    queue = Queue(args.home)
    if args.ensure_workers is None:
        refuse_wrong_name(args, queue.layout)
    failed: list[tuple[str, QueueError]] = []
    rows = _rows(args, screen, queue, failed)
    if not screen.is_table:
        emit(screen, rows, (), ("task", "words"), name="task")
    is_shown = False
    for row in rows:
        if args.verbose or (args.dry_run and row["words"]):
            is_shown = True
            _show(screen, row)
    if args.dry_run and screen.is_table and not is_shown:
        screen.message("Nothing would be done")
    if failed:
        tasks = [*dict.fromkeys(task for task, _ in failed)]
        raise PartlyFailed(f"maintenance failed in part: {', '.join(tasks)}", f"see {queue.layout.log('maintenance')}")
    return 0


def _rows(args: Arguments, screen: Screen, queue: Queue, failed: list[tuple[str, QueueError]]) -> Iterator[Row]:
    """Yield what each task did, once it is done; what failed is told at once."""
    from queuectl.executor.child_setup import lower_priority
    from queuectl.maintenance.context import TaskContext
    from queuectl.maintenance.runner import run as run_tasks

    if args.ensure_workers is not None:  # before our priority is lowered, which they would inherit
        yield _ensure_workers(args, queue, failed)
    if not args.dry_run and args.tasks != HELPERS:  # the commands of hooks would inherit it
        lower_priority()
    try:
        for done in run_tasks(TaskContext(queue, dry_run=args.dry_run, is_named=bool(args.tasks)), args.tasks):
            yield _row(done, failed)
    except Busy as error:
        if args.verbose or screen.is_interactive:
            screen.message(f"{str(error).capitalize()}; nothing to do")


def _ensure_workers(args: Arguments, queue: Queue, failed: list[tuple[str, QueueError]]) -> Row:
    from queuectl.maintenance.context import Report
    from queuectl.maintenance.runner import Done, guarded
    from queuectl.supervisor.startup import ensure_workers
    from queuectl.supervisor.supervisor_lock import is_owned

    def start(count: int) -> Report:
        if args.dry_run:
            return Report("" if is_owned(queue.layout) else f"would start {plural(count, 'worker')}", workers=[])
        names = ensure_workers(queue.layout, count)
        return Report(f"started {plural(len(names), 'worker')}" if names else "", workers=names)

    return _row(Done("workers", guarded(start, args.ensure_workers)), failed)


def _row(done: Done, failed: list[tuple[str, QueueError]]) -> Row:
    report = done.report
    for error in report.failed[:MOST_REPORTED]:
        write_stderr(describe(error, f"queuectl: {done.task}: "))
    if len(report.failed) > MOST_REPORTED:
        write_stderr(f"queuectl: {done.task}: and {len(report.failed) - MOST_REPORTED:,} more")
    failed += [(done.task, error) for error in report.failed]
    made: Row = {"task": done.task, "words": report.words, **report.figures}
    return {**made, "failed": [problem(error) for error in report.failed]} if report.failed else made


def _show(screen: Screen, row: Row) -> None:
    """Write one line, at once: a task may take its time."""
    wrong = f"{len(row['failed']):,} failed" if row.get("failed") else ""
    words = ", ".join(part for part in (row["words"], wrong) if part)
    colour = "red" if wrong else None if words else "dim"
    screen.line(f"{row['task']:{TASK_COLUMNS}}  {screen.paint(safe(words) or NOTHING, colour)}")
    screen.flush()
