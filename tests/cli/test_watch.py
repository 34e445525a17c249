"""status --watch and --short: the same screen again and again, in its place on a terminal; one line for a prompt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.cli import live
from queuectl.cli.live import LiveScreen, pieces, shown_width
from queuectl.cli.status_screen import short_line
from queuectl.status import Overview
from tests.cli.support import Jobs, Run
from tests.support.terminal import Emulator, Terminal

ROOT = Path(__file__).resolve().parents[2]
LINE = [sys.executable, str(ROOT / "queuectl"), "status", "--watch", "0.1"]


class Sized:
    """A screen of a size that the test sets."""

    is_table = True

    def __init__(self, columns: int, rows: int) -> None:
        self.size = (columns, rows)


def drawn(monkeypatch: pytest.MonkeyPatch, emulator: Emulator, screen: Sized) -> LiveScreen:
    made = LiveScreen(screen)  # type: ignore[arg-type]
    monkeypatch.setattr(made, "_write", lambda text: emulator.feed(text.replace("\n", "\r\n")))
    return made


def test_a_picture_takes_the_place_of_the_last_one_and_what_was_above_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    emulator, screen = Emulator(20, 8), Sized(20, 8)
    emulator.feed("$ queuectl\r\n")
    place = drawn(monkeypatch, emulator, screen)
    place.show(["one", "two two two", "three"])
    assert emulator.lines()[:4] == ["$ queuectl", "one", "two two two", "three"]
    place.show(["one", "two"])
    assert emulator.lines()[:4] == ["$ queuectl", "one", "two", ""]
    place.show(["a", "b", "c", "d"])
    assert emulator.lines()[:6] == ["$ queuectl", "a", "b", "c", "d", ""]


def test_a_picture_that_is_too_high_or_too_wide_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    emulator, screen = Emulator(10, 5), Sized(10, 5)
    place = drawn(monkeypatch, emulator, screen)
    for start in (0, 100):
        place.show([f"\x1b[31m{start + n:03} is rather long\x1b[0m" for n in range(9)])
        assert emulator.lines() == [*(f"{start + n:03} is ra…" for n in range(3)), "…", ""]


def test_after_a_change_of_size_the_terminal_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    emulator, screen = Emulator(20, 8), Sized(20, 8)
    place = drawn(monkeypatch, emulator, screen)
    place.show(["12345678901234567890", "x"])
    emulator.resize(12, 6)
    emulator.feed("remains of what was wrapped")
    screen.size = (12, 6)
    place.show(["12345678901234567890", "x"])
    assert emulator.lines() == ["12345678901…", "x", "", "", "", ""]


def test_colours_take_no_room() -> None:
    line = "a \x1b[31mred\x1b[0m b"
    assert pieces(line) == [("a ", ""), ("red", "31"), (" b", "")]
    assert shown_width(line) == 7


def test_on_a_terminal_until_ctrl_c(jobs: Jobs) -> None:
    jobs.pending("a")
    with Terminal(LINE, {}, columns=60) as terminal:
        terminal.until("supervisor not running", "1 job is waiting, but no workers are running")
        jobs.pending("b")
        lines = terminal.until("2 jobs are waiting, but no workers are running")
        assert sum("QueueCTL" in line for line in lines) == 1
        terminal.resize(100, 12)
        assert max(map(len, terminal.until("QueueCTL", "2 jobs are waiting"))) <= 100
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130
        assert b"\x1b[2J" in terminal.written.partition(b"2 jobs")[2]
        assert terminal.is_restored


def test_on_a_pipe_one_below_the_other(jobs: Jobs) -> None:
    jobs.pending("a")
    process = subprocess.Popen([*LINE, "--short"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    lines = [process.stdout.readline() for _ in range(3)]
    assert lines[1] == "\n"
    assert [line.partition(" (")[0] for line in lines[::2]] == ["1 waiting", "1 waiting"]
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert process.stderr.read() == ""
    process.stdout.close()
    process.stderr.close()


def test_json_is_an_object_a_line_and_a_reader_that_leaves_ends_it_quietly(jobs: Jobs) -> None:
    process = subprocess.Popen([*LINE, "-o", "jsonl"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    assert [json.loads(process.stdout.readline())["home"] for _ in range(3)] == [os.environ["QUEUECTL_HOME"]] * 3
    process.stdout.close()
    assert process.wait() == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_a_reader_that_leaves_is_noticed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only at the next word, which may be hours away."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as ours:
        monkeypatch.setattr(sys, "stdout", ours)
        with pytest.raises(BrokenPipeError):
            live.wait_for_input_or_end(-1, 60)
        monkeypatch.undo()


@pytest.mark.parametrize("period", ["0", "0.05", "soon"])
def test_a_period_that_is_none_is_misuse(cli: Run, period: str) -> None:
    assert cli("status", f"--watch={period}").code == 2


def test_the_line_for_a_prompt(cli: Run, jobs: Jobs, now: Callable[[float], None]) -> None:
    assert cli("status", "--short").out == "0 waiting, no workers, 0 dead\n"
    jobs.pending("a")
    jobs.dead("d")
    jobs.failed("f")
    jobs.held("h")
    now(42)
    assert cli("status", "--short").out == "2 waiting (oldest 42s), no workers, 1 dead\n"
    overview = Overview("/q", 0.0)
    overview.workers = [{"state": "busy"}, {"state": "idle"}]
    assert short_line(overview) == "? waiting, 1/2 busy, ? dead"
