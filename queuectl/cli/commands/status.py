"""status: the queue in one screen, and what needs a person; once, or again and again."""

from __future__ import annotations

from queuectl import status
from queuectl.cli.home import queue_to_read
from queuectl.cli.options import command, flag, option
from queuectl.cli.progress import open_index
from queuectl.cli.status_screen import short_line, write
from queuectl.cli.times import duration
from queuectl.errors import Busy, TimedOut, UsageError
from queuectl.health import attention_lines
from queuectl.index.database import IndexUnavailable
from queuectl.index.reader import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.client.queue import Queue
    from queuectl.status import Overview

SHORTEST_S = 0.1


@command(
    "status",
    option(
        *("-w", "--watch"),
        metavar="TIME",
        nargs="?",
        const="2s",
        help="repeat every TIME until Ctrl-C (default: 2s)",
    ),
    flag("--short", help="one line, for a prompt: 128 waiting (oldest 42s), 3/4 busy, 7 dead"),
    examples=("queuectl status", "queuectl status --watch 5", "queuectl status --short", "queuectl status --json"),
)
def run(args: Arguments, screen: Screen) -> int:
    """Show how things stand; exit 0 also when they stand badly."""
    period_s = None if args.watch is None else duration("--watch", args.watch)
    if period_s is not None and period_s < SHORTEST_S:
        raise UsageError(f"--watch must be {SHORTEST_S:g}s or more, not {args.watch}")
    queue = queue_to_read(args, screen)
    if period_s is None:
        show(queue, screen, is_short=args.short)
        return 0
    watch(queue, screen, period_s, is_short=args.short)


def show(queue: Queue, screen: Screen, *, is_short: bool) -> None:
    """Show how things stand now."""
    made = look(queue, screen, usage=not (is_short and screen.is_table))
    if screen.format in ("json", "jsonl"):
        screen.json(status.to_dict(made, attention_lines(made)))
    elif not screen.is_table:
        for state, count in made.counts.items():
            screen.line(f"{state}\t{count}")
    elif is_short:
        screen.line(short_line(made))
    else:
        write(screen, made)


def watch(queue: Queue, screen: Screen, period_s: float, *, is_short: bool) -> NoReturn:
    """Show it again and again, until Ctrl-C: on a terminal in the same place, else one below the other."""
    from queuectl.cli.live import LiveScreen

    live = LiveScreen(screen)
    screen.is_quiet = True  # what there is to warn of has been said, or is part of the picture
    while True:
        try:
            lines = screen.held(lambda: show(queue, screen, is_short=is_short))
        except (TimedOut, Busy) as error:  # it may pass
            lines = [f"queuectl: {error}"]
        live.show(lines)
        live.wait(period_s)


def look(queue: Queue, screen: Screen, *, usage: bool = True) -> Overview:
    """Gather what the screen shows."""
    made = status.read_overview(queue, usage=usage)
    try:
        # One that does not answer does not bring the index up to date either: what it shows is better than nothing.
        with Reader(queue.layout.index) if made.silent else open_index(queue, screen) as reader:
            status.add_index_figures(made, reader)
    except IndexUnavailable as error:
        made.unavailable = str(error)
    return made
