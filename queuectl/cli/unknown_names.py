"""unknown_names: names of queues, batches and tags in a command line that nothing has: they may be misspelt.

Guarantees: a queue that has a limit or a pause is known although it has no job.
Cost:       a tag that no job has is looked for in every row.
"""

from __future__ import annotations

from queuectl.errors import QueueError, did_you_mean
from queuectl.units import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from queuectl.cli.terminal import Screen
    from queuectl.client.queue import Queue
    from queuectl.index.reader import Reader

ALWAYS = "default"  # the queue of jobs that name none


def of_filters(queue: Queue, reader: Reader, given: Mapping[str, Any]) -> str:
    """Return "no job has the batch ..." for the first name of a filter that is unknown; empty when all are known."""
    for kind in ("queue", "batch", "tag"):
        name = given.get(kind)
        if name is None:
            continue
        known = _queues(queue, reader) if kind == "queue" else reader.names(kind, name)
        if name not in known:
            return f"no job has the {kind} {quote(name)}{did_you_mean(name, known)}"
    return ""


def warn_of_filters(queue: Queue, screen: Screen, reader: Reader, given: Mapping[str, Any]) -> bool:
    """Warn of a name that is unknown, where nothing was found; return whether there is one."""
    words = of_filters(queue, reader, given)
    if words:
        screen.warn(words)
    return bool(words)


def warn_of_queues(queue: Queue, screen: Screen, names: Iterable[str]) -> None:
    """Warn of each queue that no job has, whatever else names it; without an index nothing is known."""
    behind: list[str] = []
    try:
        with queue.reader(behind.append) as reader:
            known = {ALWAYS, *reader.by_queue()}
    except QueueError:
        return
    for name in () if behind else names:
        if name not in known:
            screen.warn(f"no job has the queue {quote(name)} yet{did_you_mean(name, known)}")


def _queues(queue: Queue, reader: Reader) -> set[str]:
    from queuectl.spool import pauses

    return {ALWAYS, *reader.by_queue(), *queue.settings.queues, *pauses.paused(queue.spool)}
