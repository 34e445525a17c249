"""waiting: why nothing moves, for a person who waits for jobs: one line on stderr, and another when the reason changes.

Guarantees: nothing is said while one of the jobs runs, nor before SAY_AFTER_S; a reason that often passes by itself is said
            only when it has lasted for BRIEF_S. Nobody is asked more than once in ASK_EVERY_S.
"""

from __future__ import annotations

from queuectl.cli.text import safe
from queuectl.client.why import read_supervision, reasons_of
from queuectl.errors import QueueError
from queuectl.scheduling.waits_for import OWN, Reason, Why
from queuectl.units import plural, spell_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from queuectl.cli.terminal import Screen
    from queuectl.client.queue import Queue
    from queuectl.job.job import Job

ASK_EVERY_S = 1.0
SAY_AFTER_S = 0.2
BRIEF_S = 1.5
READ_AGAIN = 100
BRIEF = frozenset((Why.WORKERS_BUSY, Why.STOPPING, Why.RETRY, Why.NO_ANSWER))


class Waiting:
    """What is said while jobs are waited for.

    Args:
        clear: called before a line is written, to wipe what else is shown on the terminal.
    """

    def __init__(self, queue: Queue, screen: Screen, clear: Callable[[], None] = lambda: None) -> None:
        self._queue = queue
        self._screen = screen
        self._clear = clear
        self._monotonic = queue.spool.clock.monotonic
        self._began = self._monotonic()
        self._ask_at = 0.0
        self._reason: tuple[object, ...] = ()  # what the line is about, leaving out what changes all the time
        self._since = self._began
        self._said: tuple[object, ...] = ()
        self.line = ""

    def look(self, jobs: Sequence[Job]) -> None:
        """Say why none of these jobs, which have not ended, runs, if that is to be said now."""
        now = self._monotonic()
        if self._screen.is_quiet or now < self._began + SAY_AFTER_S:
            return
        if now >= self._ask_at:
            self._ask_at = now + ASK_EVERY_S
            self._find_out(jobs, now)
        if self._reason == self._said:
            return
        if not self._reason:
            self._said = ()
            if len(jobs) == 1:
                self._write(f"{jobs[0].id} has been started" if jobs[0].state == "processing" else "")
        elif not BRIEF.intersection(self._reason) or now - self._since >= BRIEF_S:
            self._find_out(self._read_again(jobs), now)  # one may have been started or have ended since it was read
            if self._reason:
                self._said = self._reason
                self._write(self.line)

    def _read_again(self, jobs: Sequence[Job]) -> list[Job]:
        spool, read = self._queue.spool, []
        for job in jobs[:READ_AGAIN]:
            try:
                read.append(spool.read(job.id))
            except QueueError:
                read.append(job)
        return [*read, *jobs[READ_AGAIN:]]

    def explain(self, jobs: Sequence[Job]) -> str | None:
        """Return the line, for an error that ends the waiting; None when there is nothing to explain, or it has been said."""
        if self._said:
            return None
        self._find_out(jobs, self._monotonic())
        return self.line or None

    def _write(self, text: str) -> None:
        if text:
            self._clear()
            self._screen.message(safe(text))

    def _find_out(self, jobs: Sequence[Job], now: float) -> None:
        reason, self.line = self._reason_of(jobs)
        if reason != self._reason:
            self._reason, self._since = reason, now

    def _reason_of(self, jobs: Sequence[Job]) -> tuple[tuple[object, ...], str]:
        spool = self._queue.spool
        supervision, wall = read_supervision(spool), spool.clock.now()
        found = [reasons_of(spool, job, supervision) for job in jobs]
        if not jobs or not all(found):  # one of them runs, has ended, or is about to be started
            return (), ""
        general = next((r for reasons in found for r in reasons if r.why not in OWN), None)
        own = [reasons[0] for reasons in found if reasons[0].why in OWN]
        if len(jobs) == 1:
            return _of_one(jobs[0], own, general, wall)
        parts = [_with_hint(general.words(wall), general, "")] if general is not None else []
        parts += _of_several(own, wall, is_all=len(own) == len(jobs) and general is None)
        kinds = sorted({reason.why.value for reason in own})
        return (
            general and general.why,
            *map(Why, kinds),
        ), f"{plural(len(jobs), 'job')} waiting to be started: {'; '.join(parts)}"


def _of_one(job: Job, own: list[Reason], general: Reason | None, now: float) -> tuple[tuple[object, ...], str]:
    reasons = [*own, *([general] if general is not None else [])]
    parts = [_with_hint(reason.words(now), reason, job.id) for reason in reasons]
    key = (*(reason.why for reason in reasons), *(reason.until for reason in own))
    verb = "does not continue" if job.state in ("processing", "failed") else "is waiting to be started"
    return key, f"{job.id} {verb}: {'; '.join(parts)}"


def _of_several(own: list[Reason], now: float, *, is_all: bool) -> list[str]:
    """Say how many of the jobs are held, scheduled, wait for a retry."""
    words = {
        Why.HELD: "held",
        Why.SCHEDULED: "scheduled to run later",
        Why.RETRY: "failed and waiting for the next attempt",
        Why.SNOOZED: "waiting because they asked to run later",
        Why.AFTER: "waiting for other jobs to end",
        Why.PAUSED: "in a paused queue",
        Why.STOPPED: "stopped",
        Why.LIMIT: "waiting for a lock, a resource or a place in the queue",
    }
    parts = []
    for why, text in words.items():
        some = [reason for reason in own if reason.why is why]
        if not some:
            continue
        first = min((reason.until for reason in some if reason.until is not None), default=None)
        when = "" if first is None else f", the first in {spell_duration(max(0.0, first - now))}"
        whose = "all are" if is_all and len(some) == len(own) else f"{len(some):,} {'is' if len(some) == 1 else 'are'}"
        parts.append(f"{whose} {text}{when}")
    return parts


def _with_hint(words: str, reason: Reason, job_id: str) -> str:
    hint = reason.hint.format(id=job_id or "ID")
    return f"{words} ({hint})" if hint else words
