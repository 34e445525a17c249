"""list: jobs as a table, the last changed first."""

from __future__ import annotations

from itertools import islice

from queuectl.cli.attempts import COLOURS
from queuectl.cli.home import queue_to_read
from queuectl.cli.options import FILTER_OPTIONS, STATE, command
from queuectl.cli.progress import open_index
from queuectl.cli.table import Column, emit
from queuectl.cli.times import ago, instant, short
from queuectl.client.filters import ENDED, FILTERS, limit_of, states_of
from queuectl.errors import InvalidData, NotFound
from queuectl.job.attempts import max_retries_of, tries
from queuectl.units import spell_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.client.queue import Queue
    from queuectl.index.reader import Query, Reader
    from queuectl.scheduling.waits_for import Supervision

    Row = Mapping[str, Any]

FIELDS = (
    *("id", "state", "attempts", "run_at", "finished_at", "exit_code", "queue", "priority", "command"),
    *("last_error", "dead_reason"),
)
PAGE = 1000
ROWS_OF_A_TABLE = 50  # unless --limit or --all says otherwise; other formats are complete
MOST_READ = 20  # files of other jobs, to say why one job waits: a table has many
OUTCOMES = {"timed_out": "timeout", "output_limit": "output", "memory_limit": "memory", "cpu_limit": "cpu"}


@command(
    "list",
    STATE,
    *FILTER_OPTIONS,
    examples=(
        "queuectl list --state pending",
        "queuectl list --state dead,failed --since 2h",
        "queuectl list --batch nightly --error 'No space left'",
        "queuectl list --queue default -o name | queuectl cancel -",
    ),
)
def run(args: Arguments, screen: Screen) -> int:
    """Show the jobs that the filters let through."""
    return show_jobs(args, screen, states_of(args.state, "--state"))


