"""stats: what happened over time, from the figures of each minute, which outlive the jobs.

Guarantees: a row for each step in which something happened, oldest first, bounded by the 31 days that are kept by time.
            Days are local ones, also where the clocks change.
"""

from __future__ import annotations

import time
from itertools import groupby

from queuectl.cli.home import queue_to_read
from queuectl.cli.options import choice, command, option
from queuectl.cli.progress import open_index
from queuectl.cli.status_screen import WRAP_AT, ended_jobs, seconds, wrapped
from queuectl.cli.table import Column, emit
from queuectl.cli.text import is_text
from queuectl.cli.times import MONTHS, instant, short
from queuectl.cli.unknown_names import warn_of_filters
from queuectl.clock import parse_instant, spell
from queuectl.errors import UsageError
from queuectl.index.statistics import KEPT_HOURS, KEPT_MINUTES, per_minute, together
from queuectl.units import spell_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.index.reader import Reader
    from queuectl.index.statistics import Figures

    Row = dict[str, Any]

STEPS = {"minute": 1, "hour": 60, "day": 60}  # minutes of what is asked for; days are made of hours
TIMES = ("wait_p50", "wait_p95", "run_p50", "run_p95")
FIELDS = ("enqueued", "completed", "failed_attempts", "dead", "dead_share", "cancelled", "per_minute", *TIMES)


@command(
    "stats",
    option("--since", metavar="TIME", default="24h", help="from this time on: 2h, 14:30, yesterday (default: 24h)"),
    choice(
        "--by",
        "WHAT",
        ("queue", "minute", "hour", "day"),
        default="hour",
        help="one row per queue, minute, hour (default) or day",
    ),
    option("--queue", metavar="NAME", help="only this queue"),
    examples=(
        "queuectl stats",
        "queuectl stats --by queue --since 7d",
        "queuectl stats --by minute --since 1h --json",
    ),
)
def run(args: Arguments, screen: Screen) -> int:
    """Show what happened since then."""
    if args.by == "queue" and args.queue is not None:
        raise UsageError("--by queue and --queue cannot be used together")
    if not is_text(args.queue):
        raise UsageError("--queue contains bytes that are not UTF-8; no queue has such a name")
    queue = queue_to_read(args, screen)
    now = queue.spool.clock.now()
    start = start_of(args, screen, now)
    with open_index(queue, screen) as reader:
        rows = [*rows_of(reader, args.by, args.queue, start, now)]
        oldest = reader.oldest_by_queue(now)
        covered_from = reader.covered_from(start * 60.0)
        if not rows:
            warn_of_filters(queue, screen, reader, {"queue": args.queue})
    since = min(oldest.values(), default=None) if args.queue is None else oldest.get(args.queue)
    total = _row(together(row["figures"] for row in rows), (now - covered_from) / 60)
    shown = [{key: value for key, value in row.items() if key != "figures"} for row in rows]
    if screen.is_table:
        _write(screen, total, since, now, start)
        if shown:
            screen.line()
        emit(screen, shown, columns(args.by, now), ())
    elif screen.format == "json":
        facts = {"from": spell(start * 60.0), "until": spell(now), "by": args.by, "queue": args.queue}
        waits = None if since is None else max(0.0, now - since)
        screen.json({**facts, "totals": total, "oldest_waiting_s": waits, "rows": shown})
    else:
        first = "queue" if args.by == "queue" else "at"
        emit(screen, shown, (), (first, *FIELDS), name=first)
    return 0


def start_of(args: Arguments, screen: Screen, now: float) -> int:
    """Return the minute since 1970 to begin with: that of --since, or the full hour, or midnight, before it."""
    since = instant("--since", args.since, now, past=True)
    if since > now:
        raise UsageError(f"--since must lie in the past, not {args.since}")
    minute, today = int(since / 60), int(now / 60)
    if minute < today - KEPT_HOURS:
        screen.warn("figures by time are kept for 31 days; totals over all time: queuectl metrics")
        minute = today - KEPT_HOURS
    if args.by == "day":
        return int(time.mktime((*time.localtime(minute * 60)[:3], 0, 0, 0, 0, 0, -1)) / 60)
    if args.by == "hour" or minute < today - KEPT_MINUTES:
        if args.by == "minute":
            screen.warn("figures by the minute are kept for 48 hours; older ones are by the hour")
        return minute // 60 * 60
    return minute


