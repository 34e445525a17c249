"""wait: until jobs have ended."""

from __future__ import annotations

from queuectl.cli.attempts import describe_end, describe_failure, last_error_line
from queuectl.cli.commands.list import FIELDS
from queuectl.cli.error_output import describe
from queuectl.cli.home import queue_to_read
from queuectl.cli.ids import Failures
from queuectl.cli.options import CHOSEN, NAMED, PROPAGATE, STATE, WAIT_TIMEOUT, command
from queuectl.cli.progress import Progress
from queuectl.cli.selection import FILTERS, given, ids_of
from queuectl.cli.table import begin, write_row
from queuectl.cli.terminal import write_stderr
from queuectl.cli.text import safe
from queuectl.client.queue import ENDED
from queuectl.errors import JobFailed, TimedOut
from queuectl.job.job import STATES
from queuectl.units import plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.client.job_view import Job
    from queuectl.client.queue import Queue

NOT_ENDED = tuple(state for state in STATES if state not in ENDED)
REPORTED_ONE_BY_ONE = 20  # of more jobs than this only the failures are said, grouped by error
GROUPS = 5
ONE_DOCUMENT = ("json", "jsonl", "name")
LINES = ("jsonl", "tsv", "name")


@command(
    "wait",
    NAMED,
    WAIT_TIMEOUT,
    PROPAGATE,
    STATE,
    *CHOSEN,
    examples=(
        "queuectl wait 01JDFQ8Z4T --timeout 10m",
        "queuectl wait --batch nightly",
        "queuectl list --queue default -o name | queuectl wait -",
    ),
)
def run(args: Arguments, screen: Screen) -> int:
    """Wait for the jobs named."""
    from queuectl.cli.times import duration

    timeout_s = None if args.timeout is None else duration("--timeout", args.timeout)
    queue = queue_to_read(args, screen)
    failures = Failures(screen)
    # Selectors choose jobs that have ended as well, else those that failed before would go unnoticed.
    is_everything = args.all and not given(args, ("state", *FILTERS))
    ids = ids_of(args, screen, queue, failures, "wait", NOT_ENDED if is_everything else STATES)
    total = len(ids) + len(failures)
    if not total:
        screen.message("No job matches: there is nothing to wait for")
    if screen.format in LINES:
        begin(screen, FIELDS)
    if ids:
        failures.announce()  # not after hours of waiting
        try:
            code = await_jobs(queue, screen, ids, timeout_s=timeout_s, propagate=args.propagate, show=_show)
        except JobFailed as error:
            if not failures:
                raise
            if screen.format not in ("json", "jsonl"):  # there the error names all that could not be waited for
                write_stderr(describe(error))
        else:
            if not failures:
                return code
    elif screen.format == "json":
        _show(screen, ())
    failures.finish(total, "could not be waited for")
    return 0


def _show(screen: Screen, jobs: Sequence[Job]) -> None:
    """Write the one document of `wait --json`: an array, also of one job, in the order in which they were named."""
    from queuectl.client.job_view import details

    screen.json(details(jobs))


def await_jobs(
    queue: Queue,
    screen: Screen,
    ids: Sequence[str],
    *,
    timeout_s: float | None,
    propagate: bool,
    show: Callable[[Screen, Sequence[Job]], None] | None,
    prints_ends: bool = True,
) -> int:
    """Wait for jobs, say how each ended, and return the exit code that this makes.

    Args:
        show: with --json writes the jobs as they are when the waiting ends, also when that is by the timeout.
        prints_ends: jsonl, tsv and name have a line for each job as it ends.

    Raises:
        JobFailed: one did not succeed, and its exit code is not to be passed on.
        TimedOut: some had not ended in time; they go on.
    """
    from queuectl.cli.waiting import Waiting

    known: dict[str, Job] = {}
    failed = 0
    each = len(ids) <= REPORTED_ONE_BY_ONE
    if screen.is_interactive and len(ids) > 1:
        screen.message(f"Waiting for {plural(len(ids), 'job')} ...")
    with Progress(screen, "Waiting", len(ids)) as progress:
        waiting = Waiting(queue, screen, progress.clear)

        def words() -> str:
            return f"{progress.done:,}/{len(ids):,}" + (f", {failed:,} failed" if failed else "")

        def note(job: Job) -> None:
            nonlocal failed
            known[job.id] = job
            failed += job.state != "completed"
            progress.done += 1
            if prints_ends and screen.format in LINES:
                progress.clear()
                write_row(screen, job.as_dict(), FIELDS)
                screen.flush()
            elif screen.format != "json" and each and (job.state == "completed" or len(ids) > 1 or propagate):
                progress.clear()
                screen.message(safe(describe_end(job)))  # of a single one that failed, the error says it
            progress.step(0, words())

        def look(jobs: Sequence[Job]) -> None:
            known.update((job.id, job) for job in jobs)
            waiting.look(jobs)
            progress.step(0, words())

        try:
            queue.wait(ids, timeout_s, note, on_left=look)
        except KeyboardInterrupt:
            progress.clear()
            left = len(ids) - progress.done
            screen.message(f"Stopped waiting; {plural(left, 'job')} {'continues' if left == 1 else 'continue'}")
            raise
        except TimedOut as error:
            if timeout_s:
                left_jobs = [job for job in known.values() if job.state not in ENDED]
                error.hint = waiting.explain(left_jobs)
            raise
        finally:
            progress.clear()
            if show is not None and screen.format == "json":
                show(screen, [known[job_id] for job_id in dict.fromkeys(ids) if job_id in known])
                screen.flush()
    return exit_code_of(
        screen,
        queue,
        [job for job in known.values() if job.state != "completed"],
        len(ids),
        propagate=propagate,
    )


