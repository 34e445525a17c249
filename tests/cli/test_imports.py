"""What the commands that people type most often import: that is most of the time they take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.support import Jobs, Run
from tests.support.supervised import Supervised

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import sys
before = set(sys.modules)
sys.path.insert(0, sys.argv.pop(1))
from queuectl.cli.main import main
code = main()
print(*sorted(set(sys.modules) - before), file=sys.stderr)
sys.exit(code)
"""
NEVER = {
    *("psutil", "yaml", "http", "multiprocessing", "filelock", "argparse", "dataclasses", "typing", "contextlib"),
    *("logging", "subprocess", "signal", "shutil", "tempfile", "shlex", "difflib", "inspect", "threading", "ctypes"),
    *("pathlib", "gettext", "locale", "importlib", "warnings", "copy", "weakref"),
}
SOCKET = {"socket", "select", "selectors"}
NOT_FOR_ENQUEUE = {"sqlite3", "datetime", "json", "re", "functools", "collections", "enum"}
NOT_WHEN_UP_TO_DATE = {"queuectl.index.rebuild", "queuectl.index.sync", "queuectl.index.writer", "heapq"}


# Modules of ours; the figures are those of today.
ENQUEUE, LIST, STATUS = 49, 69, 71


def imported(*words: str) -> set[str]:
    """Return the modules that a command line imports."""
    line = [sys.executable, "-c", CODE, str(ROOT), *words]
    done = subprocess.run(line, capture_output=True, check=True, text=True, stdin=subprocess.DEVNULL)
    found = set(done.stderr.split())
    return found | {name.split(".")[0] for name in found}


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.startswith("queuectl.")}


def test_enqueue() -> None:
    found = imported("enqueue", '{"command": "true"}', "--max-retries", "2")
    assert not found & (NEVER | SOCKET | NOT_FOR_ENQUEUE)
    assert len(ours(found)) <= ENQUEUE, sorted(ours(found))


@pytest.mark.parametrize(("verb", "most"), [("list", LIST), ("status", STATUS)])
def test_reading_an_index_that_is_up_to_date(jobs: Jobs, verb: str, most: int) -> None:
    """Without a supervisor, and nothing has changed since the command before."""
    jobs.pending("a")
    for directory in Path(jobs.queue.layout.spool).iterdir():
        os.utime(directory, (0, 0))  # so that the index may believe that nothing has changed
    imported(verb)
    found = imported(verb)
    assert not found & (NEVER | SOCKET | NOT_WHEN_UP_TO_DATE)
    assert len(ours(found)) <= most, sorted(ours(found))


@pytest.mark.parametrize(("verb", "most"), [("list", LIST), ("status", STATUS)])
def test_reading_what_a_supervisor_keeps_up_to_date(
    supervised: Callable[..., Supervised], verb: str, most: int
) -> None:
    """It also measures what its workers use."""
    supervised().start(2)
    found = imported(verb)
    assert found >= {"socket"}
    assert not found & (NEVER | NOT_WHEN_UP_TO_DATE)
    assert len(ours(found)) <= most, sorted(ours(found))


@pytest.mark.parametrize("most_s", [60, 0])
def test_what_workers_use_is_measured_by_the_supervisor_as_far_as_its_time_allows(
    supervised: Callable[..., Supervised], cli: Run, most_s: int
) -> None:
    one = supervised(prelude=f"from queuectl.supervisor import control_handlers; control_handlers.USAGE_S = {most_s}")
    one.start(2)
    answered = one.ask("status", usage=True)["workers"]
    assert [("rss_bytes" in worker) for worker in answered] == [most_s > 0] * 2
    for words in (["worker", "list"], ["status"]):
        shown = json.loads(cli(*words, "--json").out)
        workers = shown["workers"] if isinstance(shown, dict) else shown
        assert [worker["rss_bytes"] > 1 << 20 for worker in workers] == [True] * 2
