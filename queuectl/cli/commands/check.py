"""check: a plugin for Nagios, Icinga and their kin: one line, perfdata, exit 0 to 3.

Guarantees: it ends within --timeout, whatever hangs. What it cannot find out, a mistake in its command line and time that
            ran out are UNKNOWN: a problem with the check, not with the queue.
Source:     Monitoring Plugins Development Guidelines.
"""

from __future__ import annotations

import os
import sys

from queuectl import health, status
from queuectl.cli.check_metrics import MEASURES, Seen
from queuectl.cli.home import home_that_exists
from queuectl.cli.options import command, option
from queuectl.cli.progress import open_index
from queuectl.cli.status_screen import short_line
from queuectl.cli.text import safe
from queuectl.cli.thresholds import figure, parse_range
from queuectl.cli.times import duration
from queuectl.client.queue import Queue
from queuectl.errors import UsageError
from queuectl.index.database import IndexUnavailable
from queuectl.index.reader import Reader
from queuectl.units import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.cli.thresholds import Range

    Ranges = dict[str, Range]
    Row = dict[str, Any]

STATES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")  # their exit codes are their places
WORST_FIRST = ("CRITICAL", "UNKNOWN", "WARNING", "OK")


@command(
    "check",
    option(
        *("-w", "--warning"),
        metavar="KEY=RANGE",
        action="append",
        help="warn when the metric KEY is out of RANGE (default: oldest=5m, dead_today=0, degraded=0, schedules=0, rejected=0,"
        " disk_free=10:); may be repeated; 'KEY=~:', in quotes, switches a default off",
    ),
    option(
        *("-c", "--critical"),
        metavar="KEY=RANGE",
        action="append",
        help="the same for what is critical (default: oldest=1h, stranded=0, blocked=0, disk_free=5:). KEY is one of oldest,"
        " waiting, scheduled, processing, failed (jobs), failed_1h (attempts), dead, dead_today, stranded (jobs waiting without workers),"
        " workers, supervisor, degraded, blocked (what keeps jobs from being accepted or run: home, configuration,"
        " disk), schedules (that add no jobs), rejected, disk_free. RANGE is 10 (at most), 10: (at least), 10:20, or"
        " @10:20 (not inside)",
    ),
    option("--timeout", metavar="TIME", default="10s", help="time limit of the check (default: 10s)"),
    examples=(
        "queuectl check",
        "queuectl check -w oldest=30m -c oldest=2h -w 'dead_today=~:'",
        "queuectl check -q -c workers=1: --timeout 5",
    ),
)
def run(args: Arguments, screen: Screen) -> int:
    """Compare every figure with its ranges."""
    warning, critical = ranges_of("-w", args.warning), ranges_of("-c", args.critical)
    for key, measure in MEASURES.items():
        for ranges, default in ((warning, measure.warning), (critical, measure.critical)):
            if default:
                ranges.setdefault(key, parse_range(default))
    seconds = duration("--timeout", args.timeout)
    if not seconds:
        raise UsageError("--timeout must be more than 0")
    from queuectl.executor.signals import time_limit

    with time_limit(seconds, "the queue did not answer"):
        home_that_exists(args, screen, has_queue=True)
        queue = Queue(args.home, warn=screen.warn)
        seen = look(queue, screen, patience_s=min(status.PATIENCE_S, seconds / 2))
        rows = [judge(key, seen, warning.get(key), critical.get(key)) for key in MEASURES]
    state = min((row["state"] for row in rows), key=WORST_FIRST.index)
    if screen.format in ("json", "jsonl"):
        screen.json({"state": state, "exit_code": STATES.index(state), "measures": rows})
    elif state != "OK" or not screen.is_quiet:
        screen.line(f"QUEUECTL {state} - {_plain(_text(rows, seen))} | {' '.join(_perfdata(rows))}")
    return STATES.index(state)


