"""view: what `top` shows, as painted lines, for a terminal of any size.

Guarantees: pure; never more lines than there are rows; what gives way on a small terminal are first the blank lines, then
            facts, counts and workers, never the jobs and the keys. Text of jobs cannot command the terminal.
"""

from __future__ import annotations

from queuectl.cli.commands.list import columns as job_columns
from queuectl.cli.status_screen import attention, write_counts, write_facts, write_head
from queuectl.cli.table import emit
from queuectl.cli.text import safe
from queuectl.cli.top.state import ORDERS
from queuectl.cli.workers import columns as worker_columns
from queuectl.units import plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from queuectl.cli.terminal import Screen
    from queuectl.cli.top.state import State
    from queuectl.status import Overview

    Line = tuple[str, bool]  # painted; whether it is the selected one

LEAST_JOBS = 3
MOST_WORKERS = 8
KEYS = "j k select   c cancel   r retry   l log   t sort   / filter   ? help   q quit"
SHORT_KEYS = "c cancel  r retry  l log  t sort  / filter  ? help  q quit"
HELP = """\
  up, k      the job above          PgUp  ten jobs up       g  the first
  down, j    the job below          PgDn  ten jobs down     G  the last

  c          cancel the selected job, after a question
  r          run it again now, without waiting for its time
  l, Enter   its log, as it comes; q goes back
  t          another order: as they start, oldest first, last changed first
  /          only jobs that contain the words of a text; empty for all
  q, Ctrl-C  leave; jobs and workers go on

Any key goes back."""


class Snapshot:
    """What was found out at one moment.

    Args:
        jobs: those that run, then those that wait, as rows of the index.
        total: how many there are; at least so many when not `is_exact`.
        order: that of those that wait, a key of ORDERS.
    """

    def __init__(
        self, overview: Overview, jobs: Sequence[dict[str, Any]], total: int, order: str, *, is_exact: bool
    ) -> None:
        self.overview = overview
        self.jobs = jobs
        self.total = total
        self.order = order
        self.is_exact = is_exact


def frame(screen: Screen, snapshot: Snapshot, state: State, size: tuple[int, int]) -> list[Line]:
    """Return the lines of the main view."""
    columns, rows = size
    screen.room = columns
    if state.mode == "help":
        lines = [screen.paint("QueueCTL top", "bold"), "", *HELP.splitlines()]
        return [(line, False) for line in lines][:rows]
    sections = _sections(screen, snapshot)
    title = _title(screen, snapshot, state)
    least = len(title) + 1 + min(LEAST_JOBS, max(1, len(snapshot.jobs))) + 1
    kept = _that_fit(sections, rows - least)
    height = max(1, rows - len(kept) - len(title) - 2)
    made: list[Line] = [(line, False) for line in (*kept, *title)]
    made += _jobs(screen, snapshot, state, height)
    made = made[: rows - 1]
    made += [("", False)] * (rows - 1 - len(made))
    return [*made, (_footer(screen, state, columns), False)]


def _sections(screen: Screen, snapshot: Snapshot) -> list[tuple[int, list[str]]]:
    """Return the parts above the jobs, each with when it gives way: the highest first."""
    overview = snapshot.overview
    workers = sorted(overview.workers, key=lambda worker: worker["state"] == "idle")
    shown = screen.held(lambda: emit(screen, workers[:MOST_WORKERS], worker_columns(overview.now), ()))
    if len(workers) > MOST_WORKERS:
        shown.append(screen.paint(f"and {plural(len(workers) - MOST_WORKERS, 'more worker')}", "dim"))
    needs = [*attention(overview)][-1:]
    blank: list[str] = [""]
    return [
        (0, screen.held(lambda: write_head(screen, overview))),
        (6, blank),
        (3, screen.held(lambda: write_counts(screen, overview))),
        (5, blank),
        (4, screen.held(lambda: write_facts(screen, overview))),
        (7, blank if workers else []),
        (2, shown),
        (1, [screen.paint(safe(text), colour) for text, colour in needs]),
        (8, blank),
    ]


def _that_fit(sections: list[tuple[int, list[str]]], room: int) -> list[str]:
    kept = [*sections]
    while kept and sum(len(lines) for _, lines in kept) > room:
        kept.remove(max(kept, key=lambda section: section[0]))
    return [line for _, lines in kept for line in lines]


def _title(screen: Screen, snapshot: Snapshot, state: State) -> list[str]:
    overview = snapshot.overview
    held = overview.count("held")
    facts = [f"{overview.count('processing'):,} running", f"{overview.count('pending', 'failed'):,} waiting"]
    if held:
        facts.append(f"{held:,} held")
    facts.append(ORDERS[snapshot.order])
    if state.search:
        more = "" if snapshot.is_exact else "more than "
        facts.append(f'{more}{snapshot.total:,} with "{safe(state.search)}"')
    return [screen.paint("   ".join(facts), "dim")]


def _jobs(screen: Screen, snapshot: Snapshot, state: State, height: int) -> list[Line]:
    """Return the table, from where the selected job is seen."""
    if not snapshot.jobs:
        return [("  no job runs or waits" if not state.search else "  no such job", False)]
    first = max(0, min(state.place - height // 2, len(snapshot.jobs) - height))
    shown = snapshot.jobs[first : first + height]
    lines = screen.held(lambda: emit(screen, shown, job_columns(snapshot.overview.now), ()))
    return [(line, number == state.place - first + 1) for number, line in enumerate(lines)]


def _footer(screen: Screen, state: State, columns: int) -> str:
    if state.mode == "filter":
        return f"/{safe(state.typed)}_   Enter: show   Esc: as before"
    if state.mode == "ask":
        return screen.paint(f"Cancel {state.selected}? y or n", "yellow")
    if state.message:
        return screen.paint(safe(state.message), "yellow")
    return screen.paint(KEYS if len(KEYS) < columns else SHORT_KEYS, "dim")


def log_frame(screen: Screen, title: str, lines: Sequence[str], state: State, size: tuple[int, int]) -> list[Line]:
    """Return the lines of a log's view: its end, or what lies `state.above` lines above it."""
    columns, rows = size
    screen.room = columns
    height = max(0, rows - 2)
    state.above = min(state.above, max(0, len(lines) - height))
    end = len(lines) - state.above
    made = [screen.paint(safe(title), "bold"), *lines[max(0, end - height) : end]]
    made += [""] * (rows - 1 - len(made))
    where = f"{plural(state.above, 'line')} below; G follows" if state.above else "follows"
    return [(line, False) for line in (*made, screen.paint(f"{where}   k j scroll   q back", "dim"))]
