"""list: jobs as a table, the last changed first."""

from __future__ import annotations

from queuectl.cli.render import Column, emit
from queuectl.cli.times import instant, short
from queuectl.client import Queue
from queuectl.clock import parse_instant
from queuectl.errors import UsageError
from queuectl.job import STATES
from queuectl.units import spell_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.screen import Screen
    from queuectl.index.reader import Reader

    Row = Mapping[str, Any]

PAGE = 1000
COLOURS = {"processing": "cyan", "completed": "green", "failed": "yellow", "dead": "red", "cancelled": "dim", "held": "dim"}
FIELDS = ("id", "state", "attempts", "run_at", "finished_at", "exit_code", "queue", "priority", "command")


def run(args: Arguments, screen: Screen) -> int:
    """Show the jobs that the filters let through."""
    return show_jobs(args, screen, states_of(args.state or ()))


def states_of(texts: Sequence[str]) -> tuple[str, ...]:
    """Read the states of repeated comma lists; `pending` includes held jobs, as it always did.

    Raises:
        UsageError: there is no such state.
    """
    states: list[str] = []
    for word in (word.strip() for text in texts for word in text.split(",")):
        if word == "all":
            return ()
        if word not in STATES:
            from queuectl.cli.commandline import did_you_mean

            raise UsageError(f'no state "{word}"{did_you_mean(word, STATES)}', f"states are {', '.join(STATES)}")
        states += ("pending", "held") if word == "pending" else (word,)
    return tuple(dict.fromkeys(states))


def show_jobs(args: Arguments, screen: Screen, states: tuple[str, ...]) -> int:
    """Show jobs of some states, under the filters of the command line."""
    queue = Queue(args.home)
    now = queue.spool.clock.now()
    filters: dict[str, Any] = {"queue": args.queue, "tag": args.tag, "search": args.search, "sort": args.sort}
    for name in ("since", "until"):
        text = getattr(args, name)
        filters[name] = None if text is None else instant(f"--{name}", text, now, past=True)
    chosen = {name: value for name, value in filters.items() if value is not None}
    if args.limit < 1:
        raise UsageError(f"--limit must be 1 or more, not {args.limit}")
    limit = None if args.all else args.limit
    with queue.reader(screen.warn) as reader:
        total, rows = _rows(reader, states, limit, chosen)
        shown = emit(screen, rows, columns(queue, now), FIELDS)
    screen.flush()
    if shown < total and not args.all:
        screen.say(f"({shown:,} of {total:,} shown{', --all for the rest' if screen.talks else ''})")
    return 0
