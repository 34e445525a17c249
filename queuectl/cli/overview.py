"""overview: what `status` shows, gathered in one object and laid out as one screen."""

from __future__ import annotations

from queuectl import __version__
from queuectl.cli.render import emit
from queuectl.cli.screen import shorten
from queuectl.cli.text import pad, plural, safe, width
from queuectl.cli.workers import columns
from queuectl.units import spell_duration, spell_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from queuectl.cli.screen import Screen
    from queuectl.index.reader import RecentStats

ALWAYS = ("pending", "failed", "processing", "completed", "dead")
SOMETIMES = ("held", "cancelled")  # shown when there are some
COLOURS = {"failed": "yellow", "dead": "red", "processing": "cyan"}
WRAP_AT = 80  # facts are read better in a few lines than in a long one
LOW_SHARE = 0.05  # of a disk that is free


class Overview:
    """How things stand at one moment.

    Attributes:
        supervisor: its `status` answer; None when none runs.
        died: the pid of the last one, if it left no word.
        counts: jobs by state; empty when the index is `unavailable`, which says why.
    """

    def __init__(self, home: str, now: float) -> None:
        self.home = home
        self.now = now
        self.supervisor: dict[str, Any] | None = None
        self.died: int | None = None
        self.workers: list[dict[str, Any]] = []
        self.counts: dict[str, int] = {}
        self.oldest_waiting: float | None = None
        self.recent: RecentStats | None = None
        self.dead_today = 0
        self.unavailable: str | None = None
        self.rejected = 0
        self.free_bytes = self.disk_bytes = 0

    def count(self, *states: str) -> int:
        """Return how many jobs are in these states."""
        return sum(self.counts.get(state, 0) for state in states)


def write(screen: Screen, overview: Overview) -> None:
    """Write the screen."""
    room = screen.columns or WRAP_AT
    for line in _wrapped(_head(overview), 3, room):
        screen.line(screen.paint(line, "bold"))
    screen.line()
    _write_counts(screen, overview)
    screen.line()
    for line in _wrapped(_facts(overview), 5, min(room, WRAP_AT) - 2):
        screen.line(f"  {line}")
    if overview.workers:
        screen.line()
        emit(screen, overview.workers, columns(overview.now), ())
    needs = [*attention(overview)]
    if needs:
        screen.line()
    for text, colour in needs:
        screen.line(screen.paint(safe(text), colour))


def _head(overview: Overview) -> Iterator[str]:
    yield f"QueueCTL {__version__}"
    yield f"home {shorten(overview.home)}"
    supervisor = overview.supervisor
    if supervisor is None:
        last = f" (the last one, pid {overview.died}, was killed)" if overview.died else ""
        yield f"supervisor not running{last}"
        return
    up = spell_duration(max(0.0, overview.now - supervisor["started_at"]))
    state = "draining" if supervisor["draining"] else "running"
    version = "" if supervisor["version"] == __version__ else f", version {supervisor['version']}"
    yield f"supervisor {state} (pid {supervisor['pid']}, up {up}{version})"


def _write_counts(screen: Screen, overview: Overview) -> None:
    states = [*ALWAYS, *(state for state in SOMETIMES if overview.count(state))]
    figures = [f"{overview.count(state):,}" if overview.counts else "?" for state in states]
    widths = [max(len(state), len(figure)) for state, figure in zip(states, figures, strict=True)]
    for texts in (states, figures):
        cells = [pad(text, columns, right=True) for text, columns in zip(texts, widths, strict=True)]
        if texts is figures:
            cells = [
                screen.paint(cell, COLOURS.get(state) if overview.count(state) else None)
                for cell, state in zip(cells, states, strict=True)
            ]
        screen.line("  " + "  ".join(cells))


def _facts(overview: Overview) -> Iterator[str]:
    if overview.oldest_waiting is not None:
        yield f"oldest waiting  {spell_duration(max(0.0, overview.now - overview.oldest_waiting))}"
    recent = overview.recent
    if recent is not None and recent.done + recent.failed:
        share = recent.failed / (recent.done + recent.failed)
        yield f"last hour  {recent.done:,} done, {recent.failed:,} failed ({share:.1%})"
        yield f"{recent.per_minute:.1f}/min"
        yield f"wait p50 {_seconds(recent.wait_p50)} p95 {_seconds(recent.wait_p95)}"
        yield f"run p50 {_seconds(recent.run_p50)} p95 {_seconds(recent.run_p95)}"
    else:
        yield "last hour  nothing done"
    if overview.disk_bytes:
        yield f"disk {overview.free_bytes / overview.disk_bytes:.0%} free"


def _seconds(value: float | None) -> str:
    return "-" if value is None else spell_duration(value)


def _wrapped(pieces: Iterable[str], gap: int, room: int | None) -> Iterator[str]:
    """Join pieces into lines that fit."""
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
    supervisor = overview.supervisor or {}
    if supervisor.get("syncing"):
        yield f"The index is being brought up to date ({supervisor['syncing']}): figures may lag", "dim"
    if supervisor.get("draining"):
        yield "Draining: each worker stops when its job has ended", "yellow"
    adopted = len(supervisor.get("adopted", ()))
    if adopted:
        yield (
            f"{plural(adopted, 'job')} whose worker died {'runs' if adopted == 1 else 'run'} on under the supervisor",
            "yellow",
        )
    if overview.disk_bytes and overview.free_bytes < LOW_SHARE * overview.disk_bytes:
        yield f"The disk is nearly full: {spell_size(overview.free_bytes)} left", "red"
    if overview.rejected:
        words = "file is no job; the reason lies beside it", "files are no jobs; the reasons lie beside them"
        where = f"{shorten(overview.home)}/spool/rejected"
        yield f"{overview.rejected:,} {words[overview.rejected > 1]}: {where}", "yellow"
    if overview.count("dead"):
        new = f", {overview.dead_today:,} new today" if overview.dead_today else ""
        yield f"{plural(overview.count('dead'), 'dead job')}{new}: queuectl dlq list", "red"
    if overview.unavailable:
        yield f"{overview.unavailable}; to build the index anew: queuectl index rebuild", "red"
    if supervisor.get("degraded"):
        yield f"Degraded: {supervisor['degraded']}", "red"
    waiting = overview.count("pending", "failed")
    if waiting and not overview.workers:
        wait = "1 job waits" if waiting == 1 else f"{waiting:,} jobs wait"
        yield f"{wait}, but nobody works: queuectl worker start --count 2", "red"
