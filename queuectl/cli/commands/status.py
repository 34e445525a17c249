"""status: the queue in one screen, and what needs a person."""

from __future__ import annotations

from queuectl import overview
from queuectl.cli.overview import write
from queuectl.cli.progress import open_index
from queuectl.client import Queue
from queuectl.index.database import IndexUnavailable
from queuectl.index.reader import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.screen import Screen
    from queuectl.overview import Overview


def run(args: Arguments, screen: Screen) -> int:
    """Show how things stand; exit 0 also when they stand badly."""
    made = look(Queue(args.home, warn=screen.warn), screen)
    if screen.is_table:
        write(screen, made)
    elif screen.format in ("json", "jsonl"):
        screen.json(overview.to_dict(made))
    else:
        for state, count in made.counts.items():
            screen.line(f"{state}\t{count}")
    return 0


def look(queue: Queue, screen: Screen) -> Overview:
    """Gather what the screen shows."""
    made = overview.look(queue)
    try:
        # One that does not answer does not bring the index up to date either: what it shows is better than nothing.
        with Reader(queue.layout.index) if made.silent else open_index(queue, screen) as reader:
            overview.look_into_index(made, reader)
            made.recent = reader.recent(made.now)
    except IndexUnavailable as error:
        made.unavailable = str(error)
    return made