def rows_of(reader: Reader, by: str, queue: str | None, start: int, now: float) -> Iterator[Row]:
    """Yield a row for each queue, or step, in which something happened."""
    covered_from = reader.covered_from(start * 60.0)
    if by == "queue":
        for name, figures in sorted(reader.figures_by_queue(start).items()):
            yield {"queue": name, **_row(figures, (now - covered_from) / 60), "figures": figures}
        return
    step = STEPS[by]
    found = reader.series(start, step, (int(now / 60) - start) // step + 1, queue)
    starts = ((start + number * step) * 60 for number in range(len(found)))
    for at, pairs in groupby(zip(starts, found, strict=True), key=lambda pair: _begin(pair[0], by)):
        figures = together(each for _, each in pairs)
        if any(figures.counts.values()) or any(figures.waits):
            length = (min(now, _end(at, by)) - max(at, covered_from)) / 60
            yield {"at": spell(at), **_row(figures, length), "figures": figures}


def _begin(at: float, by: str) -> float:
    return time.mktime((*time.localtime(at)[:3], 0, 0, 0, 0, 0, -1)) if by == "day" else float(at)


def _end(at: float, by: str) -> float:
    if by != "day":
        return at + STEPS[by] * 60
    year, month, day = time.localtime(at)[:3]
    return time.mktime((year, month, day + 1, 0, 0, 0, 0, 0, -1))


def _row(figures: Figures, minutes: float) -> Row:
    """Return the figures of some minutes."""
    found = figures.as_dict()
    found["per_minute"] = per_minute(found["completed"], minutes * 60)
    return {name: found[name] for name in FIELDS}


def _write(screen: Screen, total: Mapping[str, Any], since: float | None, now: float, start: int) -> None:
    """Write all together in a line or two."""
    facts = [
        f"since {short(start * 60.0, now)}",
        f"{total['enqueued']:,} enqueued, {ended_jobs(total['completed'], total)}",
        f"{total['per_minute']:.1f} done/min",
        *(
            f"{kind} p50 {seconds(total[f'{kind}_p50'])} p95 {seconds(total[f'{kind}_p95'])}"
            for kind in ("wait", "run")
        ),
    ]
    if since is not None:
        facts.append(f"oldest waiting {spell_duration(max(0.0, now - since))}")
    for line in wrapped(facts, 5, min(screen.columns or WRAP_AT, WRAP_AT)):
        screen.line(line)


def columns(by: str, now: float) -> list[Column]:
    """Return the columns of the table."""
    first = (
        Column("QUEUE", lambda row: row["queue"])
        if by == "queue"
        else Column("FROM", lambda row: _when(row["at"], by, now))
    )

    def count(title: str, field: str, leave_out: int = 0, colour: str | None = None) -> Column:
        return Column(
            title,
            lambda row: f"{row[field]:,}",
            right=True,
            leave_out=leave_out,
            colour=lambda row: colour if row[field] else None,
        )

    def duration(title: str, field: str, leave_out: int) -> Column:
        return Column(title, lambda row: seconds(row[field]), right=True, leave_out=leave_out)

    return [
        first,
        count("ENQUEUED", "enqueued", 3),
        count("DONE", "completed"),
        count("DEAD", "dead", 0, "red"),
        Column("DEAD%", lambda row: None if row["dead_share"] is None else f"{row['dead_share']:.1%}", right=True),
        count("FAILED ATTEMPTS", "failed_attempts", 0, "yellow"),
        Column("DONE/MIN", lambda row: f"{row['per_minute']:.1f}", right=True, leave_out=4),
        duration("WAIT P50", "wait_p50", 6),
        duration("WAIT P95", "wait_p95", 1),
        duration("RUN P50", "run_p50", 5),
        duration("RUN P95", "run_p95", 2),
    ]


def _when(at: str, by: str, now: float) -> str:
    then = time.localtime(parse_instant(at))
    day = f"{MONTHS[then.tm_mon - 1]} {then.tm_mday:2}"
    if by == "day":
        return day
    clock = time.strftime("%H:%M", then)
    return clock if then[:3] == time.localtime(now)[:3] else f"{day} {clock}"
