"""logs: what a job wrote, all of it, its end, or as it comes."""

from __future__ import annotations

import os

from queuectl.cli.attempts import describe_end
from queuectl.cli.home import queue_to_read
from queuectl.cli.ids import Failures
from queuectl.cli.options import CHOSEN, FOLLOW, LINES, NAMED, STATE, command, flag, number
from queuectl.cli.selection import ids_of, is_bulk
from queuectl.cli.table import emit
from queuectl.cli.tail import LOOK_S, Printer, read_all, show
from queuectl.cli.text import safe
from queuectl.client.queue import ENDED
from queuectl.errors import NotFound, QueueError, TimedOut, UsageError
from queuectl.growing_file import GrowingFile
from queuectl.job.job import STATES
from queuectl.units import plural, spell_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.client.job_view import Job
    from queuectl.client.queue import Queue

FIELDS = ("id", "attempt", "path", "output")


@command(
    "logs",
    NAMED,
    flag(*FOLLOW, help="show new output until the job has ended"),
    number("--attempt", help="the output of attempt N (default: the newest)"),
    LINES,
    STATE,
    *CHOSEN,
    examples=(
        "queuectl logs 01JDFQ8Z4T --lines 20",
        "queuectl logs -f 01JDFQ8Z4T",
        "queuectl logs --state dead --since 1h --lines 5",
    ),
)
def run(args: Arguments, screen: Screen) -> int:
    """Show the output of an attempt, or of several jobs one after the other; with -f until the job has ended."""
    as_json = screen.format in ("json", "jsonl")
    if args.follow and as_json:
        raise UsageError("-f shows output as it is written and cannot be used with JSON")
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
            screen.message(safe(describe_end(job, shows_output=True)))
        return 0
    number, path, source = _open(queue, job_id, args.attempt, args.lines)
    with source:
        show(screen, source)
        if not os.path.getsize(path):
            screen.hint(f"(attempt {number} wrote nothing; how it ended: queuectl show {job_id})")
    return 0


def _open(queue: Queue, job_id: str, attempt: int | None, lines: int | None) -> tuple[int, str, GrowingFile]:
    """Return the number of an attempt, where its output is, and that file, open.

    Raises:
        NotFound: it has not run, or its output has been removed.
    """
    number = attempt if attempt is not None else queue.get(job_id).attempts
    path = queue.output(job_id, attempt)
    source = GrowingFile(path)
    if source.is_missing:
        removed = f"the output of job {job_id}, attempt {number}, has been removed"
        raise NotFound(removed, f"how it ended: queuectl show {job_id}")
    if lines is not None:
        source.skip_to_last(lines)
    return number, path, source


def _show_several(args: Arguments, screen: Screen, queue: Queue) -> int:
    """Show what several jobs wrote, each below a line with its id."""
    if args.follow:
        raise UsageError("-f needs exactly one job", "queuectl logs -f ID")
    failures = Failures(screen)
    chooses = is_bulk(args, "logs")
    ids = ids_of(args, screen, queue, failures, "logs", STATES)
    shown = 0

    def outputs() -> Iterator[tuple[str, int, str, GrowingFile]]:
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
    if chooses and not ids:
        screen.message("No job matches")
    elif shown < len(ids) and chooses:
        screen.message(f"({shown:,} of {plural(len(ids), 'job')} have output that has not been removed)")
    failures.finish(shown + len(failures), "could not be shown")
    return 0


def follow_job(
    queue: Queue,
    screen: Screen,
    job_id: str,
    *,
    attempt: int | None = None,
    lines: int | None = None,
    timeout_s: float | None = None,
    on_stderr: bool = False,
) -> Job:
    """Show output as it comes until the job (or the one attempt asked for) has ended; return the job.

    Attempts are announced on stderr, and so is why the job does not run. Ctrl-C ends the following, not the job.

    Raises:
        Conflict: the job is the one inside which we run, whose output would never end.
        TimedOut: it had not ended after `timeout_s` seconds; it goes on.
    """
    queue.refuse_own_job((job_id,))
    following = _Following(queue, screen, job_id, timeout_s, on_stderr=on_stderr)
    try:
        return following.run(attempt, lines)
    except KeyboardInterrupt:
        screen.message(f"Stopped following; {job_id} continues")
        raise
    finally:
        following.close()


class _Following:
    """One job whose output is shown as it comes."""

    def __init__(self, queue: Queue, screen: Screen, job_id: str, timeout_s: float | None, *, on_stderr: bool) -> None:
        from queuectl.cli.waiting import Waiting
        from queuectl.control_client import Watch

        self._queue = queue
        self._screen = screen
        self._id = job_id
        self._timeout_s = timeout_s
        self._on_stderr = on_stderr
        self._monotonic = queue.spool.clock.monotonic
        self._deadline = None if timeout_s is None else self._monotonic() + timeout_s
        self._waiting = Waiting(queue, screen)
        self._watch = Watch(queue.layout)

    def close(self) -> None:
        """Listen to the supervisor no more."""
        self._watch.close()

    def run(self, attempt: int | None, lines: int | None) -> Job:
        """Show one attempt after the other; `attempt`: only this one."""
        job = self._queue.get(self._id)
        number = attempt if attempt is not None else max(job.attempts, 1)
        while True:
            if job.attempts >= number:
                self._show_attempt(number, lines)
                job, lines = self._queue.get(self._id), None
                if attempt is not None:
                    return job
                number += 1
            elif job.state in ENDED:
                return job
            else:
                self._waiting.look([job])
                job = self._pause(job)

    def _show_attempt(self, number: int, lines: int | None) -> None:
        """Show what one attempt writes until it is over."""
        printer = Printer(self._screen, on_stderr=self._on_stderr)
        if number > 1:
            self._screen.message(f"--- attempt {number} ---")

        def restarted(words: str) -> None:
            self._screen.message(f"--- the output of {self._id} {words}: showing it from its new start ---")

        with GrowingFile(self._queue.layout.output_of(self._id, number), restarted) as source:
            if lines is not None:
                source.skip_to_last(lines)
            job = self._queue.get(self._id)  # before its output: what is read after the end is complete
            while True:
                printer.copy(source)
                if job.attempts > number or job.state != "processing":
                    printer.end()
                    return
                self._waiting.look([job])
                job = self._pause(job)

    def _pause(self, job: Job) -> Job:
        """Wait until something may have changed and return the job as it is then."""
        pause_s = LOOK_S if self._deadline is None else min(LOOK_S, self._deadline - self._monotonic())
        if pause_s <= 0:
            why = self._waiting.explain([job])
            raise TimedOut(
                f"job {self._id} had not ended after {spell_duration(self._timeout_s or 0)}; it continues", why
            )
        self._watch.wait(pause_s)
        return self._queue.get(self._id)
