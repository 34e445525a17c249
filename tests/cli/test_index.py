"""index: rebuild and verify."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import Jobs, Run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def supervisor(queuectl: Run, home: Path) -> Iterator[None]:
    queuectl("worker", "start")
    yield
    subprocess.run([sys.executable, str(ROOT / "queuectl"), "worker", "stop", "--now", "--wait"], check=True)


def test_an_index_that_agrees(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a")
    jobs.completed("b")
    ran = cli("index", "verify")
    assert (ran.code, ran.out, ran.err) == (0, "", "The index agrees with the files of 2 jobs\n")
    assert json.loads(cli("index", "verify", "--json").out) == {"jobs": 2, "differences": []}


def damage(home: Path) -> None:
    """Change the index in a way that no comparison of files notices."""
    with sqlite3.connect(home / "index.sqlite3") as index:
        index.execute("UPDATE jobs SET command = 'other' WHERE id = 'a'")
    index.close()


def test_what_differs_is_shown_and_an_error(cli: Run, jobs: Jobs, home: Path) -> None:
    jobs.pending("a")
    jobs.pending("b")
    cli("list")
    damage(home)
    ran = cli("index", "verify")
    assert ran.code == 1
    assert ran.out.splitlines()[1].split()[:2] == ["a", "stale"]
    assert ran.err == "queuectl: 1 of 2 jobs differ\n          hint: to rebuild it: queuectl index rebuild\n"
    told = json.loads(cli("index", "verify", "--json").out)
    assert told["differences"] == [
        *[{"id": "a", "kind": "stale", "spool": {"command": "true"}, "index": {"command": "other"}}]
    ]


def test_a_rebuilt_index_agrees_again(cli: Run, jobs: Jobs, home: Path) -> None:
    jobs.pending("a")
    jobs.dead("b")
    cli("list")
    damage(home)
    ran = cli("index", "rebuild")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith("Rebuilt the index of 2 jobs in ")
    assert cli("index", "verify").code == 0
    assert json.loads(cli("index", "rebuild", "--json").out) == {"action": "rebuild", "jobs": 2}


def test_a_file_that_is_no_index_is_replaced(cli: Run, jobs: Jobs, home: Path) -> None:
    jobs.pending("a")
    (home / "index.sqlite3").write_bytes(b"no index at all" * 1000)
    assert cli("index", "rebuild").code == 0
    assert cli("list", "-o", "name").out == "a\n"


def test_beside_a_supervisor_nothing_is_rebuilt(supervisor: None, queuectl: Run) -> None:
    ran = queuectl("index", "rebuild")
    assert ran.code == 4
    assert ran.err.startswith("queuectl: a supervisor (pid ")
    assert ran.err.endswith("is running and keeps the index\n          hint: first: queuectl worker stop --wait\n")


def test_beside_a_supervisor_it_is_compared(supervisor: None, queuectl: Run, jobs: Jobs) -> None:
    jobs.pending("a")
    jobs.queue.wait(["a"])
    ran = queuectl("index", "verify")
    assert (ran.code, ran.err) == (0, "The index agrees with the files of 1 job\n")
