"""queues: the queues of a home, and their pauses: the part of Queue that is about queues as a whole.

Owns:       rows_of, the one shape of a queue in JSON.
Guarantees: a pause survives restarts and needs no supervisor; jobs that run go on.
Fails with: UsageError (no name of a queue).
Source:     spool/FORMAT.md § Pauses.
"""

from __future__ import annotations

from queuectl.clock import spell
from queuectl.errors import UsageError
from queuectl.ids import ID_GRAMMAR, is_id
from queuectl.job.job import STATES
from queuectl.scheduling.limits import ALL_PAUSED
from queuectl.units import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from queuectl.config.settings import Settings
    from queuectl.index.reader import Reader
    from queuectl.spool.spool import Spool

    Counts = Mapping[str, Mapping[str, int]]

NO_JOBS = dict.fromkeys(STATES, 0)


class Queues:
    """The part of Queue that is about queues as a whole."""

    settings: Settings
    spool: Spool

    if TYPE_CHECKING:

        def reader(self) -> Reader:
            """See Queue."""

    def pause(self, queue: str | None = None) -> bool:
        """Let no job of a queue start until `resume`; None stands for all queues. What runs goes on.

        Returns:
            False when it was paused already.

        Raises:
            UsageError: that is no name of a queue.

        Crash: it is paused or not.
        """
        from queuectl.spool import pauses

        return pauses.pause(self.spool, _name(queue))

    def resume(self, queue: str | None = None) -> bool:
        """End the pause of a queue; None stands for the pause of all queues, so one that is paused itself stays paused.

        Returns:
            False when it was not paused.

        Raises:
            UsageError: that is no name of a queue.

        Crash: it is paused or not.
        """
        from queuectl.spool import pauses

        return pauses.resume(self.spool, _name(queue))

    def paused(self) -> dict[str | None, float]:
        """Return since when each paused queue is, in seconds since 1970; None, which comes first, stands for all queues."""
        from queuectl.spool import pauses

        since = pauses.since(self.spool)
        return {None if name == ALL_PAUSED else name: since[name] for name in sorted(since, key=_all_first)}

    def queues(self) -> list[dict[str, Any]]:
        """Return each queue that has jobs, limits or a pause as a dictionary: how many jobs wait and run, and its limits."""
        from queuectl.spool import pauses

        with self.reader() as reader:
            counts, oldest = reader.by_queue(), reader.oldest_by_queue(self.spool.clock.now())
        return [*rows_of(counts, oldest, self.settings, pauses.since(self.spool))]


def rows_of(
    counts: Counts, oldest: Mapping[str, float], settings: Settings, paused: Mapping[str, float]
) -> Iterator[dict[str, Any]]:
    """Yield each queue as JSON has it, by name.

    Args:
        counts, oldest: Reader.by_queue and Reader.oldest_by_queue.
        paused: spool.pauses.since.
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
            "paused_at": spell(paused[name]) if name in paused else None,
            "oldest_waiting_at": spell(oldest[name]) if name in oldest else None,
        }


def all_paused_at(paused: Mapping[str, float]) -> str | None:
    """Return since when all queues are paused, as JSON has it."""
    return spell(paused[ALL_PAUSED]) if ALL_PAUSED in paused else None


def _all_first(name: str) -> tuple[bool, str]:
    return name != ALL_PAUSED, name


def _name(queue: str | None) -> str:
    """Return the name of the file of a pause."""
    if queue is None:
        return ALL_PAUSED
    if not isinstance(queue, str) or not is_id(queue):
        raise UsageError(f'"queue" must be the name of a queue, not {quote(queue)}', f"a name is {ID_GRAMMAR}")
    return queue
