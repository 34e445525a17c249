"""logs: what a job wrote, all of it, its end, or as it comes."""

from __future__ import annotations

from queuectl.cli.follow import LOOK_S, Printer, Source, read_all, show
from queuectl.cli.home import queue_to_read
from queuectl.client import ENDED
from queuectl.errors import NotFound, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.screen import Screen
    from queuectl.client import Queue
    from queuectl.job_view import Job
    from queuectl.processes.control import Watch


def run(args: Arguments, screen: Screen) -> int:
    """Show the output of an attempt; with -f until the job has ended."""
    as_json = screen.format in ("json", "jsonl")
    if args.follow and as_json:
        raise UsageError("-f shows output as it comes; it does not go with JSON")
    if args.lines is not None and args.lines < 0:
        raise UsageError(f"--lines must be 0 or more, not {args.lines}")
    queue = queue_to_read(args, screen)
    job_id = queue.resolve(args.id)
    if args.follow:
        job = follow_job(queue, screen, job_id, attempt=args.attempt, lines=args.lines)
        if job.state in ENDED:
            from queuectl.cli.commands.wait import describe_end

            screen.say(describe_end(job))
        return 0
    number = args.attempt if args.attempt is not None else queue.get(job_id).attempts
    path = queue.output(job_id, args.attempt)
    with Source(path) as source:
        if source.is_missing:
            raise NotFound(f"the output of job {job_id}, attempt {number}, has been removed")
        if args.lines is not None:
            source.skip_to_last(args.lines)
        if as_json:
            screen.json({"id": job_id, "attempt": number, "path": path, "output": read_all(source)})
        else:
            show(screen, source)
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
