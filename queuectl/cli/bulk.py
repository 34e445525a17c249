"""bulk: many jobs from a file, acknowledged together.

Guarantees: a line that is no job does not keep the others out; each is told with its number. No id is printed before
            its job is durable.
Fails with: the error itself when there was one job only, else PartlyFailed.
"""

from __future__ import annotations

from collections import deque

from queuectl.cli.ids import Failures
from queuectl.cli.jobs import read_lines
from queuectl.cli.progress import Progress
from queuectl.cli.screen import to_json
from queuectl.cli.text import plural
from queuectl.errors import InvalidData, QueueError
from queuectl.fields import misspelt, validate
from queuectl.units import spell_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.jobs import Template
    from queuectl.cli.screen import Screen
    from queuectl.client import Queue

    Fields = dict[str, Any]

REFUSED = "were refused"


class Intake:
    """The jobs of one file on their way into the queue."""

    def __init__(self, screen: Screen, template: Template, file: BinaryIO, *, commands: bool) -> None:
        self._screen = screen
        self._template = template
        self._lines = read_lines(file, commands=commands)
        self._under_way: deque[int] = deque()  # line numbers of jobs handed on and not yet answered
        self.refused = Failures(screen)
        self.ids: list[str] = []

    def jobs(self) -> Iterator[Fields]:
        """Yield the jobs, setting aside what is none."""
        for number, found in self._lines:
            try:
                if isinstance(found, InvalidData):
                    raise found
                for field, meant in misspelt(found).items():
                    self._screen.warn(
                        f'{f"line {number}: " if number else ""}unknown field "{field}"; did you mean "{meant}"?'
                    )
                job = self._template.job(found)
            except InvalidData as error:
                self.refused.add("line", number, error)
                continue
            self._under_way.append(number)
            yield job

    def answer(self, result: str | QueueError) -> None:
        """Take what became of the job that was handed on first: its id, or why it was refused."""
        number = self._under_way.popleft()
        if isinstance(result, QueueError):
            self.refused.add("line", number, result)
        else:
            self.ids.append(result)

    def finish(self) -> None:
        """Raise what the refusals amount to."""
        self.refused.finish(len(self.ids) + len(self.refused), REFUSED)


def enqueue_file(args: Arguments, screen: Screen, queue: Queue, template: Template, file: BinaryIO) -> int:
    """Put the jobs of a file into the queue and return the exit code."""
    intake = Intake(screen, template, file, commands=args.lines)
    if args.dry_run:
        return _check(intake, screen)
    with Progress(screen, "Queueing") as progress:
        try:
            for result in queue.enqueue_many(intake.jobs()):
                intake.answer(result)
                progress.step()
        except KeyboardInterrupt:
            progress.clear()
            screen.say(f"Stopped; {plural(len(intake.ids), 'job')} may be in the queue: queuectl list --sort created")
            raise
    screen.result({"action": "enqueue", "ids": intake.ids, "refused": intake.refused.as_dicts()}, intake.ids)
    refused = f" ({len(intake.refused):,} refused)" if intake.refused else ""
    if intake.ids or not intake.refused:
        screen.say(f"Queued {plural(len(intake.ids), 'job')} in {spell_duration(progress.elapsed_s)}{refused}")
    if intake.ids and (args.wait or args.propagate):
        from queuectl.cli.commands.wait import await_jobs

        code = await_jobs(queue, screen, intake.ids, timeout_s=None, propagate=args.propagate)
        if code:
            return code
    intake.finish()
    return 0


def _check(intake: Intake, screen: Screen) -> int:
    """Show the jobs as they would be stored, one a line."""
    for job in intake.jobs():
        try:
            validate(job)
        except InvalidData as error:
            intake.answer(error)
        else:
            intake.answer("")
            screen.line(to_json(job))
    screen.say(f"{plural(len(intake.ids), 'valid job')}; nothing was put into the queue")
    intake.finish()
    return 0
