"""list: jobs as a table, the last changed first."""

from __future__ import annotations

from queuectl.cli.attempts import COLOURS, tries
from queuectl.cli.render import Column, emit
from queuectl.cli.times import ago, instant, short
from queuectl.client import Queue
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

FIELDS = ("id", "state", "attempts", "run_at", "finished_at", "exit_code", "queue", "priority", "command")
PAGE = 1000


def run(args: Arguments, screen: Screen) -> int:
    """Show the jobs that the filters let through."""
    return show_jobs(args, screen, states_of(args.state or ()))


def states_of(texts: Sequence[str]) -> tuple[str, ...]:
    """Read the states of repeated comma lists; `pending` includes held jobs, `all` is every state.

    Raises:
        UsageError: there is no such state.
    """
    states: list[str] = []
    for word in (word.strip().lower() for text in texts for word in text.split(",")):
        if word == "all":
            return ()
        if word not in STATES:
            from queuectl.cli.commandline import did_you_mean

            raise UsageError(f'no state "{word}"{did_you_mean(word, STATES)}', f"states are {', '.join(STATES)}")
        states += ("pending", "held") if word == "pending" else (word,)
    return tuple(dict.fromkeys(states))


def show_jobs(args: Arguments, screen: Screen, states: tuple[str, ...]) -> int:
    """Show jobs of some states, under the filters of the command line."""
    if args.limit < 1:
        raise UsageError(f"--limit must be 1 or more, not {args.limit}")
    queue = Queue(args.home)
    now = queue.spool.clock.now()
    filters: dict[str, Any] = {"queue": args.queue, "tag": args.tag, "search": args.search, "sort": args.sort}
    for name in ("since", "until"):
        text = getattr(args, name)
        filters[name] = None if text is None else instant(f"--{name}", text, now, past=True)
    chosen = {name: value for name, value in filters.items() if value is not None}
    with queue.reader(screen.warn) as reader:
        pages = Pages(reader, states, None if args.all else args.limit, chosen)
        shown = emit(screen, pages.rows(), columns(queue.settings.max_retries_default, now), FIELDS)
    if shown < pages.total and not args.all:
        screen.say(f"({shown:,} of {pages.total:,} shown{', --all for the rest' if screen.talks else ''})")
    return 0


class Pages:
    """The jobs that filters let through, fetched a page at a time.

    Attributes:
        total: how many there are, known once the first row has come.
    """

    def __init__(self, reader: Reader, states: tuple[str, ...], limit: int | None, filters: Mapping[str, Any]) -> None:
        self._reader = reader
        self._states = states
        self._left = limit
        self._filters = filters
        self.total = 0

    def rows(self) -> Iterator[Row]:
        """Yield them."""
        from queuectl.index.reader import Query

        cursor = None
        while self._left is None or self._left > 0:
            size = PAGE if self._left is None else min(PAGE, self._left)
            page = self._reader.page(Query(states=self._states, limit=size, cursor=cursor, **self._filters))
            self.total = page.total if cursor is None else self.total
            yield from page.rows
            cursor = page.cursor
            if self._left is not None:
                self._left -= len(page.rows)
            if cursor is None or not page.rows:
                return


def columns(max_retries: int, now: float) -> list[Column]:
    """Return the columns of a table of jobs."""
    return [
        Column("ID", lambda row: row["id"]),
        Column("STATE", lambda row: row["state"], colour=lambda row: COLOURS.get(row["state"])),
        Column("TRY", lambda row: tries(row, row.get("max_retries") or max_retries), leave_out=2),
        Column("NEXT/ENDED", lambda row: next_or_ended(row, now)),
        Column("EXIT", spell_exit, leave_out=1),
        Column("QUEUE", lambda row: row["queue"], leave_out=3),
        Column("COMMAND", lambda row: row["command"]),
    ]