def filters_of(args: Arguments, names: Iterable[str] = FILTERS) -> dict[str, Any]:
    """Return the filters of a command line, those that were given."""
    found = {name: getattr(args, name, None) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def query_of(given: Mapping[str, Any], now: float, **more: Any) -> Query:
    """Return the question that the filters of a command line ask; `more` are parameters of Query.

    Raises:
        InvalidFilter.
    """
    from queuectl.client import filters

    return filters.query_of(
        given,
        now,
        label=lambda name: f"--{name}",
        instant_of=lambda name, text: instant(f"--{name}", text, now, past=True),
        **more,
    )


def show_jobs(args: Arguments, screen: Screen, states: tuple[str, ...], hint: str = "") -> int:
    """Show jobs of some states, under the filters of the command line; `hint` tells what to do with them."""
    limit = limit_for(args, screen)
    given = filters_of(args, (name for name in FILTERS if name not in ("state", "limit")))
    queue = queue_to_read(args, screen)
    now = queue.spool.clock.now()
    query = query_of({**given, "state": states or None}, now)
    with open_index(queue, screen) as reader:
        pages = Pages(reader, query, limit, queue.settings.max_retries_default)
        rows = pages.rows() if screen.is_table or screen.format == "name" else pages.as_dicts()
        shown = emit(screen, rows, columns(now, Reasons(queue).of), FIELDS)
        is_warned = False
        if not shown:
            from queuectl.cli.unknown_names import warn_of_filters

            is_warned = warn_of_filters(queue, screen, reader, given)
    if shown < pages.total and limit is not None:
        more = "" if pages.is_exact else "more than "
        screen.message(
            f"({shown:,} of {more}{pages.total:,} shown{', --all for the rest' if screen.is_interactive else ''})"
        )
    screen.hint(hint if shown else "" if is_warned else "No job matches")
    return 0


def limit_for(args: Arguments, screen: Screen) -> int | None:
    """Return how many jobs to show at most; None for all."""
    if args.limit is not None:
        return limit_of(args.limit, "--limit")
    return ROWS_OF_A_TABLE if screen.is_table and not args.all else None


class Pages:
    """The jobs that filters let through, fetched a page at a time.

    Attributes:
        total: how many there are, known once the first row has come; at least so many when not `is_exact`.
    """

    def __init__(self, reader: Reader, query: Query, limit: int | None, max_retries: int) -> None:
        self._reader = reader
        self._query = query
        self._left = limit
        self.max_retries = max_retries
        self.total = 0
        self.is_exact = True

    def rows(self) -> Iterator[Row]:
        """Yield them."""
        query, is_first = self._query, True
        if query.is_sorted and (self._left is None or self._left > PAGE):
            self.total, rows = self._reader.in_order(query)
            yield from map(self._with_retries, islice(rows, self._left))
            return
        while self._left is None or self._left > 0:
            query.limit = PAGE if self._left is None else min(PAGE, self._left)
            query.is_counted = is_first  # counting takes a look at all that match: once is enough
            page = self._reader.page(query)
            if is_first:
                self.total, self.is_exact = page.total, page.is_exact
            yield from map(self._with_retries, page.rows)
            query.cursor, is_first = page.cursor, False
            if self._left is not None:
                self._left -= len(page.rows)
            if query.cursor is None or not page.rows:
                return

    def as_dicts(self) -> Iterator[Row]:
        """Yield them as JSON has them."""
        from queuectl.client.job_view import row_as_dict

        return (row_as_dict(row, self.max_retries) for row in self.rows())

    def _with_retries(self, row: Row) -> Row:
        return {**row, "max_retries": max_retries_of(row, self.max_retries)}


class Reasons:
    """Why jobs do not run, in two words. The supervisor is asked once, and only if a job is due or runs."""

    def __init__(self, queue: Queue) -> None:
        self._spool = queue.spool
        self._supervision: Supervision | None = None

    def of(self, row: Row) -> str:
        """Return "after extract-3", "lock db", "paused" ...; empty for a job that runs, has ended, or starts soon."""
        from queuectl.client.why import read_supervision, reasons_of
        from queuectl.scheduling.waits_for import OWN, waits_for_start

        if self._supervision is None:
            self._supervision = read_supervision(self._spool, brief=True)
        if row["after"] is None and row["state"] != "processing":
            reason = waits_for_start(row["queue"], row["lane"], self._supervision)
            return "" if reason is None else reason.brief()
        try:
            job = self._spool.read(row["id"])
        except (NotFound, InvalidData):  # since its row was read
            return ""
        reasons = reasons_of(self._spool, job, self._supervision, most_read=MOST_READ)
        return next((words for words in (reason.brief() for reason in reasons if reason.why in OWN) if words), "")


def columns(now: float, reason: Callable[[Row], str] = lambda _row: "") -> list[Column]:
    """Return the columns of a table of jobs; the last is there only when one of them has failed.

    Args:
        reason: returns why a job that is due does not start, or one that was started does not run, where that is known.
    """
    return [
        Column("ID", lambda row: row["id"]),
        Column("STATE", lambda row: row["state"], colour=lambda row: COLOURS.get(row["state"])),
        Column("TRY", _tries, leave_out=3),
        Column("NEXT/ENDED", lambda row: next_or_ended(row, now, reason), leave_out=2),
        Column("EXIT", how_it_ended, leave_out=4),
        Column("QUEUE", lambda row: row["queue"], leave_out=5),
        Column("COMMAND", lambda row: row["command"], least=8),
        Column("ERROR", why, least=15, leave_out=1, is_optional=True),
    ]


def why(row: Row) -> str:
    """Say in one line why a job failed or is dead: the last line that it wrote, else the reason."""
    if row["state"] not in ("failed", "dead"):
        return ""
    lines = (line.strip() for line in reversed((row["last_error"] or "").splitlines()))
    return next((line for line in lines if line), (row["dead_reason"] or "").replace("_", " "))


def _tries(row: Row) -> str:
    if row["state"] in ENDED:  # how many more it might have had is not known
        return str(row["attempts"])
    return "{}/{}".format(*tries(row["state"], row["attempts"], row["failures"], row["max_retries"]))


def next_or_ended(row: Row, now: float, reason: Callable[[Row], str] = lambda _row: "") -> str:
    """Say when a job starts, for how long it has been running, or when it ended."""
    if row["state"] in ("pending", "failed"):
        return ago(row["run_at"], now) if row["run_at"] > now else reason(row) or "now"
    if row["state"] == "processing":
        return reason(row) or f"for {spell_duration(max(0.0, now - (row['started_at'] or now)))}"
    return "" if row["state"] == "held" else short(row["finished_at"] or row["updated_at"], now)


def how_it_ended(row: Row) -> str:
    """Say how the newest attempt ended: its exit code, the signal, or what else became of it."""
    code, outcome = row["exit_code"], row["outcome"]
    if code is None or row["state"] == "processing":
        return ""
    if outcome == "signal" and code > 128:
        from queuectl.job.outcome import signal_name

        return signal_name(code - 128)
    return OUTCOMES.get(outcome, str(code))
