"""wait: until jobs have ended."""

from __future__ import annotations

from queuectl.cli.home import queue_to_read
from queuectl.cli.ids import Failures
from queuectl.cli.progress import Progress
from queuectl.cli.selection import FILTERS, given, ids_of
from queuectl.cli.text import safe
from queuectl.client import ENDED
from queuectl.errors import JobFailed
from queuectl.job import STATES
from queuectl.units import plural, spell_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.screen import Screen
    from queuectl.client import Queue
    from queuectl.job_view import Job

NOT_ENDED = tuple(state for state in STATES if state not in ENDED)
TOLD_ONE_BY_ONE = 20  # of more jobs than this, only those that failed


def run(args: Arguments, screen: Screen) -> int:
    """Wait for the jobs named."""
    from queuectl.cli.times import duration

    timeout_s = None if args.timeout is None else duration("--timeout", args.timeout)
    queue = queue_to_read(args, screen)
    failures = Failures(screen)
    # Selectors choose jobs that have ended as well, else those that failed before would go unnoticed.
    is_everything = args.all and not given(args, ("state", *FILTERS))
    ids = ids_of(args, screen, queue, failures, "wait", NOT_ENDED if is_everything else STATES)
    if not ids and not failures:
        screen.say("No job matches: there is nothing to wait for")
    code = await_jobs(queue, screen, ids, timeout_s=timeout_s, propagate=args.propagate) if ids else 0
    if not code:
        failures.finish(len(ids) + len(failures), "could not be waited for")
    return code


def await_jobs(queue: Queue, screen: Screen, ids: Sequence[str], *, timeout_s: float | None, propagate: bool) -> int:
    """Wait for jobs, tell how each ended, and return the exit code that this makes.

    Raises:
        JobFailed: one did not succeed, and its exit code is not to be passed on.
        TimedOut: some had not ended in time; they go on.
    """
    ended: list[Job] = []
    each = len(ids) <= TOLD_ONE_BY_ONE
    if screen.talks and len(ids) > 1:
        screen.say(f"Waiting for {plural(len(ids), 'job')} ...")
    with Progress(screen, "Waiting", len(ids)) as progress:

        def note(job: Job) -> None:
            ended.append(job)
            progress.clear()
            if screen.format == "jsonl":
                screen.json(job.as_dict())
            elif screen.format == "name":
                screen.line(job.id)
            elif each if job.state == "completed" else len(ids) > 1 or propagate:  # else the error tells
                screen.say(safe(describe_end(job)))
            screen.flush()
            progress.step()

        try:
            queue.wait(ids, timeout_s, note, lambda: progress.step(0))
        except KeyboardInterrupt:
            progress.clear()
            left = len(ids) - len(ended)
            screen.say(f"Not waiting any more; {plural(left, 'job')} {'goes' if left == 1 else 'go'} on")
            raise
    if screen.format == "json":
        made = [job.as_dict() for job in ended]
        screen.json(made if len(ids) > 1 else made[0])
    return fate([job for job in ended if job.state != "completed"], len(ids), propagate=propagate)


def await_job(queue: Queue, screen: Screen, job_id: str, *, follow: bool, propagate: bool) -> int:
    """Wait for one job just put in, perhaps showing its output, and return the exit code that its fate makes."""
    if not follow:
        return await_jobs(queue, screen, [job_id], timeout_s=None, propagate=propagate)
    from queuectl.cli.commands.logs import follow_job

    job = follow_job(queue, screen, job_id)
    if job.state == "completed" or propagate:
        screen.say(safe(describe_end(job)))
    return fate([job] if job.state != "completed" else [], 1, propagate=propagate)


def fate(failed: Sequence[Job], total: int, *, propagate: bool) -> int:
    """Return the exit code for jobs that were waited for.

    Raises:
        JobFailed: one did not succeed, and its exit code is not to be passed on.
    """
    if not failed:
        return 0
    code = next((job.exit_code for job in failed if job.exit_code), None)
    if propagate and code is not None:
        return code
    if len(failed) == 1 == total:
        raise JobFailed(f"job {describe_end(failed[0])}", f"queuectl logs {failed[0].id}")
    raise JobFailed(f"{len(failed):,} of {plural(total, 'job')} did not succeed")


def describe_end(job: Job) -> str:
    """Say how a job ended: "01J... completed in 3.2s", "01J... is dead: exit code 1, 4 attempts"."""
    if job.state == "completed":
        took = f" in {spell_duration(job.finished_at - job.started_at)}" if job.finished_at and job.started_at else ""
        return f"{job.id} completed{took}"
    if job.state == "cancelled":
        return f"{job.id} was cancelled"
    how = describe_outcome(job)
    tries = f" after {plural(job.attempts, 'attempt')}" if job.attempts else ""
    return f"{job.id} is {job.state}{tries}: {how or job.dead_reason or 'unknown'}"


def describe_outcome(job: Job) -> str:
    """Say how the last attempt ended, in a few words; empty when none did."""
    last = next((e for e in reversed(job.history) if "exit_code" in e), None)
    if last is None:
        return ""
    if "signal" in last:
        return f"killed by {last['signal']}"
    if last.get("timed_out"):
        return "timed out"
    if last.get("output_limit"):
        return "wrote too much"
    return f"exit code {last['exit_code']}"
