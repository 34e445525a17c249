"""batch: batches of jobs: how far they are, waiting for them and cancelling them."""

from __future__ import annotations

from queuectl.cli.commandline import dest
from queuectl.cli.home import queue_to_read
from queuectl.cli.options import CONSENT, PROPAGATE, WAIT_TIMEOUT, command, number, option
from queuectl.cli.table import Column, emit
from queuectl.cli.text import safe
from queuectl.cli.times import ago, full
from queuectl.clock import parse_instant
from queuectl.units import plural, spell_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen

    Row = dict[str, Any]

NAME = option("name", metavar="NAME", help="the batch")
SHOWN = 50
BAR = 20  # characters
FIELDS = ("name", "jobs", "ended", "progress", "completed", "dead", "cancelled", "running", "waiting", "completion")
COLUMNS = (
    Column("BATCH", lambda row: row["name"]),
    Column("PROGRESS", lambda row: f"{_percent(row):3d}%"),
    Column("JOBS", lambda row: f"{row['jobs']:,}", right=True),
    Column("COMPLETED", lambda row: f"{row['completed']:,}", right=True),
    Column("DEAD", lambda row: f"{row['dead']:,}" if row["dead"] else "", right=True, colour=lambda _row: "red"),
    Column("CANCELLED", lambda row: f"{row['cancelled']:,}" if row["cancelled"] else "", right=True, is_optional=True),
    Column("RUNNING", lambda row: f"{row['running']:,}" if row["running"] else "", right=True, leave_out=1),
    Column("WAITING", lambda row: f"{row['waiting']:,}" if row["waiting"] else "", right=True, leave_out=2),
)


def _flat(row: Row) -> Row:
    counts = row["counts"]
    ends = {state: counts[state] for state in ("completed", "dead", "cancelled")}
    waiting = counts["pending"] + counts["held"] + counts["failed"]
    return {**row, **ends, "running": counts["processing"], "waiting": waiting}


def _percent(row: Mapping[str, Any]) -> int:
    """Return the share of jobs that have ended; 100 only for all of them."""
    return int(row["ended"]) * 100 // int(row["jobs"]) if row["jobs"] else 100


@command(
    "batch list",
    number("-n", "--limit", help="show at most N batches (default: 50 in a table, all in other formats)"),
    examples=("queuectl batch list", "queuectl batch list --json"),
)
def run_list(args: Arguments, screen: Screen) -> int:
    """List the batches that jobs have, unfinished ones first."""
    rows = [_flat(row) for row in queue_to_read(args, screen).batches()]
    most = args.limit if args.limit is not None else SHOWN if screen.is_table else len(rows)
    emit(screen, rows[:most], COLUMNS, FIELDS, name="name")
    if len(rows) > most:
        screen.message(f"{plural(len(rows) - most, 'more batch').replace('batchs', 'batches')}: --limit {len(rows)}")
    if not rows:
        screen.hint("No job has a batch: queuectl enqueue --batch NAME ...")
    return 0


@command(
    "batch show",
    NAME,
    examples=("queuectl batch show movies", "queuectl batch show movies --json"),
)
def run_show(args: Arguments, screen: Screen) -> int:
    """Show how far a batch is, and its completion job."""
    queue = queue_to_read(args, screen)
    row = queue.batch(args.name)
    if screen.format in ("json", "jsonl"):
        screen.json(row)
        return 0
    if not screen.is_table:
        emit(screen, [_flat(row)], (), FIELDS, name="name")
        return 0
    percent, now = _percent(row), queue.spool.clock.now()
    bar = "#" * (percent * BAR // 100)
    screen.line(
        f"{screen.paint(row['name'], 'bold')}  [{bar:-<{BAR}}] {percent}%  {row['ended']:,} of {row['jobs']:,} jobs"
    )
    told = ", ".join(f"{n:,} {state}" for state, n in row["counts"].items() if n)
    screen.line(f"{'jobs':<10} {told or 'none are left'}")
    for label in ("created_at", "started_at", "finished_at"):
        if row[label] is not None:
            at = parse_instant(row[label])
            screen.line(f"{label.partition('_')[0]:<10} {full(at)} ({ago(at, now)})")
    if row["eta_s"] is not None:
        screen.line(f"{'left':<10} about {spell_duration(row['eta_s'])}")
    if row["completion"] == "waits":
        screen.line(f"{'then':<10} its completion job is added")
    elif row["completion_job"] is not None:
        screen.line(
            f"{'then':<10} {safe(row['completion_job'])} was added ({row['completion_state'] or 'deleted since'})"
        )
    if row["counts"]["dead"]:
        screen.hint(f"\nDead jobs: queuectl dlq list --batch {row['name']}")
    return 0


@command(
    "batch wait",
    NAME,
    WAIT_TIMEOUT,
    PROPAGATE,
    examples=("queuectl batch wait movies", "queuectl batch wait movies --timeout 10m"),
)
def run_wait(args: Arguments, screen: Screen) -> int:
    """Wait for the jobs of a batch: `queuectl wait --batch NAME`."""
    return _as("wait", args, screen)


@command(
    "batch cancel",
    NAME,
    *CONSENT,
    examples=("queuectl batch cancel movies --dry-run", "queuectl batch cancel movies --yes"),
)
def run_cancel(args: Arguments, screen: Screen) -> int:
    """Cancel the jobs of a batch: `queuectl cancel --batch NAME`."""
    return _as("cancel", args, screen)


def _as(name: str, args: Arguments, screen: Screen) -> int:
    """Carry out another command for the jobs of the batch."""
    from queuectl.cli.verbs import load

    other = load(name)
    for names, more in other.options:
        if not hasattr(args, dest(names, more)):
            empty: Any = [] if more.get("nargs") == "*" else False if more.get("action") == "store_true" else None
            setattr(args, dest(names, more), more.get("default", empty))
    args.batch = args.name
    return other.handler(args, screen)
