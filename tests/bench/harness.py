"""harness: what a benchmark is, and how it is run.

A bench makes cases; a round runs each case once, and every other round runs them backwards. A figure that has a limit
is compared with it within each round: the machine drifts by a factor of two from hour to hour, so only such pairs say
something. Everything is written under one directory, each case in a fresh one, and nothing is deleted before the end
(docs/PERFORMANCE.md § Method says why).
"""

from __future__ import annotations

import itertools
import math
import shutil
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

NOTHING_STORED, RELAXED, FULL = "–", "relaxed", "full"
RATIO, ABOVE = "ratio", "above"  # how a figure is compared with its limit: divided by it, or what it takes more


@dataclass(frozen=True)
class Goal:
    """What docs/PERFORMANCE.md asks of a figure, or of its comparison with the limit."""

    least: float = -math.inf
    most: float = math.inf
    of: str = "comparison"  # or "value"
    full_size_only: bool = False  # in a smaller run it says nothing

    def __str__(self) -> str:
        sign, bound = ("≥", self.least) if self.most == math.inf else ("≤", self.most)
        return f"{sign} {bound:,g}"

    def is_met(self, number: float) -> bool:
        """Tell whether a number meets the goal."""
        return self.least <= number <= self.most


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        what: in words; unique within its bench.
        durability: relaxed, full, or – where nothing of a queue is stored.
        limit: `what` of the figure of the same bench to compare with.
        size: how many jobs lie in the spool, for the growth table.
    """

    what: str
    unit: str
    durability: str = NOTHING_STORED
    limit: str | None = None
    compare: str = RATIO
    goal: Goal | None = None
    size: int | None = None


@dataclass(frozen=True)
class Case:
    """What is run once a round, and gives one number for each of its figures; NaN where there is none."""

    figures: tuple[Figure, ...]
    run: Callable[[], Sequence[float]]
    rounds: int | None = None  # at most so many: some spools take minutes to get ready


@dataclass
class Row:
    """A figure with what was measured, one number a round."""

    bench: str
    figure: Figure
    samples: list[float] = field(default_factory=list)
    comparisons: list[float] = field(default_factory=list)

    def compare_with(self, limit: Row) -> None:
        """Pair every round's number with that of the limit."""
        divide = self.figure.compare == RATIO
        for ours, theirs in zip(self.samples, limit.samples, strict=False):
            if divide and theirs:
                self.comparisons.append(ours / theirs)
            elif not divide:
                self.comparisons.append(ours - theirs)

    @property
    def verdict(self) -> bool | None:
        """Tell whether the median meets the goal; None without a goal or a number."""
        goal = self.figure.goal
        numbers = self.comparisons if goal is not None and goal.of == "comparison" else self.samples
        numbers = [number for number in numbers if not math.isnan(number)]
        return None if goal is None or not numbers else goal.is_met(median(numbers))


@dataclass(frozen=True)
class Sizes:
    """How much is done; the goals are about `FULL_SIZE`."""

    name: str
    jobs: int  # that a drain runs
    backlogs: tuple[int, ...]  # that wait, and have finished
    rounds: int
    commands: int  # whole processes a round
    drops: int  # files dropped a round
    bulk: int  # jobs put in at once
    seconds: float  # of looking at an idle queue
    crowd: tuple[int, int, float]  # workers, jobs, seconds that each sleeps


SMALL = Sizes("small", 60, (100, 300), 2, 3, 5, 200, 0.5, (8, 16, 0.1))
MEDIUM = Sizes("medium", 1000, (1_000, 10_000, 50_000), 3, 15, 60, 10_000, 5, (64, 256, 0.5))
FULL_SIZE = Sizes("full", 2000, (1_000, 10_000, 100_000, 1_000_000), 5, 30, 200, 50_000, 10, (64, 1000, 1.0))
SIZES = {sizes.name: sizes for sizes in (SMALL, MEDIUM, FULL_SIZE)}


class Context:
    """What a bench has at hand: the sizes, fresh directories, and what has to be ended when it is over."""

    def __init__(self, root: Path, sizes: Sizes, say: Callable[[str], None]) -> None:
        self.root = root
        self.sizes = sizes
        self.say = say
        self.cleanup = ExitStack()
        self.shared: dict[object, Path] = {}  # big spools, built once a run; the benches that use them say so
        self._numbers = itertools.count(1)

    def fresh(self, name: str) -> Path:
        """Return a directory that nobody has used."""
        made = self.root / f"{next(self._numbers):04}-{name}"
        made.mkdir(mode=0o700)
        return made


@dataclass(frozen=True)
class Bench:
    """A named benchmark."""

    name: str
    about: str
    cases: Callable[[Context], Iterable[Case]]


BENCHES: dict[str, Bench] = {}


def bench(
    name: str, about: str
) -> Callable[[Callable[[Context], Iterable[Case]]], Callable[[Context], Iterable[Case]]]:
    """Register the function that makes the cases of a benchmark."""

    def register(cases: Callable[[Context], Iterable[Case]]) -> Callable[[Context], Iterable[Case]]:
        BENCHES[name] = Bench(name, about, cases)
        return cases

    return register


def run(chosen: Bench, context: Context, rounds: int) -> list[Row]:
    """Run one bench and return its rows."""
    try:
        cases = [*chosen.cases(context)]
        rows = [[Row(chosen.name, figure) for figure in case.figures] for case in cases]
        for number in range(rounds):
            context.say(f"{chosen.name}: round {number + 1} of {rounds}")
            order = range(len(cases)) if number % 2 == 0 else reversed(range(len(cases)))
            for place in order:
                if number < (cases[place].rounds or rounds):
                    numbers = cases[place].run()
                    for row, value in zip(rows[place], numbers, strict=True):
                        row.samples.append(float(value))
    finally:
        context.cleanup.close()
        context.cleanup = ExitStack()
    flat = [row for group in rows for row in group]
    by_what = {row.figure.what: row for row in flat}
    for row in flat:
        if row.figure.limit is not None:
            row.compare_with(by_what[row.figure.limit])
    return flat


def run_all(
    chosen: Sequence[Bench], sizes: Sizes, rounds: int | None, directory: str | None = None, *, quiet: bool = False
) -> tuple[list[Row], str]:
    """Run benches in a directory of their own, which is deleted when all have ended.

    Returns:
        The rows, and what the directory's file system is.
    """
    from tests.bench.machine import file_system_of

    root = Path(tempfile.mkdtemp(prefix="queuectl-bench-", dir=directory))
    rows: list[Row] = []
    try:
        context = Context(root, sizes, _quiet if quiet else _say)
        for each in chosen:
            rows += run(each, context, rounds or sizes.rounds)
        return rows, file_system_of(root)
    finally:
        shutil.rmtree(root)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _quiet(_text: str) -> None:
    return
