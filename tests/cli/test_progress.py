"""Progress: late, seldom, on a terminal only, and gone at the end."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest

from queuectl.cli.commandline import Arguments
from queuectl.cli.progress import Progress
from queuectl.cli.terminal import Screen
from queuectl.clock import Clock


class Standing(Clock):
    """A clock that goes when it is told to."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = 100.0

    def monotonic(self) -> float:
        return self.at


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen(*, quiet: bool = False) -> Screen:
    args = Arguments()
    args.output, args.quiet, args.color = "table", quiet, "auto"
    return Screen(args)


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Terminal]:
    """Make stderr a terminal; to be called in the test, for pytest puts its own stderr back after the set-up."""

    def make() -> Terminal:
        made = Terminal()
        monkeypatch.setattr(sys, "stderr", made)
        monkeypatch.setenv("COLUMNS", "80")
        return made

    return make


def test_work_that_is_done_at_once_shows_nothing(look: Callable[[], Terminal]) -> None:
    stderr = look()
    clock = Standing()
    with Progress(screen(), "Queueing", 100, clock) as progress:
        clock.at += 0.29
        progress.step()
    assert stderr.getvalue() == ""


def test_long_work_shows_a_bar_and_wipes_it(look: Callable[[], Terminal]) -> None:
    stderr = look()
    clock = Standing()
    with Progress(screen(), "Queueing", 100, clock) as progress:
        clock.at += 0.5
        progress.step(25)
    assert stderr.getvalue() == "\r\x1b[KQueueing  [#####---------------]  25%  25/100  50/s  1.5s left\r\x1b[K"


def test_it_is_drawn_ten_times_a_second_at_most(look: Callable[[], Terminal]) -> None:
    stderr = look()
    clock = Standing()
    progress = Progress(screen(), "Queueing", None, clock)
    clock.at += 1
    for _ in range(1000):
        clock.at += 0.001
        progress.step()
    assert 9 <= stderr.getvalue().count("Queueing") <= 11


def test_without_a_total_there_is_a_count(look: Callable[[], Terminal]) -> None:
    stderr = look()
    clock = Standing()
    progress = Progress(screen(), "Queueing", None, clock)
    clock.at += 2
    progress.step(3000)
    assert stderr.getvalue().endswith("Queueing  3,000  1,500/s")


def test_words_stand_instead_of_figures_and_are_cut_to_the_width(look: Callable[[], Terminal]) -> None:
    stderr = look()
    clock = Standing()
    progress = Progress(screen(), "Waiting for", None, clock)
    clock.at += 1
    progress.step(0, "worker-1 " * 20)
    assert len(stderr.getvalue().removeprefix("\r\x1b[K")) == 79


def test_nobody_who_is_not_looking_is_told(look: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = look()
    for on in (screen(quiet=True), None):
        if on is None:
            monkeypatch.setattr(sys, "stderr", io.StringIO())
            on = screen()
        clock = Standing()
        with Progress(on, "Queueing", 10, clock) as progress:
            clock.at += 5
            progress.step()
    assert stderr.getvalue() == ""
