"""The home that a command line points at: reading creates none, changes nothing in one, and works where nothing can be written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.client.queue import Queue
from queuectl.errors import QueueError
from tests.cli.support import Jobs, Run
from tests.support.permissions import as_if_not_root

ROOT = Path(__file__).resolve().parents[2]
READING = (
    *("status", "list", "show a", "logs a", "wait a", "cancel a", "retry a", "delete a", "purge --dry-run"),
    *("metrics", "stats", "events", "check", "doctor", "dlq list", "dlq show a", "dlq retry a", "dlq delete a"),
    *("worker list", "worker stop", "worker restart", "worker logs 1", "worker scale 0", "config list"),
    *("config get timeout", "config check", "config path", "index verify", "index rebuild", "maintenance"),
    "completion bash",
)


def contents(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Return every file below a directory with its mode and bytes."""
    paths = sorted(path for path in directory.rglob("*"))
    return {
        str(path.relative_to(directory)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in paths
    }


@pytest.mark.parametrize("line", READING)
def test_what_reads_creates_no_home(cli: Run, tmp_path: Path, line: str) -> None:
    missing = tmp_path / "homes"
    ran = cli(*line.split(), "--home", str(missing))
    assert not missing.exists()
    if line not in ("config path", "completion bash"):
        assert ran.code == 3, ran
        assert f"no queue at {missing} (--home): the directory does not exist" in ran.out + ran.err
        assert f"did you mean {tmp_path}/home?" in ran.out + ran.err


@pytest.mark.parametrize(("line", "code", "out"), [("list", 0, ""), ("list --json", 0, "[]\n"), ("show a", 3, "")])
def test_the_default_home_reads_as_an_empty_queue_before_it_exists(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, code: int, out: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.delenv("QUEUECTL_HOME")
    ran = cli(*line.split())
    assert (ran.code, ran.out) == (code, out)
    assert ran.err.startswith("queuectl: no queue at ~/.queuectl yet; enqueue and worker start create it\n")
    assert cli("check").code == 3
    assert not (tmp_path / "me").exists()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("web token", 3),
        ("web token --rotate", 3),
        ("config unset durability", 3),
        ("enqueue --priority 5000 --command true", 6),
        ("enqueue --unique a --priority 5000 --command true", 6),
        ("worker start --count 0", 2),
        ("config set poll_interval soon", 6),
        ("maintenance --dry-run --ensure-workers 2", 0),
    ],
)
@pytest.mark.parametrize("is_json", [False, True])
def test_what_is_refused_or_only_tried_creates_no_home(
    cli: Run, tmp_path: Path, line: str, code: int, *, is_json: bool
) -> None:
    missing = tmp_path / "typo/a"
    ran = cli(*line.split(), "--home", str(missing), *(["--json"] if is_json else []))
    assert ran.code == code, ran
    assert not (tmp_path / "typo").exists()
    assert ("would start 2 workers" in ran.out) == (code == 0)


def test_a_file_whose_jobs_are_all_refused_creates_no_home(cli: Run, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    ran = cli("enqueue", "-", "--home", str(missing), stdin=b'{"command": 1}\n{"command": "a", "priority": 5000}\n')
    assert ran.code == 6
    assert not missing.exists()
    assert cli("enqueue", "-", "--home", str(missing), stdin=b'{"command": "a"}\n').code == 0


def test_an_unset_setting_of_an_empty_home_leaves_it_empty(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir(mode=0o700)
    assert cli("config", "unset", "durability", "--home", str(tmp_path / "new")).code == 0
    assert [*(tmp_path / "new").iterdir()] == []


def test_an_empty_directory_reads_as_an_empty_queue_and_stays_empty(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir(mode=0o700)
    for line in ("list", "status", "metrics", "events", "purge --dry-run"):
        assert cli(*line.split(), "--home", str(tmp_path / "new")).code == 0
    assert [*(tmp_path / "new").iterdir()] == []


def test_python_creates_a_home_with_the_first_job(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "new")
    assert (queue.list(), sum(queue.counts().values())) == ([], 0)
    with pytest.raises(QueueError):
        queue.resolve("a")
    assert not (tmp_path / "new").exists()
    queue.enqueue("true", id="a")
    assert [row["id"] for row in queue.list()] == ["a"]


def test_a_reader_leaves_what_is_not_valid_where_it_is(cli: Run, home: Path, jobs: Jobs) -> None:
    """And what is to be renamed, made writable or finished: only a supervisor and maintenance settle that."""
    jobs.pending("good")
    for name, text in {"bad.json": "{", "bad name.json": "{}", "drop.json": '{"id": "b", "command": "true"}'}.items():
        (home / "spool/pending" / name).write_text(text)
        os.utime(home / "spool/pending" / name, (1, 1))
    (home / "spool/pending/drop.json").chmod(0o444)
    before = contents(home / "spool")
    for line in ("list", "status", "show good", "events", "index verify", "index rebuild", "metrics", "check"):
        cli(*line.split())
        assert contents(home / "spool") == before, line
    assert {row["id"] for row in json.loads(cli("list", "--json").out)} == {"good", "drop"}
    assert "2 files in spool/pending are not valid jobs" in cli("status").out
    assert cli("maintenance").code == 0
    assert {row["id"] for row in json.loads(cli("list", "--json").out)} == {"good", "b"}
    assert len([*(home / "spool/rejected").glob("*.reason")]) == 2


@pytest.fixture(params=["file system", "directory"])
def read_only(request: pytest.FixtureRequest, home: Path, jobs: Jobs) -> Iterator[list[str]]:
    """A home with a job that the index does not know, in which nothing can be written; yields how to start a command."""
    jobs.completed("done", b"hello\n")
    jobs.queue.list()
    jobs.pending("late")
    if request.param == "file system":
        yield from mounted_read_only(home)
        return
    start = as_if_not_root()
    (home / "run").chmod(0o500)
    home.chmod(0o500)
    yield start
    home.chmod(0o700)
    (home / "run").chmod(0o700)


def mounted_read_only(home: Path) -> Iterator[list[str]]:
    commands = ["mount", "--bind", str(home), str(home)], ["mount", "-o", "remount,bind,ro", str(home)]
    if os.geteuid() != 0 or any(subprocess.run(c, capture_output=True, check=False).returncode for c in commands):
        pytest.skip("this needs root and the right to mount")
    try:
        yield []
    finally:
        subprocess.run(["umount", str(home)], check=True)


def run(start: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [*start, sys.executable, str(ROOT / "queuectl"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_where_nothing_can_be_written_it_is_read_all_the_same(read_only: list[str], home: Path) -> None:
    before = contents(home)
    listed = run(read_only, "list", "-o", "name", "--sort", "id")
    assert (listed.returncode, listed.stdout) == (0, "done\nlate\n"), listed
    assert "jobs can be read but not changed" in listed.stderr
    assert run(read_only, "logs", "do").stdout == "hello\n"
    assert '"completed"' in run(read_only, "show", "done", "--json").stdout
    assert run(read_only, "status").returncode == 0
    assert contents(home) == before
    if os.statvfs(home).f_flag & os.ST_RDONLY:  # not even jobs can be written
        refused = run(read_only, "enqueue", "--command", "true")
        assert (refused.returncode, refused.stdout) == (8, "")
