"""dlq: the dead letter queue: jobs that failed for good."""

from __future__ import annotations

from queuectl.cli.commands.retry import Retries
from queuectl.cli.home import queue_to_change, queue_to_read
from queuectl.cli.ids import act
from queuectl.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.screen import Screen
    from queuectl.job import Job


def run_list(args: Arguments, screen: Screen) -> int:
    """Show dead jobs."""
    from queuectl.cli.commands.list import show_jobs

    return show_jobs(args, screen, ("dead",), "Why: queuectl dlq show ID     Try again: queuectl dlq retry ID")


def run_show(args: Arguments, screen: Screen) -> int:
    """Tell all about dead jobs."""
    from queuectl.cli.commands.show import show_each

    return show_each(queue_to_read(args, screen), screen, args.ids, _check)


def run_retry(args: Arguments, screen: Screen) -> int:
    """Put dead jobs back with a fresh retry budget."""
    retries = Retries(queue_to_change(args, screen))

    def revive(job_id: str) -> str:
        return retries.retry(job_id, lambda job: _check(job, f"to run it now: queuectl retry {job_id}"))

    return act(screen, retries.queue, args.ids, revive, "retry", "put back", retries)


def run_delete(args: Arguments, screen: Screen) -> int:
    """Remove dead jobs and what they wrote."""
    queue = queue_to_change(args, screen)

    def remove(job_id: str) -> None:
        queue.delete(job_id, lambda job: _check(job, f"to delete it all the same: queuectl delete {job_id}"))

    return act(screen, queue, args.ids, remove, "delete", "deleted")


def _check(job: Job, hint: str | None = None) -> None:
    if job.state != "dead":
        raise Conflict(f"job {job.id} is not dead: it is {job.state}", hint)
