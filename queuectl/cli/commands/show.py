"""show: all there is to tell about a job."""

from __future__ import annotations

from queuectl.beside import progress_of, result_of
from queuectl.cli.home import queue_to_read
from queuectl.cli.ids import Failures, expand
from queuectl.cli.portrait import show_job
from queuectl.cli.render import emit
from queuectl.errors import QueueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.screen import Screen
    from queuectl.client import Queue
    from queuectl.job import Job


def run(args: Arguments, screen: Screen) -> int:
    """Show each job that is named."""
    return show_each(queue_to_read(args, screen), screen, args.ids)


def show_each(queue: Queue, screen: Screen, texts: list[str], check: Callable[[Job], None] | None = None) -> int:
    """Show jobs: one object, or an array of several, as JSON.

    Args:
        check: raises for a job that is not to be shown here.
    """
    failures = Failures(screen)
    jobs = []
    for text in expand(texts):
        try:
            job = queue.get(queue.resolve(text))
            if check is not None:
                check(job)
            jobs.append(job)
        except QueueError as error:
            failures.add("id", text, error)
    total = len(jobs) + len(failures)
    if screen.is_table:
        for number, job in enumerate(jobs):
            if number:
                screen.line()
            show_job(queue, screen, job)
    elif screen.format == "json" and total == 1 and jobs:
        screen.json(as_dict(queue, jobs[0]))
    else:
        from queuectl.cli.commands.list import FIELDS

        emit(screen, [as_dict(queue, job) for job in jobs], (), FIELDS)
    failures.finish(total, "could not be shown")
    return 0


def as_dict(queue: Queue, job: Job) -> dict[str, Any]:
    """Return a job as JSON has it, with its history, result and progress."""
    made = {**job.as_dict(), "history": job.history, "result": result_of(queue, job)}
    progress = progress_of(queue, job)
    return {**made, "progress": progress} if progress else made