def await_job(
    queue: Queue, screen: Screen, job_id: str, *, follow: bool, timeout_s: float | None, propagate: bool
) -> int:
    """Wait for one job just put in, perhaps showing its output, and return the exit code that its fate makes.

    With --json it writes one object, the job as it is at the end of the waiting, and its output goes to stderr.
    """

    def show(screen: Screen, jobs: Sequence[Job]) -> None:
        screen.json(jobs[0].as_dict())

    if not follow:
        return await_jobs(
            queue,
            screen,
            [job_id],
            timeout_s=timeout_s,
            propagate=propagate,
            show=show,
            prints_ends=screen.format == "jsonl",
        )
    from queuectl.cli.commands.logs import follow_job

    try:
        job = follow_job(queue, screen, job_id, timeout_s=timeout_s, on_stderr=screen.format in ONE_DOCUMENT)
    finally:
        if screen.format in ("json", "jsonl"):
            screen.json(queue.get(job_id).as_dict())
            screen.flush()
    if job.state == "completed" or propagate:
        screen.message(safe(describe_end(job, shows_output=True)))
    return exit_code_of(screen, queue, [job] if job.state != "completed" else [], 1, propagate=propagate)


def exit_code_of(screen: Screen, queue: Queue, failed: Sequence[Job], total: int, *, propagate: bool) -> int:
    """Return the exit code for jobs that were waited for.

    Raises:
        JobFailed: one did not succeed, and its exit code is not to be passed on.
    """
    if not failed:
        return 0
    if total > REPORTED_ONE_BY_ONE and screen.format != "json":
        for line in grouped(failed):
            screen.message(safe(line))
    code = next((job.exit_code for job in failed if job.exit_code), None)
    if propagate and code is not None:
        return code
    if len(failed) == 1 == total:
        raise JobFailed(f"job {describe_end(failed[0])}", where_to_read(queue, failed))
    hint = where_to_read(queue, failed) if total > REPORTED_ONE_BY_ONE else None  # else each has a line of its own
    raise JobFailed(f"{len(failed):,} of {plural(total, 'job')} did not succeed", hint)


def grouped(failed: Sequence[Job]) -> list[str]:
    """Return a line for each kind of failure, the most frequent first: "298 × exit code 1: No such file: e.g. 01J..."."""
    from queuectl.index.error_groups import fingerprint

    groups: dict[str, list[Job]] = {}
    for job in failed:
        groups.setdefault(fingerprint(describe_failure(job), job.command, job.last_error), []).append(job)
    found = sorted(groups.values(), key=len, reverse=True)
    lines = [
        f"{len(jobs):,} × {describe_failure(jobs[0])}{last_error_line(jobs[0], ': ')}; e.g. {jobs[0].id}"
        for jobs in found[:GROUPS]
    ]
    if len(found) > GROUPS:
        rest = sum(map(len, found[GROUPS:]))
        lines.append(f"{rest:,} × {plural(len(found) - GROUPS, 'other error')}")
    return lines


def where_to_read(queue: Queue, failed: Sequence[Job]) -> str:
    """Return the command that shows why a job failed: its output where there is any, else all that is known of it."""
    for job in failed:
        status = queue.spool.files.lstat(queue.layout.output_of(job.id, job.attempts)) if job.attempts else None
        if status is not None and status.st_size:
            return f"queuectl logs {job.id}"
    return f"queuectl show {failed[0].id}"
