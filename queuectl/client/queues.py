"""queues: the queues of a home, and their pauses: the part of Queue that is about queues as a whole.

Owns:       rows_of, the one shape of a queue in JSON.
Guarantees: a pause survives restarts and needs no supervisor; jobs that run go on.
Fails with: UsageError (no name of a queue).
Source:     spool/FORMAT.md § Pauses.
"""

from __future__ import annotations

from contextlib import suppress

from queuectl.clock import END_S, spell
from queuectl.errors import UsageError
from queuectl.ids import ID_GRAMMAR, is_id
from queuectl.job.job import STATES
from queuectl.scheduling.limits import ALL_PAUSED
from queuectl.units import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from queuectl.client.filters import Duration, When
    from queuectl.config.settings import Settings
    from queuectl.index.reader import Reader
    from queuectl.spool.layout import Layout
    from queuectl.spool.pauses import Pause
    from queuectl.spool.spool import Spool

    Counts = Mapping[str, Mapping[str, int]]

NO_JOBS = dict.fromkeys(STATES, 0)


class Queues:
    """The part of Queue that is about queues and batches as a whole."""

    layout: Layout
    settings: Settings
    spool: Spool

    if TYPE_CHECKING:

        def complete_reader(self) -> Reader:
            """See Queue."""

    def pause(
        self,
        queue: str | None = None,
        *,
        duration: Duration = None,
        until: When = None,
        running: bool = False,
    ) -> bool:
        """Let no job of a queue start until `resume`; None stands for all queues. What runs goes on.

        Args:
            duration, until: it ends by itself after this time, or at this instant.
            running: stop what runs too, with SIGSTOP, and continue it when the pause ends. The time in between does not
                count for its timeout. Returns once that is done, if a supervisor runs.

        Returns:
            False when it was paused like this already.

        Raises:
            UsageError: that is no name of a queue; the pause would have ended already.

        Crash: it is paused or not.
        """
        from queuectl.spool import pauses

        name, now = _name(queue), self.spool.clock.now()
        changed = pauses.pause(self.spool, name, end_of_pause(duration, until, now), stops_running=running)
        if running:
            self.announce_pauses()
        return changed

    def resume(self, queue: str | None = None) -> bool:
        """End the pause of a queue; None stands for the pause of all queues, so one that is paused itself stays paused.

        Returns:
            False when it was not paused.

        Raises:
            UsageError: that is no name of a queue.

        Crash: it is paused or not.
        """
        from queuectl.spool import pauses

        name = _name(queue)
        pause = pauses.read(self.spool).get(name)
        changed = pauses.resume(self.spool, name)
        if pause is not None and pause.stops_running:
            self.announce_pauses()
        return changed

    def announce_pauses(self) -> None:
        """Have what runs stopped or continued now; without a supervisor its workers notice it within a second."""
        from queuectl import control_client
        from queuectl.errors import NoSupervisor

        with suppress(NoSupervisor):
            control_client.ask(self.layout, {"do": "pauses"})

    def paused(self) -> dict[str | None, float]:
        """Return since when each paused queue is, in seconds since 1970; None, which comes first, stands for all queues."""
        from queuectl.spool import pauses

        found = pauses.read(self.spool)
        return {None if name == ALL_PAUSED else name: found[name].since for name in sorted(found, key=_all_first)}

    def queues(self) -> list[dict[str, Any]]:
        """Return each queue that has jobs, limits or a pause as a dictionary: how many jobs wait and run, and its limits."""
        from queuectl.spool import pauses

        with self.complete_reader() as reader:
            counts, oldest = reader.by_queue(), reader.oldest_by_queue(self.spool.clock.now())
        return [*rows_of(counts, oldest, self.settings, pauses.read(self.spool))]

    def batches(self) -> list[dict[str, Any]]:
        """Return each batch that has jobs as a dictionary, unfinished ones first: counts by state, and progress."""
        from queuectl.client import batches

        with self.complete_reader() as reader:
            return [*batches.rows_of(self.spool, reader)]

    def batch(self, name: str) -> dict[str, Any]:
        """Return one batch: also when its jobs began and ended, when the rest will have ended, and its completion job.

        Raises:
            NotFound: no job has it. UsageError: that is no name of a batch.
        """
        from queuectl.client import batches

        with self.complete_reader() as reader:
            return batches.detail_of(self.spool, reader, name)


def rows_of(
    counts: Counts, oldest: Mapping[str, float], settings: Settings, paused: Mapping[str, Pause]
) -> Iterator[dict[str, Any]]:
    """Yield each queue as JSON has it, by name.

    Args:
        counts, oldest: Reader.by_queue and Reader.oldest_by_queue.
        paused: spool.pauses.read.
    """
    for name in sorted({*counts, *settings.queues, *(name for name in paused if name != ALL_PAUSED)}):
        found, limits = counts.get(name, {}), settings.queues.get(name, {})
        yield {
            "name": name,
            "waiting": found.get("pending", 0) + found.get("failed", 0),
            "running": found.get("processing", 0),
            "counts": {**NO_JOBS, **found},
            "concurrency": limits.get("concurrency"),
            "rate": limits.get("rate"),
            "paused": name in paused or ALL_PAUSED in paused,
            **_pause_of(paused.get(name)),
            "oldest_waiting_at": spell(oldest[name]) if name in oldest else None,
        }


def of_all_queues(paused: Mapping[str, Pause]) -> dict[str, Any]:
    """Return the pause of all queues as JSON has it."""
    return _pause_of(paused.get(ALL_PAUSED))


def _pause_of(pause: Pause | None) -> dict[str, Any]:
    return {
        "paused_at": None if pause is None else spell(pause.since),
        "paused_until": None if pause is None or pause.until is None else spell(pause.until),
        "stops_running": pause is not None and pause.stops_running,
    }


def end_of_pause(duration: Duration, until: When, now: float, label: str = "") -> float | None:
    """Return when a pause ends by itself; None: never.

    Args:
        label: what the caller calls the one that is given.

    Raises:
        UsageError: both are given, one cannot be read, or that is in the past.
    """
    if duration is None and until is None:
        return None
    if duration is not None and until is not None:
        raise UsageError("a pause lasts for a time or until an instant, not both")
    from queuectl.client.arguments import instant, seconds

    name = label or ('"until"' if duration is None else '"duration"')
    try:
        end = instant(until, now) if duration is None else now + seconds(duration)
        spell(end)
    except ValueError as error:
        raise UsageError(f"{name} must be {error}") from None
    if not now < end < END_S:
        raise UsageError(f"a pause must end in the future, not {quote(until if duration is None else duration)}")
    return end


def _all_first(name: str) -> tuple[bool, str]:
    return name != ALL_PAUSED, name


def _name(queue: str | None) -> str:
    """Return the name of the file of a pause."""
    if queue is None:
        return ALL_PAUSED
    if not isinstance(queue, str) or not is_id(queue):
        raise UsageError(f'"queue" must be the name of a queue, not {quote(queue)}', f"a name is {ID_GRAMMAR}")
    return queue
