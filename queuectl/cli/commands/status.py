"""status: the queue in one screen, and what needs a person."""

from __future__ import annotations

import json
import os
import time

from queuectl import __version__
from queuectl.cli.overview import Overview, attention, write
from queuectl.cli.progress import open_index
from queuectl.cli.workers import as_dict, rows_of
from queuectl.client import Queue
from queuectl.clock import spell
from queuectl.errors import NoSupervisor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.screen import Screen


RECENT = ("done", "failed", "per_minute", "wait_p50", "wait_p95", "run_p50", "run_p95")


def run(args: Arguments, screen: Screen) -> int:
    """Show how things stand; exit 0 also when they stand badly."""
    overview = look(Queue(args.home, warn=screen.warn), screen)
    if screen.is_table:
        write(screen, overview)
    elif screen.format in ("json", "jsonl"):
        screen.json(to_dict(overview))
    else:
        for state, count in overview.counts.items():
            screen.line(f"{state}\t{count}")
    return 0


def look(queue: Queue, screen: Screen) -> Overview:
    """Gather what the screen shows."""
    from queuectl.processes import control

    queue.layout.ensure()
    made = Overview(queue.layout.home, queue.spool.clock.now())
    try:
        made.supervisor = control.ask(queue.layout, {"do": "status"})
        made.workers = rows_of(made.supervisor["workers"])
    except NoSupervisor:
        made.died = _died(queue)
    _look_into_index(queue, screen, made)
    free, total = queue.spool.files.free_bytes(queue.layout.home)
    made.free_bytes, made.disk_bytes = free, total
    made.rejected = sum(not name.endswith(".reason") for name in os.listdir(queue.layout.rejected))
    return made


def _died(queue: Queue) -> int | None:
    """Return the pid of a supervisor that ended without tidying up."""
    try:
        with open(f"{queue.layout.run}/supervisor.json", encoding="utf-8") as file:
            return int(json.load(file)["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _look_into_index(queue: Queue, screen: Screen, made: Overview) -> None:
    from queuectl.index.reader import IndexUnavailable, Query

    midnight = time.mktime((*time.localtime(made.now)[:3], 0, 0, 0, 0, 0, -1))
    try:
        with open_index(queue, screen) as reader:
            made.counts = reader.counts()
            made.oldest_waiting = reader.oldest_waiting(made.now)
            made.recent = reader.recent(made.now)
            made.dead_today = reader.page(Query(states=("dead",), since=midnight, limit=1)).total
    except IndexUnavailable as error:
        made.unavailable = str(error)


def to_dict(overview: Overview) -> dict[str, Any]:
    """Return what JSON has."""
    supervisor, recent = overview.supervisor, overview.recent
    return {
        "version": __version__,
        "home": overview.home,
        "at": spell(overview.now),
        "supervisor": supervisor
        and {
            **{name: supervisor[name] for name in ("pid", "version", "draining", "degraded", "syncing", "adopted")},
            "started_at": spell(supervisor["started_at"]),
        },
        "counts": overview.counts,
        "oldest_waiting_s": None if overview.oldest_waiting is None else overview.now - overview.oldest_waiting,
        "last_hour": recent and {name: getattr(recent, name) for name in RECENT},
        "workers": [as_dict(row) for row in overview.workers],
        "rejected": overview.rejected,
        "disk": {"free_bytes": overview.free_bytes, "total_bytes": overview.disk_bytes},
        "attention": [text for text, _ in attention(overview)],
    }
