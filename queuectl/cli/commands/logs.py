"""logs: what a job wrote, all of it, its end, or as it comes."""

from __future__ import annotations

import os

from queuectl.cli.follow import LOOK_S, Printer, Source, read_all, show
from queuectl.cli.home import queue_to_read
from queuectl.cli.ids import Failures
from queuectl.cli.render import emit
from queuectl.cli.selection import ids_of, is_bulk
from queuectl.client import ENDED
from queuectl.errors import NotFound, QueueError, UsageError
from queuectl.job import STATES
from queuectl.units import plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.screen import Screen
    from queuectl.client import Queue
    from queuectl.job_view import Job
    from queuectl.processes.control import Watch

FIELDS = ("id", "attempt", "path", "output")


def run(args: Arguments, screen: Screen) -> int:
    """Show the output of an attempt, or of several jobs one after the other; with -f until the job has ended."""
    as_json = screen.format in ("json", "jsonl")
    if args.follow and as_json:
        raise UsageError("-f shows output as it comes; it does not go with JSON")
    if args.lines is not None and args.lines < 0:
        raise UsageError(f"--lines must be 0 or more, not {args.lines}")
    queue = queue_to_read(args, screen)
    if len(args.ids) != 1 or args.ids == ["-"] or not (screen.is_table or args.follow):
        return _show_several(args, screen, queue)
    is_bulk(args, "logs")  # raises for selectors beside the id
    job_id = queue.resolve(args.ids[0])
    if args.follow:
        job = follow_job(queue, screen, job_id, attempt=args.attempt, lines=args.lines)
        if job.state in ENDED:
            from queuectl.cli.commands.wait import describe_end

            screen.say(describe_end(job))
        return 0
    number, path, source = _open(queue, job_id, args.attempt, args.lines)
    with source:
        show(screen, source)
        if not os.path.getsize(path):
            screen.hint(f"(attempt {number} wrote nothing; how it ended: queuectl show {job_id})")
    return 0


def _open(queue: Queue, job_id: str, attempt: int | None, lines: int | None) -> tuple[int, str, Source]:
    """Return the number of an attempt, where its output is, and that file, open.

    Raises:
        NotFound: it has not run, or its output has been removed.
    """
    number = attempt if attempt is not None else queue.get(job_id).attempts
    path = queue.output(job_id, attempt)
    source = Source(path)
    if source.is_missing:
        removed = f"the output of job {job_id}, attempt {number}, has been removed"
        raise NotFound(removed, f"how it ended: queuectl show {job_id}")
    if lines is not None:
        source.skip_to_last(lines)
    return number, path, source


def _show_several(args: Arguments, screen: Screen, queue: Queue) -> int:
    """Show what several jobs wrote, each below a line with its id."""
    if args.follow:
        raise UsageError("-f follows one job", "queuectl logs -f ID")
    failures = Failures(screen)
    chooses = is_bulk(args, "logs")
    ids = ids_of(args, screen, queue, failures, "logs", STATES)
    shown = 0

    def outputs() -> Iterator[tuple[str, int, str, Source]]:
        for job_id in ids:
            try:
                number, path, source = _open(queue, job_id, args.attempt, args.lines)
            except QueueError as error:
                if not chooses:
                    failures.add("id", job_id, error)
                continue
            with source:
                yield job_id, number, path, source

    if screen.is_table:
        for job_id, number, _, source in outputs():
            shown += 1
            header = screen.paint(f"==> {job_id}, attempt {number} <==", "bold")
            screen.line(("\n" if shown > 1 else "") + header)
            show(screen, source)
    else:
        rows = (dict(zip(FIELDS, (*each[:3], read_all(each[3])), strict=True)) for each in outputs())
        shown = emit(screen, rows, (), FIELDS)
    if chooses and shown < len(ids):
        screen.say(f"({shown:,} of {plural(len(ids), 'job')} wrote something that is still there)")
    failures.finish(len(ids) + len(failures), "could not be shown")
    return 0


def follow_job(
    queue: Queue, screen: Screen, job_id: str, *, attempt: int | None = None, lines: int | None = None
) -> Job:
    """Show output as it comes until the job (or the one attempt asked for) has ended; return the job.

    Attempts are announced on stderr. Ctrl-C ends the following, not the job.
    """
    from queuectl.processes.control import Watch

    watch = Watch(queue.layout)
    try:
        return _follow(queue, screen, job_id, watch, attempt, lines)
    except KeyboardInterrupt:
        screen.say(f"Not following any more; {job_id} goes on")
        raise
    finally:
        watch.close()


def _follow(queue: Queue, screen: Screen, job_id: str, watch: Watch, attempt: int | None, lines: int | None) -> Job:
    job = queue.get(job_id)
    number = attempt if attempt is not None else max(job.attempts, 1)
    if job.attempts < number and job.state not in ENDED:
        screen.say(f"{job_id} waits to be started" + ("" if watch.is_open else "; no supervisor is running"))
    while True:
        if job.attempts >= number:
            _follow_attempt(queue, screen, job_id, watch, number, lines)
            job, lines = queue.get(job_id), None
            if attempt is not None:
                return job
            number += 1
        elif job.state in ENDED:
            return job
        else:
            watch.wait(LOOK_S)
            job = queue.get(job_id)


def _follow_attempt(queue: Queue, screen: Screen, job_id: str, watch: Watch, number: int, lines: int | None) -> None:
    """Show what one attempt writes until it is over."""
    printer = Printer(screen)
    if number > 1:
        screen.say(f"--- attempt {number} ---")
    with Source(queue.layout.output_of(job_id, number)) as source:
        if lines is not None:
            source.skip_to_last(lines)
        while True:
            job = queue.get(job_id)  # before its output: what is read after the end is complete
            printer.copy(source)
            if job.attempts > number or job.state != "processing":
                printer.end()
                return
            watch.wait(LOOK_S)
