"""logs: what a job wrote: all, the end, one attempt, as it comes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.cli.tail import LONGEST_LINE, Printer
from queuectl.growing_file import BLOCK, GrowingFile
from tests.cli.support import Jobs, Ran, Run

ROOT = Path(__file__).resolve().parents[2]


def test_the_very_bytes_go_into_a_pipe(queuectl: Run, jobs: Jobs, tmp_path: Path) -> None:
    jobs.completed("a", b"\x1b[31mred\r\n\xff\0 end")
    line = [sys.executable, str(ROOT / "queuectl"), "logs", "a"]
    assert subprocess.run(line, capture_output=True, check=True).stdout == b"\x1b[31mred\r\n\xff\0 end"


def test_a_terminal_gets_nothing_that_could_command_it(terminal: Callable[..., Ran], jobs: Jobs) -> None:
    jobs.completed("a", b"\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b[2J\xff\xc3\xa4\n")
    assert terminal("logs", "a").out == "red \\x1b]0;title\\x07\\x1b[2J\\xffä\n"


def test_the_newest_attempt_unless_another_is_named(cli: Run, jobs: Jobs) -> None:
    jobs.failed("a", b"first\n")
    with jobs.start("a", b"second\n") as claim:
        claim.finish({"exit_code": 0})
    assert cli("logs", "a").out == "second\n"
    assert cli("logs", "a", "--attempt", "1").out == "first\n"
    ran = cli("logs", "a", "--attempt", "3")
    assert (ran.code, ran.err) == (3, "queuectl: job a has no attempt 3: it has 2 attempts\n")


def test_a_job_that_has_not_run_has_no_output(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a")
    ran = cli("logs", "a")
    assert (ran.code, ran.err) == (3, "queuectl: job a has not run yet\n")
    assert cli("logs", "a", "--json").code == 3


@pytest.mark.parametrize("words", [("logs", "a"), ("worker", "logs")])
def test_a_number_of_lines_below_none_is_a_mistake(cli: Run, jobs: Jobs, words: tuple[str, ...]) -> None:
    """Never an empty output that looks like a silent job."""
    jobs.completed("a", b"line\n")
    ran = cli(*words, "--lines=-5")
    assert (ran.code, ran.out, ran.err) == (2, "", "queuectl: --lines must be 0 or more, not -5\n")


def test_output_that_has_been_removed_is_told(cli: Run, jobs: Jobs, home: Path) -> None:
    jobs.completed("a")
    (home / "output/a.1.log").unlink()
    ran = cli("logs", "a")
    assert (ran.code, ran.err) == (
        *(
            3,
            "queuectl: the output of job a, attempt 1, has been removed\n          hint: how it ended: queuectl show a\n",
        ),
    )


@pytest.mark.parametrize(
    ("output", "lines", "shown"),
    [
        (b"1\n2\n3\n", 2, b"2\n3\n"),
        (b"1\n2\n3", 2, b"2\n3"),
        (b"1\n2\n3\n", 5, b"1\n2\n3\n"),
        (b"1\n2\n3\n", 3, b"1\n2\n3\n"),
        (b"1\n2\n3\n", 0, b""),
        (b"\n\n\n", 2, b"\n\n"),
        (b"", 2, b""),
        (b"no newline", 1, b"no newline"),
        (b"x" * BLOCK + b"\n" + b"y" * BLOCK + b"\nz\n", 2, b"y" * BLOCK + b"\nz\n"),
        (b"a\n" + b"x" * (BLOCK - 1) + b"\n", 1, b"x" * (BLOCK - 1) + b"\n"),
    ],
)
def test_the_last_lines(tmp_path: Path, output: bytes, lines: int, shown: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(output)
    with GrowingFile(str(path)) as source:
        source.skip_to_last(lines)
        read = b""
        while data := source.read():
            read += data
    assert read == shown


def test_lines_of_a_job(cli: Run, jobs: Jobs) -> None:
    jobs.completed("a", b"1\n2\n3\n")
    assert cli("logs", "a", "--lines", "2").out == "2\n3\n"
    assert cli("logs", "a", "-n", "1").out == "3\n"


def test_json_has_the_text_and_where_it_is(cli: Run, jobs: Jobs, home: Path) -> None:
    jobs.completed("a", b"one\n\xff\n")
    assert json.loads(cli("logs", "a", "--json").out) == [
        {"id": "a", "attempt": 1, "path": f"{home}/output/a.1.log", "output": "one\n\\xff\n"}
    ]
    assert cli("logs", "a", "-f", "--json").code == 2


def test_following_what_has_ended_shows_it_and_ends(cli: Run, jobs: Jobs) -> None:
    jobs.dead("a", {"error": "x"})
    ran = cli("logs", "-f", "a")
    assert (ran.code, ran.out) == (0, "killed\n")
    assert ran.err == "a is dead after 1 attempt: killed by SIGKILL\n"


def test_following_goes_on_to_the_next_attempt_until_the_job_has_ended(jobs: Jobs, home: Path) -> None:
    """The other process is driven by what it shows, so nothing here waits for a clock."""
    output = home / "output"
    claim = jobs.running("a", b"one\n")
    line = [sys.executable, str(ROOT / "queuectl"), "logs", "-f", "a"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"one\n"
    with (output / "a.1.log").open("ab") as log:
        log.write(b"two\n")
    assert process.stdout.readline() == b"two\n"
    with claim:
        claim.reschedule("failed", 0, {"exit_code": 1})
    with jobs.start("a", b"three\n") as claim:
        said = process.stderr.readline()
        if said.startswith(b"a does not continue"):  # on a slow machine it has time to say why nothing runs
            said = process.stderr.readline()
        assert said == b"--- attempt 2 ---\n"
        assert process.stdout.readline() == b"three\n"
        with (output / "a.2.log").open("ab") as log:
            log.write(b"the last words")
        claim.finish({"exit_code": 0})
    rest = process.communicate()
    assert rest[0] == b"the last words"
    assert rest[1].startswith(b"a completed in ")
    assert process.returncode == 0


def test_following_one_attempt_ends_with_it(cli: Run, jobs: Jobs) -> None:
    jobs.failed("a", b"first\n")
    ran = cli("logs", "-f", "a", "--attempt", "1")
    assert (ran.code, ran.out, ran.err) == (0, "first\n", "")


def test_following_a_job_that_waits_says_so_and_ctrl_c_ends_it(jobs: Jobs) -> None:
    import signal

    jobs.pending("a")
    line = [sys.executable, str(ROOT / "queuectl"), "logs", "-f", "a"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == (
        "a is waiting to be started: no supervisor is running (queuectl worker start --count 2)\n"
    )
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (130, "", "Stopped following; a continues\n")


def test_a_file_that_is_rotated_is_followed_into_its_successor(tmp_path: Path) -> None:
    path = tmp_path / "worker-1.log"
    with GrowingFile(str(path)) as source:
        assert source.is_missing
        assert source.read() == b""
        path.write_bytes(b"old\n")
        assert source.read() == b"old\n"
        with path.open("ab") as log:
            log.write(b"last of the old\n")
        os.rename(path, tmp_path / "worker-1.log.1")
        path.write_bytes(b"new\n")
        assert source.read() == b"last of the old\n"
        assert source.read() == b"new\n"
        assert source.read() == b""


def restarts(path: Path) -> tuple[GrowingFile, list[str]]:
    """Read what is in a file so far; returns it with what will be said of its new beginnings."""
    said: list[str] = []
    file = GrowingFile(str(path), said.append)
    while file.read():
        pass
    return file, said


@pytest.mark.parametrize("new", [b"", b"new\n", b"longer than the old one\n"])
def test_a_file_that_is_truncated_is_read_from_its_new_beginning(tmp_path: Path, new: bytes) -> None:
    """Also when it has grown beyond what was read by the time of the next look."""
    path = tmp_path / "log"
    path.write_bytes(b"old one\n")
    file, said = restarts(path)
    os.truncate(path, 0)
    with path.open("ab") as log:
        log.write(new)
    assert file.read() == new
    assert said == ["was truncated"]
    with path.open("ab") as log:
        log.write(b"more")
    assert (file.read(), len(said)) == (b"more", 1)
    file.close()


def test_it_is_also_when_reading_began_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"1\n2\n3\n")
    with GrowingFile(str(path)) as file:
        file.skip_to_last(0)
        os.truncate(path, 0)
        with path.open("ab") as log:
            log.write(b"4\n")
        assert file.read() == b"4\n"


def test_a_file_that_another_takes_the_place_of_is_said(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old\n")
    file, said = restarts(path)
    path.unlink()
    assert (file.read(), said) == (b"", [])  # removed; its writer may go on
    path.write_bytes(b"new\n")
    assert (file.read(), said) == (b"new\n", ["was replaced by another file"])
    file.close()


def test_following_says_that_the_output_was_begun_anew(jobs: Jobs) -> None:
    claim = jobs.running("a", b"old\n")
    path = jobs.queue.layout.output_of("a", 1)
    line = [sys.executable, str(ROOT / "queuectl"), "logs", "-f", "a"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    assert process.stdout is not None
    assert process.stdout.readline() == b"old\n"
    os.truncate(path, 0)
    with open(path, "ab") as log:
        log.write(b"new\n")
    assert process.stdout.readline() == b"new\n"
    with claim:
        claim.finish({"exit_code": 0})
    out, err = process.communicate()
    assert (process.returncode, out) == (0, b"")
    assert b"--- the output of a was truncated: showing it from its new start ---\n" in err


def test_an_escape_sequence_in_two_pieces_is_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen

    args = Arguments()
    args.output, args.quiet, args.color = "table", False, "auto"
    screen = Screen(args)
    screen.is_terminal = True
    printer = Printer(screen)
    for piece in (b"a\x1b[3", b"1mb", b"\xc3", b"\xa4\r", b"\nc\x1b[", b""):
        printer.write(piece)
    printer.end()
    assert capsys.readouterr().out == "abä\nc\\x1b["


# --- several jobs


def test_each_line_of_several_jobs_has_the_name_or_id_of_its_job(cli: Run, jobs: Jobs) -> None:
    jobs.completed("a", b"one\ntwo", name="nightly encode")
    jobs.completed("b", b"three\n", name="nightly encode")
    jobs.completed("c", b"")
    jobs.completed("d", b"four\n", queue="q")
    ran = cli("logs", "a", "b", "c", "d")
    assert (ran.code, ran.out) == (0, "nightly encode | one\nnightly encode | two\nb | three\nd | four\n")
    assert cli("logs", "a", "b", "d", "--no-prefix").out == "one\ntwothree\nfour\n"
    assert cli("logs", "--queue", "q").out == "d | four\n"
    assert cli("logs", "d").out == "four\n"


def test_a_terminal_sees_coloured_prefixes_and_the_end_of_what_was_overwritten(
    terminal: Callable[..., Ran], jobs: Jobs
) -> None:
    jobs.completed("a", b"10%\r100%\r\n\x1b[2Jgone\xff\n")
    jobs.completed("b", b"x\n")
    shown = "a | 100%\na | \\x1b[2Jgone\\xff\nb | x\n"
    assert terminal("logs", "a", "b", "--color", "never").out == shown
    assert terminal("logs", "a", "b").out.count("\x1b[3") == 3


def test_a_line_that_never_ends_does_not_fill_the_memory(cli: Run, jobs: Jobs) -> None:
    jobs.completed("a", b"x" * (LONGEST_LINE + 5))
    jobs.completed("b", b"y\n")
    assert cli("logs", "a", "b").out == f"a | {'x' * LONGEST_LINE}\na | xxxxx\nb | y\n"


def test_several_jobs_are_followed_until_all_have_ended(cli: Run, jobs: Jobs) -> None:
    jobs.completed("a", b"one\ntwo\n", batch="b")
    with jobs.running("r", b"begun", batch="b") as claim:
        from threading import Thread

        path = Path(jobs.queue.layout.output_of("r", 1))

        def end() -> None:
            with path.open("ab") as file:
                file.write(b" and ended\n")
            claim.finish({"exit_code": 0})

        jobs.cancelled("never", batch="b")
        thread = Thread(target=end)
        thread.start()
        ran = cli("logs", "-f", "--batch", "b", "--sort", "id", "--lines", "1")
        thread.join()
    assert ran.code == 0
    assert sorted(ran.out.splitlines()) == ["a | two", "r | begun and ended"]
    assert "never" in ran.err


def test_a_retry_is_followed_too(cli: Run, jobs: Jobs) -> None:
    jobs.failed("a", b"first\n")
    jobs.completed("b", b"x\n")
    from threading import Thread

    def again() -> None:
        with jobs.start("a", b"second\n") as claim:
            claim.finish({"exit_code": 0})

    thread = Thread(target=again)
    thread.start()
    out = cli("logs", "-f", "a", "b").out
    thread.join()
    assert {"a | second", "b | x"} <= {*out.splitlines()}
    assert cli("logs", "-f", "a", "b", "--attempt", "1").code == 2
