"""top on a real terminal, as an emulator shows it: keys act, sizes change, and the terminal is as it was at every end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from queuectl.cli.text import safe
from tests.cli.support import Jobs, Run
from tests.support.terminal import Terminal

ROOT = Path(__file__).resolve().parents[2]
LINE = [sys.executable, str(ROOT / "queuectl"), "top", "--every", "0.2"]
TERM = {"TERM": "xterm-256color"}


def test_jobs_come_and_are_cancelled_and_retried_by_keys(jobs: Jobs) -> None:
    jobs.pending("first")
    with Terminal(LINE, TERM) as terminal:
        terminal.until("0 running   1 waiting", "first", "q quit")
        jobs.failed("second", delay_s=3600)
        terminal.until("0 running   2 waiting", "second")
        terminal.type("G")
        terminal.type("r")
        terminal.until("second runs again")
        assert jobs.queue.get("second").state == "pending"
        terminal.type("/first\r")
        terminal.until('1 with "first"', gone="second  ")
        terminal.type("c")
        terminal.until("Cancel first? y or n")
        terminal.type("y")
        terminal.until("Cancelled first")
        assert jobs.queue.get("first").state == "cancelled"
        terminal.type("q")
        assert terminal.end() == 0
        assert terminal.is_restored


def test_a_job_that_has_completed_since_it_was_shown_is_not_run_again(jobs: Jobs) -> None:
    jobs.failed("a", delay_s=3600)
    line = [*LINE[:-1], "60"]
    with Terminal(line, TERM) as terminal:
        terminal.until("0 running   1 waiting", "q quit")
        with jobs.start("a") as claim:
            claim.finish({"exit_code": 0})
        terminal.type("r")
        terminal.until("a has completed; to run it again: queuectl retry a")
        terminal.type("q")
        assert terminal.end() == 0
    assert jobs.queue.get("a").state == "completed"


def test_a_log_is_followed(jobs: Jobs) -> None:
    jobs.failed("a", output=b"one\n\x1b[2Jtwo\ttabs\n", delay_s=3600)
    with Terminal(LINE, TERM) as terminal:
        terminal.until("a ", "q quit")
        terminal.type("l")
        terminal.until("a   attempt 1   failed", "one", "\\x1b[2Jtwo", "tabs", "follows")
        with Path(jobs.queue.output("a")).open("ab") as file:
            file.write(b"three\n")
        terminal.until("three")
        terminal.type("q")
        terminal.until("q quit", gone="three")


def test_the_size_is_followed_at_once(jobs: Jobs) -> None:
    """Also with a look once an hour."""
    jobs.pending("a")
    with Terminal([*LINE[:-1], "1h"], TERM) as terminal:
        for columns, rows in ((80, 24), (60, 12), (120, 30), (20, 5), (200, 50)):
            terminal.resize(columns, rows)
            lines = terminal.until("c cancel")
            assert "c cancel" in lines[rows - 1]
        assert "supervisor not running" in lines[0]


def test_the_text_of_jobs_cannot_command_the_terminal(jobs: Jobs) -> None:
    """The emulator fails on what it does not know; a command in the title, or that clears, would show."""
    command = "echo \x1b]0;owned\x07 \x1b[2J\x9b31m \u202e ü 漢字"
    jobs.pending("a", command)
    with Terminal(LINE, TERM, columns=120) as terminal:
        terminal.until("a ", "\\x1b[2J", "ü")
        assert b"owned\x07" not in terminal.written
        assert safe(command)[:30] in "\n".join(terminal.screen.lines())


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)],
    ids=["TERM", "HUP", "INT"],
)
def test_the_terminal_is_as_it_was_after_a_signal(jobs: Jobs, number: int, code: int) -> None:
    with Terminal([*LINE[:-1], "1h"], TERM) as terminal:
        terminal.until("no job runs or waits")
        assert terminal.screen.is_other_screen
        assert not terminal.is_restored
        terminal.process.send_signal(number)
        assert terminal.end() == code
        assert terminal.is_restored


def test_the_terminal_is_as_it_was_after_a_bug(jobs: Jobs, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\nfrom queuectl.cli.top import loop\nfrom queuectl.cli.main import main\n"
        "def fail(*_): raise ZeroDivisionError('planted')\n"
        "loop.frame = fail\nsys.exit(main(sys.argv[1:]))\n"
    )
    with Terminal([sys.executable, str(program), "top"], {**TERM, "PYTHONPATH": str(ROOT)}) as terminal:
        assert terminal.end() == 70
        assert terminal.is_restored
        assert any("this is a bug in queuectl: ZeroDivisionError: planted" in line for line in terminal.screen.lines())


def test_no_color_is_respected(jobs: Jobs) -> None:
    jobs.dead("d")
    for env, is_painted in (({}, True), ({"NO_COLOR": "1"}, False)):
        with Terminal(LINE, {**TERM, **env}) as terminal:
            terminal.until("1 dead job", "q quit")
            assert any("33" in style for style in terminal.screen.styles_of("1 dead job")) is is_painted


def test_a_supervisor_that_hangs_is_told_and_keys_are_still_heard(jobs: Jobs) -> None:
    """It accepts connections and never answers, as one that was stopped; then it is gone."""
    jobs.pending("a")
    with Terminal(LINE, TERM) as terminal, socket.socket(socket.AF_UNIX) as listener:
        terminal.until("1 waiting", "q quit")
        listener.bind(str(Path(jobs.queue.layout.run) / "control.sock"))
        listener.listen()
        terminal.until("the queue did not answer within 3s")
        terminal.type("?")
        terminal.until("Any key goes back")
        terminal.type("x")
        listener.close()
        terminal.until("q quit", gone="did not answer")
        terminal.type("q")
        assert terminal.end() == 0
        assert terminal.is_restored


@pytest.mark.parametrize("term", ["dumb", "no-such-terminal"])
def test_a_terminal_that_cannot_do_it_is_told_with_a_way_out(jobs: Jobs, term: str) -> None:
    with Terminal(LINE, {"TERM": term}) as terminal:
        assert terminal.end() == 2
        assert any("queuectl status --watch" in line for line in terminal.screen.lines())


def test_where_there_is_no_terminal_it_is_misuse(queuectl: Run) -> None:
    ran = queuectl("top")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == ("queuectl: top needs a terminal with cursor control\n          hint: queuectl status --watch\n")


def test_mistakes_are_told(queuectl: Run) -> None:
    assert "--every must be" in queuectl("top", "--every", "0").err
    assert "cannot be used with -o" in queuectl("top", "--json").err


def test_nothing_is_left_running(jobs: Jobs) -> None:
    """Its own commands have ended before it says what they did."""
    jobs.pending("a")
    with Terminal(LINE, TERM) as terminal:
        terminal.until("1 waiting", "q quit")
        terminal.type("cy")
        terminal.until("Cancelled a")
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(terminal.process.pid)], capture_output=True, text=True, check=False
        )
        assert children.stdout.split() == []
