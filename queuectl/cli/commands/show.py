"""show: all there is to tell about a job."""

from __future__ import annotations

from queuectl.cli.home import queue_to_read
from queuectl.cli.ids import Failures, expand
from queuectl.cli.job_page import show_job
from queuectl.cli.options import IDS, command
from queuectl.cli.table import emit
from queuectl.errors import QueueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.client.job_view import Job
    from queuectl.client.queue import Queue


@command(
    "show",
    IDS,
    examples=("queuectl show 01JDFQ8Z4T", "queuectl show 01JDFQ8Z4T --json"),
)
def run(args: Arguments, screen: Screen) -> int:
    """Show each job that is named."""
    return show_each(queue_to_read(args, screen), screen, args.ids)


def show_each(queue: Queue, screen: Screen, texts: list[str], check: Callable[[Job], None] | None = None) -> int:
    """Show jobs; as JSON an array of them, also of one.

    Args:
        check: raises for a job that is not to be shown here.
    """
    failures = Failures(screen)
    jobs = []
    for text, is_whole in expand(texts):
        try:
            job = queue.get(queue.resolve(text, is_whole=is_whole))
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
    else:
        from queuectl.cli.commands.list import FIELDS
        from queuectl.client.job_view import details

        emit(screen, details(jobs), (), FIELDS)
    failures.finish(total, "could not be shown")
    return 0
