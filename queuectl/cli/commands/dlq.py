"""dlq: the dead letter queue: jobs that failed for good."""

from __future__ import annotations

from queuectl.cli.commands.retry import Retries
from queuectl.cli.home import queue_to_change, queue_to_read
from queuectl.cli.selection import Verb, act_on
from queuectl.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.screen import Screen
    from queuectl.cli.selection import Check
    from queuectl.job import Job

DEAD = ("dead",)


def run_list(args: Arguments, screen: Screen) -> int:
    """Show dead jobs."""
    from queuectl.cli.commands.list import show_jobs

    return show_jobs(args, screen, DEAD, "Why: queuectl dlq show ID     Try again: queuectl dlq retry ID")


def run_show(args: Arguments, screen: Screen) -> int:
    """Tell all about dead jobs."""
    from queuectl.cli.commands.show import show_each

    return show_each(queue_to_read(args, screen), screen, args.ids, _check)


def run_retry(args: Arguments, screen: Screen) -> int:
    """Put dead jobs back with a fresh retry budget."""
    retries = Retries(queue_to_change(args, screen))

    def revive(job_id: str, check: Check | None) -> str:
        return retries.retry(job_id, check or (lambda job: _check(job, f"to run it now: queuectl retry {job_id}")))

    return act_on(args, screen, retries.queue, Verb("dlq retry", "retry", "put back", states=DEAD), revive, retries)


def run_delete(args: Arguments, screen: Screen) -> int:
    """Remove dead jobs and what they wrote."""
    queue = queue_to_change(args, screen)

    def remove(job_id: str, check: Check | None) -> None:
        hint = f"to delete it all the same: queuectl delete {job_id}"
        queue.delete(job_id, check or (lambda job: _check(job, hint)))

    verb = Verb("dlq delete", "delete", "deleted", " and what they wrote, for good", DEAD)
    return act_on(args, screen, queue, verb, remove)


def _check(job: Job, hint: str | None = None) -> None:
    if job.state != "dead":
        raise Conflict(f"job {job.id} is not dead: it is {job.state}", hint)
