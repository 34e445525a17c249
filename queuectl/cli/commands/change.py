"""change: the commands that change jobs which exist already: cancel, retry, hold, release, signal and delete.

edit and purge have files of their own.
"""

from __future__ import annotations

from queuectl.cli.home import queue_to_change
from queuectl.cli.ids import Unchanged
from queuectl.cli.options import CHOSEN, CONSENT, NAMED, STATE, command, option
from queuectl.cli.selection import Verb, act_on
from queuectl.cli.times import ago
from queuectl.clock import spell
from queuectl.job.outcome import signal_name, signal_number
from queuectl.spool.parents import ParentFailed
from queuectl.units import plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.selection import Check
    from queuectl.cli.terminal import Screen
    from queuectl.client.queue import Queue
    from queuectl.job.job import Job


@command(
    "cancel",
    NAMED,
    STATE,
    *CHOSEN,
    *CONSENT,
    examples=(
        "queuectl cancel 01JDFQ8Z4T",
        "queuectl cancel --queue default --dry-run",
        "queuectl list --state failed -o name | queuectl cancel -",
    ),
)
def run_cancel(args: Arguments, screen: Screen) -> int:
    """Cancel each job; one that has ended already stays as it is."""
    queue = queue_to_change(args, screen)

    def cancel(job_id: str, check: Check | None) -> None:
        job, is_changed = queue.cancel_unless_ended(job_id, check)
        if not is_changed:
            raise Unchanged(job.id, job.state, "had ended already")

    return act_on(args, screen, queue, Verb("cancel", "cancel", "cancelled"), cancel)


@command(
    "retry",
    NAMED,
    STATE,
    *CHOSEN,
    *CONSENT,
    examples=(
        "queuectl retry 01JDFQ8Z4T",
        "queuectl retry --error 'connection refused' --yes",
        "queuectl retry --state completed --tag nightly --dry-run",
    ),
)
def run_retry(args: Arguments, screen: Screen) -> int:
    """Make each job due now: finished and dead ones with a fresh retry budget."""
    retries = Retries(queue_to_change(args, screen))
    verb = Verb("retry", "retry", "put back")
    return act_on(args, screen, retries.queue, verb, retries.retry, retries)


class Retries:
    """Retries jobs and notes whose expiry was removed."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self._expiries: list[tuple[str, float]] = []

    def retry(self, job_id: str, check: Check | None = None) -> str:
        """Retry one job and say what was done."""
        try:
            job = self.queue.rerun(job_id, {}, check)
        except ParentFailed:
            if check is None:
                raise
            raise Unchanged(job_id, "dead", "had a parent that failed, and follows when that is retried") from None
        words = f"{job.id} runs again: attempt {job.attempts + 1}"
        if check is None:
            words += self._followers(job.id)
        if job.removed_expiry is None:
            return words
        self._expiries.append((job.id, job.removed_expiry))
        return f"{words}; its expiry, {ago(job.removed_expiry, self.queue.spool.clock.now())}, was removed"

    def _followers(self, job_id: str) -> str:
        from queuectl.cli.job_page import children_of

        count, _ = children_of(self.queue, job_id)
        if not count:
            return ""
        return f"; {plural(count, 'job')} that {'comes after it follows' if count == 1 else 'come after it follow'}"

    def words(self) -> str:
        """Say how many expiries were removed."""
        return f" (the expiry of {len(self._expiries):,} had passed and was removed)" if self._expiries else ""

    def as_dict(self) -> dict[str, Any]:
        """Return the expiries that were removed."""
        return {"expiry_removed": [{"id": job_id, "expires_at": spell(expiry)} for job_id, expiry in self._expiries]}


@command(
    "hold",
    NAMED,
    STATE,
    *CHOSEN,
    *CONSENT,
    examples=("queuectl hold 01JDFW11AA", "queuectl hold --queue default --yes"),
)
def run_hold(args: Arguments, screen: Screen) -> int:
    """Hold each job; one that is held already stays as it is."""
    queue = queue_to_change(args, screen)

    def hold(job_id: str, check: Check | None) -> str:
        def look(job: Job) -> None:
            if job.state == "held":
                raise Unchanged(job.id, job.state, "had been held already")
            if check is not None:
                check(job)

        job = queue.hold(job_id, look)
        return f"Held {job.id}: it starts after queuectl release {job.id}"

    return act_on(args, screen, queue, Verb("hold", "hold", "held"), hold)


@command(
    "release",
    NAMED,
    STATE,
    *CHOSEN,
    *CONSENT,
    examples=("queuectl release 01JDFX22BB", "queuectl release --queue default --yes"),
)
def run_release(args: Arguments, screen: Screen) -> int:
    """Release each job."""
    queue = queue_to_change(args, screen)

    def release(job_id: str, check: Check | None) -> None:
        queue.release(job_id, check)

    return act_on(args, screen, queue, Verb("release", "release", "released"), release)


@command(
    "signal",
    option(
        "signal", metavar="SIGNAL", help="its name or number: HUP, SIGUSR1, 15; STOP and CONT stop and continue a job"
    ),
    NAMED,
    STATE,
    *CHOSEN,
    *CONSENT,
    examples=(
        "queuectl signal HUP 01JDFQ8Z4T",
        "queuectl signal USR1 --queue default --yes",
        "queuectl signal STOP 01JDFQ8Z4T",
    ),
)
def run_signal(args: Arguments, screen: Screen) -> int:
    """Send a signal to the process group of each running job's command, as kill -- -PGID does."""
    number = signal_number(args.signal)
    queue = queue_to_change(args, screen)

    def send(job_id: str, check: Check | None) -> str:
        job = queue.signal(job_id, number, check)
        return f"Sent {signal_name(number)} to {job.id}"

    return act_on(args, screen, queue, Verb("signal", "signal", "signalled"), send)


@command(
    "delete",
    NAMED,
    STATE,
    option("--with-dependents", action="store_true", help="also delete the waiting jobs that come after them"),
    *CHOSEN,
    *CONSENT,
    examples=("queuectl delete 01JDFQ8Z4T", "queuectl delete --state completed --batch nightly --yes"),
)
def run_delete(args: Arguments, screen: Screen) -> int:
    """Delete each job; naming it is consent."""
    queue = queue_to_change(args, screen)

    def with_what(job_ids: Collection[str]) -> str:
        if not args.with_dependents:
            return " and their output, permanently"
        from queuectl.client.dependents import Dependents

        return f", {plural(len(Dependents(queue.spool).tree(job_ids)), 'job')} waiting for them, and their output, permanently"

    verb = Verb("delete", "delete", "deleted", with_what)

    def delete(job_id: str, check: Check | None) -> str | None:
        dependents = queue.delete(job_id, check, with_dependents=args.with_dependents)
        return f"Deleted {job_id}, and {plural(len(dependents), 'job')} waiting for it" if dependents else None

    return act_on(args, screen, queue, verb, delete)
