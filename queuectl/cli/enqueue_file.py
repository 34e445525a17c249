"""enqueue_file: many jobs from a file, acknowledged in groups.

Guarantees: a line that is no job does not keep the others out; each is told with its number. No id is printed before
            its job is durable. Memory does not grow with the file, but with its different lines where `--resume` is given:
            then typing the same again puts in what is missing and nothing twice.
Fails with: the error itself when there was one job only, else PartlyFailed.
"""

from __future__ import annotations

from collections import deque

from queuectl.cli.ids import Failures
from queuectl.cli.job_input import read_lines
from queuectl.cli.job_options import wait_timeout, warn_of_full_disk
from queuectl.cli.progress import Progress
from queuectl.cli.terminal import to_json
from queuectl.errors import Conflict, InvalidData, JobFailed, QueueError, TimedOut
from queuectl.units import plural, spell_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any, BinaryIO

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.job_input import Found
    from queuectl.cli.job_options import Template
    from queuectl.cli.resume import Resumed
    from queuectl.cli.terminal import Screen
    from queuectl.client.job_view import Job
    from queuectl.client.queue import Queue

    Fields = dict[str, Any]

REFUSED = "were refused"
BEGINNING = '{"action": "enqueue", "ids": ['


class Intake:
    """The jobs of one file on their way into the queue."""

    def __init__(
        self,
        args: Arguments,
        screen: Screen,
        queue: Queue,
        template: Template,
        lines: Iterable[Found | None],
        kind: str,
    ) -> None:
        self._screen = screen
        self._template = template
        self._lines = lines
        self._kind = kind
        self._resumed: Resumed | None = None
        if args.resume is not None:
            from queuectl.cli.resume import Resumed

            self._resumed = Resumed(queue, args.resume, args)
        self._collects = args.collect
        self._keeps_ids = bool(args.collect or args.wait or args.propagate or args.wait_timeout is not None)
        self._under_way: deque[tuple[int, Fields]] = deque()  # line numbers, and jobs handed on and not yet answered
        self._printed = 0
        self._last = ""
        self.refused = Failures(screen)
        self.queued = self.known = 0
        self.ids: list[str] = []  # only where they are needed afterwards

    def jobs(self) -> Iterator[Fields | None]:
        """Yield the jobs, setting aside what is none; None where more has yet to be written."""
        for line in self._lines:
            if line is None:
                yield None
                self._screen.flush()  # the ids of what has come: a writer may wait for them before it writes more
                continue
            number, found = line
            try:
                if isinstance(found, InvalidData):
                    raise found
                job = self._template.job(found)
                for warning in self._template.warnings():
                    self._screen.warn(f"{f'line {number}: ' if number else ''}{warning}")
                if self._resumed is not None and "id" not in job:
                    job["id"] = self._resumed.id_of(found, job)
            except InvalidData as error:
                self.refused.add(self._kind, number, error)
                continue
            self._under_way.append((number, job))
            yield job

    def answer(self, result: str | QueueError) -> str | None:
        """Take what became of the job that was handed on first, its id or why it was refused; return its id."""
        number, job = self._under_way.popleft()
        if isinstance(result, Conflict) and self._resumed is not None:
            conflict = self._resumed.conflict(str(job["id"]), job, result)
            if conflict is None:
                self.known += 1
                return str(job["id"])
            result = conflict
        if isinstance(result, QueueError):
            self.refused.add(self._kind, number, result)
            return None
        self.queued += 1
        return result

    def print(self, job_id: str) -> None:
        """Write one id: a line of its own, or the next of the list in the one object that JSON is."""
        if self._keeps_ids:
            self.ids.append(job_id)
        if self._collects:
            return
        if self._screen.format in ("json", "jsonl"):
            self._screen.write((", " if self._printed else BEGINNING) + f'"{job_id}"')
        else:
            self._screen.line(job_id)
        self._printed += 1
        self._last = job_id

    @property
    def has_begun(self) -> bool:
        """Ids have been written."""
        return self._printed > 0

    def finish(self, jobs: Sequence[Job] | None = None, *, interrupted: bool = False) -> None:
        """End the object; `jobs` are those that were waited for, as they are now; `interrupted` by Ctrl-C."""
        if self._screen.format in ("json", "jsonl") and not self._collects:
            counts: dict[str, Any] = {} if self._printed != 1 else {"id": self._last}
            counts |= {"queued": self.queued, "known": self.known, "refused": self.refused.as_dicts()}
            if interrupted:
                counts["interrupted"] = True
            if jobs is not None:
                from queuectl.client.job_view import details

                counts["jobs"] = details(jobs)
            self._screen.write(("" if self._printed else BEGINNING) + "], " + to_json(counts)[1:] + "\n")

    def raise_refusals(self) -> None:
        """Raise what they amount to."""
        self.refused.finish(self.queued + self.known + len(self.refused), REFUSED, is_listed=True)


def enqueue_file(args: Arguments, screen: Screen, queue: Queue, template: Template, file: BinaryIO) -> int:
    """Put the jobs of a file into the queue and return the exit code."""
    args.collect = False
    return enqueue_lines(args, screen, queue, template, read_lines(file, commands=args.lines))


