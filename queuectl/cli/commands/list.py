"""list: jobs as a table, the last changed first."""

from __future__ import annotations

from queuectl.attempts import tries
from queuectl.cli.attempts import COLOURS
from queuectl.cli.progress import open_index
from queuectl.cli.render import Column, emit
from queuectl.cli.text import is_text
from queuectl.cli.times import ago, instant, short
from queuectl.client import Queue
from queuectl.clock import spell
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
ROWS_OF_A_TABLE = 50  # unless --limit or --all says otherwise; other formats are complete
OUTCOMES = {"timed_out": "timeout", "output_limit": "output"}


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


def show_jobs(args: Arguments, screen: Screen, states: tuple[str, ...], hint: str = "") -> int:
    """Show jobs of some states, under the filters of the command line; `hint` tells what to do with them."""
    limit = _limit(args, screen)
    for name in ("queue", "tag", "search"):
        if not is_text(getattr(args, name)):
            raise UsageError(f"--{name} holds bytes that are not UTF-8; no job holds such")
    queue = Queue(args.home, warn=screen.warn)
    now = queue.spool.clock.now()
    filters: dict[str, Any] = {"queue": args.queue, "tag": args.tag, "search": args.search, "sort": args.sort}
    for name in ("since", "until"):
        text = getattr(args, name)
        filters[name] = None if text is None else instant(f"--{name}", text, now, past=True)
    chosen = {name: value for name, value in filters.items() if value is not None}
    with open_index(queue, screen) as reader:
        pages = Pages(reader, states, limit, chosen, queue.settings.max_retries_default)
        rows = pages.rows() if screen.is_table else map(as_dict, pages.rows())
        shown = emit(screen, rows, columns(now), FIELDS)
    if shown < pages.total and limit is not None:
        more = "" if pages.is_exact else "more than "
        screen.say(f"({shown:,} of {more}{pages.total:,} shown{', --all for the rest' if screen.talks else ''})")
    screen.hint(hint if shown else "No such job")
    return 0


def _limit(args: Arguments, screen: Screen) -> int | None:
    """Return how many jobs to show at most; None for all."""
    if args.limit is not None:
        if args.limit < 1:
            raise UsageError(f"--limit must be 1 or more, not {args.limit}")
        return int(args.limit)
    return ROWS_OF_A_TABLE if screen.is_table and not args.all else None


class Pages:
    """The jobs that filters let through, fetched a page at a time.

    Attributes:
        total: how many there are, known once the first row has come; at least so many when not `is_exact`.
    """

    def __init__(
        self, reader: Reader, states: tuple[str, ...], limit: int | None, filters: Mapping[str, Any], max_retries: int
    ) -> None:
        self._reader = reader
        self._states = states
        self._left = limit
        self._filters = filters
        self._max_retries = max_retries
        self.total = 0
        self.is_exact = True

    def rows(self) -> Iterator[Row]:
        """Yield them."""
        from queuectl.index.reader import Query

        cursor = None
        while self._left is None or self._left > 0:
            size = PAGE if self._left is None else min(PAGE, self._left)
            is_first = cursor is None  # counting takes a look at all that match: once is enough
            page = self._reader.page(
                Query(states=self._states, limit=size, cursor=cursor, is_counted=is_first, **self._filters)
            )
            if is_first:
                self.total, self.is_exact = page.total, page.is_exact
            for row in page.rows:
                yield {**row, "max_retries": self._max_retries if row["max_retries"] is None else row["max_retries"]}
            cursor = page.cursor
            if self._left is not None:
                self._left -= len(page.rows)
            if cursor is None or not page.rows:
                return


def as_dict(row: Row) -> dict[str, Any]:
    """Return a row as JSON has it: with instants that say so."""
    return {name: spell(value) if name.endswith("_at") and value is not None else value for name, value in row.items()}


def columns(now: float) -> list[Column]:
    """Return the columns of a table of jobs."""
    return [
        Column("ID", lambda row: row["id"]),
        Column("STATE", lambda row: row["state"], colour=lambda row: COLOURS.get(row["state"])),
        Column("TRY", _tries, leave_out=1),
        Column("NEXT/ENDED", lambda row: next_or_ended(row, now)),
        Column("EXIT", how_it_ended, leave_out=2),
        Column("QUEUE", lambda row: row["queue"], leave_out=3),
        Column("COMMAND", lambda row: row["command"]),
    ]


def _tries(row: Row) -> str:
    return "{}/{}".format(*tries(row["state"], row["attempts"], row["failures"], row["max_retries"]))


def next_or_ended(row: Row, now: float) -> str:
    """Say when a job starts, for how long it has been running, or when it ended."""
    if row["state"] in ("pending", "failed"):
        return ago(row["run_at"], now) if row["run_at"] > now else "now"
    if row["state"] == "processing":
        return f"for {spell_duration(max(0.0, now - (row['started_at'] or now)))}"
    return "" if row["state"] == "held" else short(row["finished_at"] or row["updated_at"], now)


def how_it_ended(row: Row) -> str:
    """Say how the newest attempt ended: its exit code, the signal, or what else became of it."""
    code, outcome = row["exit_code"], row["outcome"]
    if code is None or row["state"] == "processing":
        return ""
    if outcome == "signal" and code > 128:
        from queuectl.outcome import signal_name

        return signal_name(code - 128)
    return OUTCOMES.get(outcome, str(code))
