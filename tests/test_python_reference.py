"""The scripts of docs/reference/python.md work as they are printed, and the page names what there is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import queuectl
from queuectl import Job, Queue
from tests.support.supervised import Supervised

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/reference/python.md").read_text()
SCRIPTS = dict(re.findall(r"```python (\S+)\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture
def script(supervised: Callable[..., Supervised], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script of the page in a directory that has all of them, beside two workers."""
    s = supervised(backoff_base=0.1)
    s.start(2)
    for name, text in SCRIPTS.items():
        (tmp_path / name).write_text(text)
    environ = {**os.environ, "QUEUECTL_HOME": s.queue.layout.home, "PYTHONPATH": str(ROOT), "PWD": str(tmp_path)}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
        )

    return run


def test_a_sweep_collects_results(script: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = script("sweep.py")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert sorted(lines[:-1]) == [
        "(0.1, 2) 0.2",
        "(0.1, 4) 0.4",
        "(0.2, 2) 0.4",
        "(0.2, 4) 0.8",
        "(0.4, 2) 0.8",
        "(0.4, 4) dead diverged at rate 0.4, depth 4",
    ]
    assert lines[-1] in ("best: (0.2, 4)", "best: (0.4, 2)")


def test_the_second_stage_starts_when_the_first_has_succeeded(
    script: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = script("stages.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "completed 4000\n", "")
    text = SCRIPTS["stages.py"].replace("seq {n * 1000}", "false {n}").replace('stage-1")', 'stage-1", max_retries=0)')
    (tmp_path / "failing.py").write_text(text)
    failed = script("failing.py")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.count(": exit code 1\n") == 4


def test_failures_are_watched(script: Callable[..., subprocess.CompletedProcess[str]], home: Path) -> None:
    one, two = Queue(home).enqueue_many(["echo no disk; exit 3", "kill -9 $$"], max_retries=0)
    done = script("watch.py", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == sorted(
        [f"{one} echo no disk; exit 3 3 no disk", f"{two} kill -9 $$ 137 killed by SIGKILL"]
    )


def test_the_page_names_all_there_is() -> None:
    assert len(SCRIPTS) == 4
    for name in set(queuectl.__all__) - {"__version__"}:
        assert f"`{name}`" in PAGE, name
    for kind in (Queue, Job):
        named = {name for name in re.findall(r"`(\w+)[(`]", PAGE) if hasattr(kind, name)}
        assert len(named) >= 8, named
    for name in re.findall(r"^\| `(\w+)\(", PAGE, re.MULTILINE):
        assert hasattr(Queue, name) or hasattr(Job, name), name
