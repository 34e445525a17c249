"""runner: runs the maintenance tasks one after the other.

Owns:       run/maintenance.lock, logs/maintenance.log, and the order of the tasks.
Guarantees: one run at a time a home; a task that fails does not stop the others; changes are logged. It may be killed at any instant: each task continues the next time.
Fails with: Busy when another run is in progress.
"""

from __future__ import annotations

from queuectl.errors import Busy, QueueError, UsageError, from_os_error
from queuectl.log import open_log
from queuectl.maintenance import batches, hooks, index, logs, output, reclaim, retention, schedules, temp_files
from queuectl.maintenance.context import Report
from queuectl.supervisor.maintenance_runner import RAN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeVar

    from queuectl.maintenance.context import TaskContext

    Given = TypeVar("Given")

# Recovered jobs may then be removed, and the index is updated after the removals.
TASKS: dict[str, Callable[[TaskContext], Report]] = {
    "reclaim": reclaim.run_once,
    "batches": batches.run_once,
    "hooks": hooks.run_once,
    "schedules": schedules.run_once,
    "retention": retention.run_once,
    "output": output.run_once,
    "litter": temp_files.run_once,
    "logs": logs.run_once,
    "statistics": index.combine_statistics,
    "index": index.run_once,
}


OWN_LOCK = frozenset(("hooks", "batches"))  # may run beside the others


class Done:
    """A task that has run; `report.failed` says what went wrong."""

    __slots__ = ("report", "task")

    def __init__(self, task: str, report: Report) -> None:
        self.task = task
        self.report = report


def check(names: Sequence[str]) -> None:
    """Raise UsageError unless all are names of tasks."""
    for name in names:
        if name not in TASKS:
            raise UsageError(f'no task "{name}"', f"tasks are {', '.join(TASKS)}")


def run(context: TaskContext, names: Sequence[str] = ()) -> Iterator[Done]:
    """Run some tasks, or all, one after the other; none, and create nothing, where there is no queue.

    Raises:
        Busy: another run is in progress.
    """
    from filelock import FileLock, Timeout

    if not context.spool.files.exists(context.layout.spool):
        return
    context.layout.ensure()
    if names and OWN_LOCK.issuperset(names):
        yield from (Done(name, guarded(TASKS[name], context)) for name in names)
        return
    lock = FileLock(f"{context.layout.run}/maintenance.lock", timeout=0, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        raise Busy("maintenance is already running") from None
    try:
        log = open_log(context.layout, "maintenance")
        for name in [task for task in TASKS if task in names] if names else TASKS:
            report = guarded(TASKS[name], context)
            report.failed += context.failed
            context.failed = []
            if report.words and not context.dry_run:
                log.info(f"{name}: {report.words} action={name}")
            for error in report.failed:
                log.error(f"{name}: {error} action={name}")
            log.flush()
            yield Done(name, report)
        if not names:
            context.note(RAN)
    finally:
        if context.gave_up_ballast:
            context.spool.keep_ballast()
        lock.release()


def guarded(task: Callable[[Given], Report], given: Given) -> Report:
    """Return the report of a task, or a report with its error."""
    try:
        return task(given)
    except QueueError as error:
        return Report(failed=[error])
    except OSError as error:
        place = f"cannot use {error.filename}" if error.filename else "the system refused an operation"
        return Report(failed=[from_os_error(error, place)])
    except Exception as error:  # noqa: BLE001  # a bug in one must not stop the others
        return Report(failed=[QueueError(f"this is a bug in queuectl: {type(error).__name__}: {error}")])