def ranges_of(option: str, texts: Iterable[str] | None) -> Ranges:
    """Read repeated KEY=RANGE.

    Raises:
        UsageError: there is no such figure, or that is no range.
    """
    made = {}
    for text in texts or ():
        key, equals, wanted = text.partition("=")
        if not equals:
            raise UsageError(f"{option} must be KEY=RANGE, not {quote(text)}", f"for instance: {option} oldest=10m")
        if key not in MEASURES:
            from queuectl.cli.commandline import did_you_mean

            hint = f"there are {', '.join(MEASURES)}"
            raise UsageError(f"there is no metric {quote(key)}{did_you_mean(key, [*MEASURES])}", hint)
        try:
            made[key] = parse_range(wanted)
        except ValueError as error:
            quotes = f"the shell has replaced ~: write '{key}=~:' in quotes" if wanted.startswith("/") else None
            raise UsageError(f"{option} {key}: {quote(wanted)} is not {error}", quotes) from None
    return made


def look(queue: Queue, screen: Screen, *, patience_s: float) -> Seen:
    """Find the figures out.

    A supervisor that has not answered within `patience_s` does not bring the index up to date either, which is taken as
    it is: the missing workers are what is to be reported.
    """
    made = status.read_overview(queue, usage=False, patience_s=patience_s)
    try:
        with Reader(queue.layout.index) if made.silent else open_index(queue, screen) as reader:
            status.add_index_figures(made, reader)
    except IndexUnavailable as error:
        made.unavailable, made.counts = str(error), {}
    except PermissionError as error:
        if made.refused is None:
            raise
        made.unavailable, made.counts = f"{error.filename}: {error.strerror}", {}
    return Seen(made)


def judge(key: str, seen: Seen, warning: Range | None, critical: Range | None) -> Row:
    """Return a figure with its state and what is wrong with it."""
    measure = MEASURES[key]
    value = measure.value(seen)
    row: Row = {
        **{"key": key, "value": value, "unit": measure.unit, "state": "OK"},
        **{"warning": warning and str(warning), "critical": critical and str(critical), "text": None},
    }
    if value is None:
        if warning or critical:
            row.update(state="UNKNOWN", text=f"{key} is not known")
        return row
    for state, limit in (("CRITICAL", critical), ("WARNING", warning)):
        if limit is not None and limit.alarms(value):
            text = f"{key} {measure.spell(value)} ({limit.why(value, measure.spell)})"
            if key == "blocked":
                text = ", ".join(found.text for found in health.blocked(seen.overview)) or text
            if key == "schedules":
                text = health.examine(seen.overview)["schedules"].text
            row.update(state=state, text=text)
            return row
    return row


def _text(rows: Iterable[Row], seen: Seen) -> str:
    wrong = sorted((row for row in rows if row["text"]), key=lambda row: WORST_FIRST.index(row["state"]))
    told = [row["text"] for row in wrong if row["state"] != "UNKNOWN"]
    unknown = [row["key"] for row in wrong if row["state"] == "UNKNOWN"]
    if unknown:
        told.append(f"{seen.overview.unavailable or 'not known'}: no {', '.join(unknown)}")
    told.append(short_line(seen.overview))
    return "; ".join(told)


def _plain(text: str) -> str:
    """Leave nothing that ends the text of a plugin."""
    return safe(text).replace("|", "/")


def _perfdata(rows: Iterable[Row]) -> Iterable[str]:
    for row in rows:
        value = "U" if row["value"] is None else figure(row["value"]) + row["unit"]
        most = "100" if row["unit"] == "%" else ""
        limits = (row["warning"] or "", row["critical"] or "", "0", most)
        yield f"{row['key']}={';'.join((value, *limits)).rstrip(';')}"


def unknown(error: Exception, *, as_json: bool) -> int:
    """Say that, and why, nothing could be found out; main hands on every error here that `check` ends with."""
    from queuectl.cli.terminal import to_json

    state = "UNKNOWN"
    hint = getattr(error, "hint", None)
    text = (str(error) or type(error).__name__) + (f"; {hint}" if hint else "")
    if as_json:
        line = to_json({"state": state, "exit_code": STATES.index(state), "detail": text}, indent=2)
    else:
        line = f"QUEUECTL {state} - {_plain(text)}"
    try:
        print(line, flush=True)
    except OSError:  # the exit code says as much
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more when it ends
    return STATES.index(state)
