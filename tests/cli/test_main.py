"""main: exit codes, errors, the ways to start the program."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from queuectl import errors
from queuectl.cli import commands
from queuectl.cli.main import main
from queuectl.version import __version__
from tests.cli.support import Jobs, Run

PYTHON = ".".join(map(str, sys.version_info[:3]))
ROOT = Path(__file__).resolve().parents[2]


def test_alone_it_shows_a_dozen_lines_of_help(cli: Run) -> None:
    ran = cli()
    assert (ran.code, ran.err) == (0, "")
    assert len(ran.out.splitlines()) <= 12
    assert "queuectl enqueue" in ran.out
    assert "queuectl --help" in ran.out


def test_version(cli: Run) -> None:
    for flag in ("--version", "-V"):
        ran = cli(flag)
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.splitlines() == [f"queuectl {__version__}", f"Python {PYTHON}, spool format 1"]


def test_version_names_the_commit_that_a_build_has_left(
    cli: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "COMMIT").write_text("9528ab612345+\n")
    monkeypatch.setattr("queuectl.cli.commands.help.COMMIT", str(tmp_path / "COMMIT"))
    assert cli("--version").out.endswith(", spool format 1, commit 9528ab612345+\n")


@pytest.mark.parametrize(
    "start",
    [
        [sys.executable, "-m", "queuectl"],
        [sys.executable, str(ROOT / "queuectl")],
        [sys.executable, str(ROOT / "bin" / "queuectl")],
    ],
    ids=["-m", "directory", "bin"],
)
def test_each_way_to_start_it(start: list[str], home: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)} if "-m" in start else {**os.environ}
    (tmp_path / "json.py").write_text("raise SystemExit('the current directory is not to be imported from')")
    cwd = ROOT if "-m" in start else tmp_path
    line = [*start, "enqueue", "--command", "true", "--id", "a"]
    done = subprocess.run(line, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "a\n", "")
    done = subprocess.run([*start, "xyzzy"], env=env, cwd=cwd, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, 'queuectl: unknown command "xyzzy"')


def test_a_mistake_is_two_lines_and_exit_2(cli: Run) -> None:
    ran = cli("enqeue", "{}")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == ('queuectl: unknown command "enqeue"; did you mean "enqueue"?\n          hint: queuectl --help\n')


@pytest.mark.parametrize("line", [["--json", "xyzzy"], ["xyzzy", "-o", "json"], ["list", "--bogus", "--output=json"]])
def test_a_mistake_is_an_object_where_json_was_asked_for(cli: Run, line: list[str]) -> None:
    problem = json.loads(cli(*line).err)
    assert (problem["type"], problem["exit_code"]) == ("urn:queuectl:problem:usage", 2)
    assert set(problem) <= {"type", "title", "detail", "exit_code", "hint", "excerpt"}


@pytest.mark.parametrize(
    "line",
    [
        ["enqueue", "--command", "tool --json", "--priority", "5000"],
        ["enqueue", "--command", "--json", "--priority", "5000"],
        ["enqueue", "--command", "-ojson", "--priorty", "5"],
        ["enqueue", "--command=--json", "--command=-ojson", "--debug-it"],
        ["enqueue", '{"command": "x --json", "priority": 5000}'],
        ["enqueue", "--priorty", "3", "--", "tool", "--json", "-o", "json"],
        ["list", "--search", "-ojson"],
        ["list", "--search", "--json", "--limit", "x"],
        ["list", "--search", "x --json", "--sort", "colour"],
        ["frob", "--search", "--json"],
        ["logs", "xyzzy", "--home", "--json"],
    ],
)
def test_a_value_that_reads_like_an_option_does_not_change_the_form_of_an_error(cli: Run, line: list[str]) -> None:
    done = cli(*line)
    assert done.code in (2, 6)
    assert done.err.startswith("queuectl: ")
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "line",
    [
        ["-ojson", "list", "--bogus"],
        ["list", "-o=jsonl", "--bogus"],
        ["list", "--output", "json", "--limit", "x"],
        ["list", "--search", "x", "--json", "--bogus"],
        ["--home", "/nowhere", "--json", "frob"],
        ["show", "xyzzy", "--json"],
    ],
)
def test_an_error_is_an_object_wherever_json_was_asked_for(cli: Run, line: list[str]) -> None:
    assert json.loads(cli(*line).err)["exit_code"] in (2, 3)


def test_json_after_two_dashes_is_an_argument(cli: Run) -> None:
    assert cli("enqueue", "--priority", "x", "--", "ls", "--json").err.startswith("queuectl: --priority must be")


@pytest.mark.parametrize("kind", [*errors.QueueError.__subclasses__(), errors.QueueError])
def test_each_error_ends_with_its_exit_code(
    cli: Run, monkeypatch: pytest.MonkeyPatch, kind: type[errors.QueueError]
) -> None:
    from queuectl.cli.verbs import load

    def fail(*_: object) -> int:
        raise kind("what is wrong", "what to do", "the text\n    ^")

    monkeypatch.setattr(load("status"), "handler", fail)
    ran = cli("status")
    assert (ran.code, ran.out) == (kind.exit_code, "")
    assert ran.err == ("queuectl: what is wrong\n            the text\n                ^\n          hint: what to do\n")


def test_an_error_cannot_command_the_terminal(cli: Run) -> None:
    ran = cli("show", "\x1b[31mred")
    assert ran.code == 3
    assert "\x1b" not in ran.err


@pytest.mark.parametrize("flag", [True, False])
def test_a_bug_is_one_line_and_exit_70_with_a_traceback_only_for_debug(
    cli: Run, monkeypatch: pytest.MonkeyPatch, flag: bool
) -> None:
    from queuectl.cli.verbs import load

    def fail(*_: object) -> int:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(load("status"), "handler", fail)
    ran = cli("status", *(["--debug"] if flag else []))
    assert ran.code == 70
    assert "queuectl: this is a bug in queuectl: ZeroDivisionError: division by zero" in ran.err
    assert ("Traceback" in ran.err) is flag
    assert len(ran.err.splitlines()) == 2 or flag


def test_ctrl_c_is_exit_130(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from queuectl.cli.verbs import load

    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(load("status"), "handler", interrupted)
    ran = cli("status")
    assert (ran.code, ran.out, ran.err) == (130, "", "")


def test_a_closed_pipe_ends_quietly(jobs: Jobs) -> None:
    jobs.completed("a", b"line\n" * 200_000)
    line = [sys.executable, str(ROOT / "queuectl"), "logs", "a"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


def test_closed_streams_are_no_bug(home: Path) -> None:
    line = f"{sys.executable} {ROOT / 'queuectl'} enqueue --command true --id a >&- 2>&-"
    assert subprocess.run(["/bin/sh", "-c", line], check=False).returncode == 0
    assert (home / "spool/pending/a.json").exists()


@pytest.mark.parametrize("words", ["enqueue -", "cancel -", "show -", "wait -", "enqueue"])
def test_a_closed_standard_input_is_an_empty_one(words: str) -> None:
    """As cron and some daemons leave it: `<&-`."""
    line = [f"{sys.executable} {ROOT / 'queuectl'} {words} {stdin}" for stdin in ("<&-", "</dev/null")]
    done = [subprocess.run(["/bin/sh", "-c", each], check=False, capture_output=True) for each in line]
    assert done[0].returncode in (0, errors.UsageError.exit_code)
    said = [re.sub(rb" in [0-9.]+s", b" in no time", each.stderr) for each in done]
    assert (done[0].returncode, said[0]) == (done[1].returncode, said[1])


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (("show", "a\udcff"), 3),
        (("cancel", "a\udcff"), 3),
        (("logs", "\udcff"), 3),
        (("wait", "\udcff"), 3),
        (("list", "--search", "\udcff"), 2),
        (("list", "--queue", "\udcff"), 2),
        (("dlq", "list", "--tag", "\udcff"), 2),
    ],
)
def test_bytes_that_are_no_text_are_a_mistake_of_the_user(
    cli: Run, jobs: Jobs, line: tuple[str, ...], code: int
) -> None:
    """A command line may hold any bytes; they come as half surrogate pairs."""
    jobs.pending("a")
    ran = cli(*line)
    assert (ran.code, ran.out) == (code, "")
    assert "\\xff" in ran.err or "not UTF-8" in ran.err


def test_a_full_disk_under_the_result_is_told() -> None:
    line = f"{sys.executable} {ROOT / 'queuectl'} config list >/dev/full"
    done = subprocess.run(["/bin/sh", "-c", line], check=False, capture_output=True, text=True)
    assert done.returncode == errors.Busy.exit_code
    assert done.stderr.startswith("queuectl: cannot write the result: No space left on device")


def test_a_home_that_is_not_ours_is_not_allowed(cli: Run, home: Path) -> None:
    home.chmod(0o777)
    ran = cli("list")
    assert ran.code == errors.NotAllowed.exit_code
    assert ran.err.endswith(f"hint: chmod 700 {home}\n")


@pytest.mark.parametrize(
    "line",
    [
        ("enqueue", "--command", "true"),
        ("cancel", "a"),
        ("config", "set", "timeout", "5"),
        ("config", "unset", "timeout"),
        ("config", "list"),
        ("worker", "stop"),
        ("worker", "list"),
        ("worker", "start"),
    ],
    ids=" ".join,
)
def test_nothing_is_written_or_asked_in_a_home_that_is_not_ours(cli: Run, home: Path, line: tuple[str, ...]) -> None:
    """After sudo: what root wrote there, its owner could not use; a job would be acknowledged and then set aside."""
    home.chmod(0o777)
    before = sorted(home.rglob("*"))
    ran = cli(*line)
    assert (ran.code, ran.out) == (errors.NotAllowed.exit_code, "")
    assert sorted(home.rglob("*")) == before


def test_an_empty_home_is_none_named(cli: Run, home: Path, tmp_path: Path) -> None:
    """As with an empty $QUEUECTL_HOME; the current directory does not become the queue."""
    assert cli("--home", "", "list").code == 0
    assert [*tmp_path.iterdir()] == [home]


def test_every_module_of_commands_is_reached_from_the_table() -> None:
    from queuectl.cli.verbs import VERBS

    named = {module for module, _ in VERBS.values()}
    there = {path.stem for path in Path(commands.__path__[0]).glob("*.py")} - {"__init__"}
    assert named == there


def test_main_takes_what_was_typed_from_the_system(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["queuectl", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.splitlines()[0] == f"queuectl {__version__}"


assert signal.SIGPIPE  # a system that has it
