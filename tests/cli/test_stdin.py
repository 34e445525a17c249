"""enqueue --stdin: files and pipes, what is refused, and what is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.support import Jobs, Run, refused, stored


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(b"a\0b\xff\n")
    return path


def kept(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (home / "input").iterdir()}


def test_a_file_and_a_pipe_are_copied(cli: Run, home: Path, data: Path) -> None:
    first = cli("enqueue", "--stdin", str(data), "--", "wc", "-l").out.strip()
    second = cli("enqueue", "--stdin", "-", "--command", "cat", stdin=b"piped").out.strip()
    assert kept(home) == {first: data.read_bytes(), second: b"piped"}
    assert stored(home, first)["stdin"] == "input"
    lines = {" ".join(line.split()) for line in cli("show", first).out.splitlines()}
    assert f"stdin {home}/input/{first}" in lines
    assert json.loads(cli("show", first, "--json").out)[0]["stdin"] == "input"


def test_the_flag_wins_over_the_json(cli: Run, home: Path, data: Path) -> None:
    job_id = cli("enqueue", "--stdin", str(data), '{"command": "cat", "stdin": "/etc/hostname"}').out.strip()
    assert stored(home, job_id)["stdin"] == "input"
    assert kept(home) == {job_id: data.read_bytes()}


def test_a_dry_run_copies_nothing(cli: Run, home: Path, data: Path) -> None:
    ran = cli("enqueue", "--dry-run", "--stdin", str(data), "--command", "cat")
    assert json.loads(ran.out)["stdin"] == "input"
    assert not (home / "input").exists() or kept(home) == {}


@pytest.mark.parametrize(
    ("typed", "code", "line"),
    [
        (["--stdin", "/no/such/file", "--command", "cat"], 3, "queuectl: no file /no/such/file"),
        (["--stdin", "/", "--command", "cat"], 2, "queuectl: / is a directory, not a file"),
        (["--stdin", "/dev/null", "-"], 2, "queuectl: --stdin applies to one job"),
        (["--stdin", "/dev/null", "--lines", "-"], 2, "queuectl: --stdin applies to one job"),
        (
            ["--stdin", "-", "--after", "-", "--command", "cat"],
            2,
            "queuectl: standard input cannot hold both the ids of --after and the input of the command",
        ),
        (['{"command": "cat", "stdin": "input"}'], 6, 'queuectl: "stdin" is "input", but no input is given'),
        (
            ['{"command": "cat", "stdin": "data"}'],
            6,
            'queuectl: the job is not valid: line 1, column 20: "stdin" must be "input" or an absolute path, not "data"',
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(cli: Run, jobs: Jobs, typed: list[str], code: int, line: str) -> None:
    parent = jobs.pending("parent")
    refused(cli("enqueue", *typed, stdin=f"{parent}\n".encode()), code, line)
    assert jobs.queue.counts()["pending"] == 1


def test_too_much_is_refused(cli: Run, home: Path, data: Path) -> None:
    (home / "config.yaml").write_text("max_input: 4\n")
    ran = cli("enqueue", "--stdin", str(data), "--command", "cat")
    refused(ran, 6, "queuectl: the input has more than max_input (4)")
    assert "queuectl config set max_input SIZE" in ran.err


def test_a_key_that_is_taken_leaves_the_input_unread(cli: Run, home: Path) -> None:
    first = cli("enqueue", "--unique", "k", "--stdin", "-", "--command", "cat", stdin=b"1").out
    refused(cli("enqueue", "--unique", "k", "--stdin", "-", "--command", "cat", stdin=b"2"), 4)
    again = cli("enqueue", "--unique", "k", "--on-conflict", "skip", "--stdin", "-", "--command", "cat", stdin=b"2")
    assert again.out == first
    assert kept(home) == {first.strip(): b"1"}


def test_an_input_cannot_be_edited(cli: Run, jobs: Jobs) -> None:
    jobs.pending("j")
    refused(cli("edit", "j", "--set", "stdin=/etc/hostname"), 6)
