"""status_screen: what `status` shows, laid out as one screen."""

from __future__ import annotations

from queuectl.cli.table import emit
from queuectl.cli.terminal import shorten
from queuectl.cli.text import pad, safe, width
from queuectl.cli.workers import columns
from queuectl.health import ERROR, INFO, WARN
from queuectl.health import attention as needs_of
from queuectl.units import plural, spell_duration
from queuectl.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from queuectl.cli.terminal import Screen
    from queuectl.status import Overview

ALWAYS = ("pending", "failed", "processing", "completed", "dead")
SOMETIMES = ("held", "cancelled")  # shown when there are some
COLOURS = {"failed": "yellow", "dead": "red", "processing": "cyan"}
WRAP_AT = 80  # facts are read better in a few lines than in a long one
LEVELS = {INFO: "dim", WARN: "yellow", ERROR: "red"}


def write(screen: Screen, overview: Overview) -> None:
    """Write the screen."""
    write_head(screen, overview)
    screen.line()
    write_counts(screen, overview)
    screen.line()
    write_facts(screen, overview)
    if overview.workers:
        screen.line()
        emit(screen, overview.workers, columns(overview.now), ())
    needs = [*attention(overview)]
    if needs:
        screen.line()
    for text, colour in needs:
        screen.line(screen.paint(safe(text), colour))


def write_head(screen: Screen, overview: Overview) -> None:
    """Write what this is, and whether a supervisor runs."""
    for line in wrapped(_head(overview), 3, screen.columns or WRAP_AT):
        screen.line(screen.paint(line, "bold"))


def write_facts(screen: Screen, overview: Overview) -> None:
    """Write waiting and run times, throughput, and how much of the disk is free."""
    for line in wrapped(_facts(overview), 5, min(screen.columns or WRAP_AT, WRAP_AT) - 2):
        screen.line(f"  {line}")


def short_line(overview: Overview) -> str:
    """Say the most important in one line: "128 waiting (oldest 42s), 3/4 busy, 7 dead"."""
    waiting = f"{overview.due:,}" if overview.counts else "?"
    if overview.oldest_waiting is not None:
        waiting += f" waiting (oldest {spell_duration(max(0.0, overview.now - overview.oldest_waiting))})"
    else:
        waiting += " waiting"
    if overview.scheduled:
        waiting += f", {overview.scheduled:,} scheduled"
    if overview.awaiting_parents:
        waiting += f", {overview.awaiting_parents:,} after others"
    busy = sum(worker["state"] == "busy" for worker in overview.workers)
    workers = f"{busy}/{len(overview.workers)} busy" if overview.workers else "no workers"
    if overview.silent:
        workers = f"the supervisor (pid {overview.silent}) does not answer"
    dead = f"{overview.count('dead'):,}" if overview.counts else "?"
    paused = (
        "" if not overview.paused else ", paused" if "_all" in overview.paused else f", {len(overview.paused):,} paused"
    )
    return f"{waiting}, {workers}, {dead} dead{paused}"


def _head(overview: Overview) -> Iterator[str]:
    yield f"QueueCTL {__version__}"
    yield f"home {shorten(overview.home)}"
    supervisor = overview.supervisor
    if supervisor is None:
        if overview.silent:
            yield f"supervisor does not answer (pid {overview.silent})"
            return
        last = f" (the last one, pid {overview.died}, was killed)" if overview.died else ""
        yield f"supervisor not running{last}"
        return
    up = spell_duration(max(0.0, overview.now - supervisor["started_at"]))
    state = "draining" if supervisor["draining"] else "running"
    version = "" if supervisor["version"] == __version__ else f", version {supervisor['version']}"
    yield f"supervisor {state} (pid {supervisor['pid']}, up {up}{version})"


def write_counts(screen: Screen, overview: Overview) -> None:
    """Write how many jobs are in each state."""
    states = [*ALWAYS, *(state for state in SOMETIMES if overview.count(state))]
    figures = [f"{overview.count(state):,}" if overview.counts else "?" for state in states]
    widths = [max(len(state), len(figure)) for state, figure in zip(states, figures, strict=True)]
    while states:
        count = len(states)
        while count > 1 and screen.columns is not None and sum(widths[:count]) + 2 * count > screen.columns:
            count -= 1
        for texts in (states, figures):
            cells = [pad(text, columns, right=True) for text, columns in zip(texts[:count], widths, strict=False)]
            if texts is figures:
                cells = [
                    screen.paint(cell, COLOURS.get(state) if overview.count(state) else None)
                    for cell, state in zip(cells, states, strict=False)
                ]
            screen.line("  " + "  ".join(cells))
        states, figures, widths = states[count:], figures[count:], widths[count:]


def _facts(overview: Overview) -> Iterator[str]:
    if overview.oldest_waiting is not None:
        yield f"oldest waiting  {spell_duration(max(0.0, overview.now - overview.oldest_waiting))}"
    if overview.scheduled:
        away = spell_duration(max(0.0, (overview.next_at or overview.now) - overview.now))
        yield f"scheduled  {overview.scheduled:,}, next in {away}"
    if overview.awaiting_parents:
        yield f"after other jobs  {overview.awaiting_parents:,}"
    hour = overview.last_hour()
    if hour is not None and hour["done"] + hour["dead"] + hour["failed_attempts"]:
        yield f"last hour  {ended_jobs(hour['done'], hour)}"
        yield f"{hour['per_minute']:.1f} done/min"
        yield f"wait p50 {seconds(hour['wait_p50'])} p95 {seconds(hour['wait_p95'])}"
        yield f"run p50 {seconds(hour['run_p50'])} p95 {seconds(hour['run_p95'])}"
    else:
        yield "last hour  nothing done"
    if overview.disk_bytes:
        yield f"disk {overview.free_bytes / overview.disk_bytes:.0%} free"


def ended_jobs(done: int, figures: Mapping[str, Any]) -> str:
    """Say how many jobs completed and how many became dead; attempts are counted apart: they are not jobs."""
    share = f" ({figures['dead_share']:.1%})" if figures["dead"] else ""
    return f"{done:,} done, {figures['dead']:,} dead{share}, {plural(figures['failed_attempts'], 'failed attempt')}"


def seconds(value: float | None) -> str:
    """Write a duration that may not be known."""
    return "-" if value is None else spell_duration(value)


def wrapped(pieces: Iterable[str], gap: int, room: int | None) -> Iterator[str]:
    """Join pieces into lines that fit; None fits all."""
    line = ""
    for piece in pieces:
        joined = f"{line}{' ' * gap}{piece}" if line else piece
        if line and room is not None and width(joined) > room:
            yield line
            joined = piece
        line = joined
    if line:
        yield line


def attention(overview: Overview) -> Iterator[tuple[str, str]]:
    """Yield what needs a person, the most important last, each with its colour."""
    for need in needs_of(overview):
        yield f"{need.text}: {need.hint}" if need.hint else need.text, LEVELS[need.level]
