"""logs: what a job wrote, all of it, its end, or as it comes."""

from __future__ import annotations

import os

from queuectl.cli.attempts import describe_end
from queuectl.cli.home import queue_to_read
from queuectl.cli.ids import Failures
from queuectl.cli.options import CHOSEN, FOLLOW, LINES, NAMED, STATE, command, flag, number
from queuectl.cli.selection import ids_of, is_bulk
from queuectl.cli.table import emit
from queuectl.cli.tail import LOOK_S, PrefixPrinter, Printer, read_all, show
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
PREFIX_COLOURS = ("cyan", "yellow", "green", "blue")
WAITING_S = 1.0  # between two looks at a job that waits, among several that are followed


@command(
    "logs",
    NAMED,
    flag(*FOLLOW, help="show new output until the job has ended"),
    number("--attempt", help="the output of attempt N (default: the newest)"),
    LINES,
    flag("--no-prefix", help="show the output of several jobs without the name or id before each line"),
    STATE,
    *CHOSEN,
    examples=(
        "queuectl logs 01JDFQ8Z4T --lines 20",
        "queuectl logs -f 01JDFQ8Z4T",
        "queuectl logs -f --queue default",
        "queuectl logs --state dead --since 1h --lines 5",
    ),
)
def run(args: Arguments, screen: Screen) -> int:
    """Show the output of an attempt, or of several jobs with a prefix on each line; with -f until they have ended."""
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
    """Show what several jobs wrote, one after the other or as it comes, each line behind the name or id of its job."""
    failures = Failures(screen)
    chooses = is_bulk(args, "logs")
    ids = ids_of(args, screen, queue, failures, "logs", STATES)
    if args.follow:
        return _follow_several(args, screen, queue, ids, failures, chooses=chooses)
    shown = 0

    def outputs() -> Iterator[tuple[Job, int, str, GrowingFile]]:
        for job_id in ids:
            try:
                job = queue.get(job_id)
                number, path, source = _open(queue, job_id, args.attempt, args.lines)
            except QueueError as error:
                if not chooses:
                    failures.add("id", job_id, error)
                continue
            with source:
                yield job, number, path, source

    if screen.is_table:
        printers = Printers(screen, has_prefix=not args.no_prefix)
        for job, _, _, source in outputs():
            shown += 1
            printer = printers.of(job)
            printer.copy(source)
            printer.end()
    else:
        rows = (dict(zip(FIELDS, (job.id, *rest, read_all(source)), strict=True)) for job, *rest, source in outputs())
        shown = emit(screen, rows, (), FIELDS)
    if chooses and not ids:
        screen.message("No job matches")
    elif shown < len(ids) and chooses:
        screen.message(f"({shown:,} of {plural(len(ids), 'job')} have output that has not been removed)")
    failures.finish(shown + len(failures), "could not be shown")
    return 0


class Printers:
    """Makes a printer for each of several jobs; the prefix is the name of the job, or its id where another has that name."""

    def __init__(self, screen: Screen, *, has_prefix: bool) -> None:
        self._screen = screen
        self._has_prefix = has_prefix
        self._taken: dict[str, str] = {}

    def of(self, job: Job) -> Printer | PrefixPrinter:
        """Return the printer of a job's output."""
        if not self._has_prefix:
            return Printer(self._screen)
        label = safe(str(job.fields.get("name", job.id)))
        if self._taken.setdefault(label, job.id) != job.id:
            label = job.id
        colour = PREFIX_COLOURS[len(self._taken) % len(PREFIX_COLOURS)]
        return PrefixPrinter(self._screen, self._screen.paint(f"{label} |", colour) + " ")


def _follow_several(
    args: Arguments, screen: Screen, queue: Queue, ids: list[str], failures: Failures, *, chooses: bool
) -> int:
    """Show what several jobs write as it comes, until all have ended."""
    from queuectl.control_client import Watch

    if args.attempt is not None:
        raise UsageError("-f with --attempt needs exactly one job", "queuectl logs -f ID --attempt N")
    queue.refuse_own_job(ids)
    printers = Printers(screen, has_prefix=not args.no_prefix)
    followed = {job_id: _Followed(queue, job_id, printers, args.lines) for job_id in ids}
    watch, monotonic = Watch(queue.layout), queue.spool.clock.monotonic
    try:
        while followed:
            now = monotonic()
            for job_id, each in [*followed.items()]:
                try:
                    ended = each.look(now)
                except QueueError as error:
                    failures.add("id", job_id, error)
                    del followed[job_id]
                    continue
                if ended is not None:
                    del followed[job_id]
                    screen.message(safe(describe_end(ended)))
            if followed:
                watch.wait(LOOK_S)
    except KeyboardInterrupt:
        screen.message(
            f"Stopped following; {plural(len(followed), 'job')} {'continues' if len(followed) == 1 else 'continue'}"
        )
        raise
    finally:
        watch.close()
        for each in followed.values():
            each.close()
    if chooses and not ids:
        screen.message("No job matches")
    failures.finish(len(ids) + len(failures), "could not be shown")
    return 0


class _Followed:
    """One of several jobs whose output is shown as it comes. A job that waits is looked at every WAITING_S only."""

    def __init__(self, queue: Queue, job_id: str, printers: Printers, lines: int | None) -> None:
        self._queue = queue
        self._id = job_id
        self._printers = printers
        self._lines = lines
        self._printer: Printer | PrefixPrinter | None = None
        self._number = 0
        self._source: GrowingFile | None = None
        self._look_at = 0.0

    def close(self) -> None:
        """Give its file up."""
        if self._source is not None:
            self._source.close()
        self._source = None

    def look(self, now: float) -> Job | None:
        """Write what was added; return the job once it has ended and all is written."""
        if now < self._look_at:
            return None
        job = self._queue.get(self._id)  # before its output: what is read after the end is complete
        if self._printer is None:
            self._printer = self._printers.of(job)
            self._number = max(job.attempts, 1)
        while job.attempts >= self._number:
            if self._source is None:
                self._source = GrowingFile(self._queue.layout.output_of(self._id, self._number))
                if self._lines is not None:
                    self._source.skip_to_last(self._lines)
                self._lines = None
            self._printer.copy(self._source)
            if job.attempts == self._number and job.state == "processing":
                return None
            self._printer.end()
            self.close()
            self._number += 1
        self._look_at = now + WAITING_S
        return job if job.state in ENDED else None


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