def enqueue_lines(
    args: Arguments,
    screen: Screen,
    queue: Queue,
    template: Template,
    lines: Iterable[Found | None],
    *,
    kind: str = "line",
    shown: int | None = None,
) -> int:
    """Put jobs into the queue as they come, and return the exit code.

    Args:
        lines: each with its number in the input.
        kind: what an error calls it: "line" or "item".
        shown: with --dry-run in a table, how many commands are printed, in place of all jobs.
    """
    wait_timeout(args)  # a mistake in it is said before anything is done
    intake = Intake(args, screen, queue, template, lines, kind)
    if args.dry_run:
        return _check(intake, screen, queue, shown if screen.is_table else None)
    with Progress(screen, "Queueing") as progress:
        try:
            for result in queue.submit_many(intake.jobs()):
                job_id = intake.answer(result)
                if job_id is not None:
                    intake.print(job_id)
                progress.step()
        except KeyboardInterrupt:
            progress.clear()
            again = "; run the same command again to add the rest" if args.resume else ""
            done = plural(intake.queued + intake.known, "job")
            screen.message(
                f"Stopped; {done} and possibly some more are in the queue{again}: queuectl list --sort created"
            )
            intake.finish(interrupted=True)
            raise
        except QueueError:
            if intake.has_begun:
                intake.finish()
            raise
    if intake.queued:
        warn_of_full_disk(screen, queue)
    elif args.on_batch_done is not None and not intake.known:
        screen.warn("no job was added, so the batch does not end and the job of --on-batch-done is not added")
    waits = bool(intake.ids)
    if not (waits and screen.format == "json"):  # else the one document ends with the waiting
        intake.finish()
    notes = [f"{intake.known:,} existed already"] if intake.known else []
    notes += [f"{len(intake.refused):,} refused"] if intake.refused else []
    if intake.queued or intake.known or not intake.refused:
        note = f" ({', '.join(notes)})" if notes else ""
        screen.message(f"Queued {plural(intake.queued, 'job')} in {spell_duration(progress.elapsed_s)}{note}")
    code = _wait(args, screen, queue, intake) if waits else 0
    if not code:
        intake.raise_refusals()
    return code


def _wait(args: Arguments, screen: Screen, queue: Queue, intake: Intake) -> int:
    """Wait for the jobs, with --collect print what they wrote, and return the exit code."""
    from queuectl.cli.commands.results import collect
    from queuectl.cli.commands.wait import await_jobs

    intake.refused.announce()  # not after hours of waiting
    error: JobFailed | None = None
    code = 0
    try:
        code = await_jobs(
            queue,
            screen,
            intake.ids,
            timeout_s=wait_timeout(args),
            propagate=args.propagate,
            show=None if args.collect else lambda _screen, jobs: intake.finish(jobs),
            prints_ends=screen.format == "jsonl" and not args.collect,
        )
    except JobFailed as failed:
        error = failed
    except (KeyboardInterrupt, TimedOut):
        if args.collect and args.batch:
            screen.message(f"Their output, later: queuectl logs --batch {args.batch} --sort=-created")
        raise
    if args.collect:
        collect(screen, queue, intake.ids)
    if error is not None:
        raise error
    return code


def _check(intake: Intake, screen: Screen, queue: Queue, shown: int | None) -> int:
    """Show the jobs as they would be stored, one a line; with --json in one object, with what would be refused.

    Args:
        shown: print only so many, and only their commands.
    """
    from shlex import join

    from queuectl.cli.text import safe

    is_json = screen.format in ("json", "jsonl")
    begin = '{"action": "enqueue", "dry_run": true, "jobs": ['
    interrupted: dict[str, Any] = {}
    known: set[str] = set()
    keys: set[str] = set()
    try:
        for job in intake.jobs():
            if job is None:
                continue
            try:
                queue.check(job, known)
                queue.refuse_taken(job, known, keys)
            except (InvalidData, Conflict) as error:
                intake.answer(error)
            else:
                known.add(job.get("id", ""))
                keys.add(job.get("unique_key", ""))
                intake.answer("")
                if is_json:
                    screen.write((", " if intake.queued > 1 else begin) + to_json(job))
                elif shown is None:
                    screen.line(to_json(job))
                elif intake.queued <= shown:
                    screen.line(safe(job["command"] if "command" in job else join(job["argv"])))
    except KeyboardInterrupt:
        interrupted = {"interrupted": True}
        raise
    finally:
        if is_json:
            rest = to_json({"refused": intake.refused.as_dicts(), **interrupted})
            screen.write(f"{'' if intake.queued else begin}], {rest[1:]}\n")
    if shown is not None and intake.queued > shown:
        screen.message(f"... {intake.queued - shown:,} more")
    there = f" ({intake.known:,} existed already)" if intake.known else ""
    screen.message(f"{plural(intake.queued, 'valid job')}{there}; nothing was added to the queue")
    intake.raise_refusals()
    return 0
