"""A home that an earlier release has left is taken over as it is; one that a later release has left is refused.

spool-v1/ was made by the commands of 1.0.0: jobs in every state, one whose worker, supervisor and command were killed, an
edited and a compacted one, a dropped file and a rejected one. It is never made anew: later releases have to read it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from queuectl.errors import InvalidData
from queuectl.spool.layout import FORMAT
from queuectl.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# id: state, attempts, exit code, last error
JOBS: dict[str, tuple[str, int, int | None, str | None]] = {
    "cancelled-1": ("cancelled", 0, None, None),
    "cancelled-running": ("cancelled", 1, 143, None),
    "compacted-1": ("pending", 0, None, None),
    "completed-1": ("completed", 1, 0, None),
    "completed-argv": ("completed", 1, 0, None),
    "dead-1": ("dead", 2, 3, "broken"),
    "dead-killed": ("dead", 1, 137, "killed by SIGKILL"),
    "edited-1": ("pending", 0, None, None),
    "failed-1": ("failed", 1, 4, "not yet"),
    "held-1": ("held", 0, None, None),
    "nightly": ("pending", 0, None, None),
    "pending-1": ("pending", 0, None, None),
    "pending-later": ("pending", 0, None, None),
    "pending-strange": ("pending", 0, None, None),
    "processing-1": ("processing", 1, None, None),
}
WRITE = {  # what they write once they run
    "compacted-1": b"compacted\n",
    "edited-1": b"edited\n",
    "nightly": b"dropped\n",
    "pending-1": b"ready\n",
    "pending-strange": b"strange\n",
    "processing-1": b"again\n",
}


@pytest.fixture
def old(home: Path) -> Path:
    """A copy of the old home, with the modes that git does not keep and the directories that it leaves out."""
    shutil.copytree(HERE / "spool-v1", home, dirs_exist_ok=True)
    for path in [home, *home.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    return home


def _queuectl(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "queuectl"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _listed(*words: str) -> Any:
    done = _queuectl(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_job_of_the_old_home_is_there_as_it_was(old: Path) -> None:
    """State, attempts, exit code and last error, from the list; and no file is changed by looking."""
    files = {path: path.read_bytes() for path in old.glob("spool/*/*")}
    listed = {job["id"]: job for job in _listed("list", "--all")}
    assert {
        job_id: (job["state"], job["attempts"], job["exit_code"], job["last_error"]) for job_id, job in listed.items()
    } == JOBS
    assert {path: path.read_bytes() for path in old.glob("spool/*/*")} == files
    assert _listed("config", "get", "timeout")["value"] == 600
    assert _queuectl("logs", "completed-argv").stdout == 'no shell\nä "quoted" \\ $HOME\n'
    assert '"x-ours"' in _queuectl("show", "pending-strange", "--json").stdout


def test_what_waits_in_the_old_home_runs_and_what_was_interrupted_runs_again(old: Path, supervised: Make) -> None:
    """Each once; what is held, late or has ended stays; what is dead can be revived."""
    s = supervised()
    s.start(2)
    for job_id in WRITE:
        s.wait_for(job_id, "completed")
    assert {job_id: s.output(job_id) for job_id in WRITE} == WRITE
    job = s.queue.get("processing-1")
    assert (job.attempts, job.failures) == (2, 0)
    stay = {job_id: state for job_id, (state, *_) in JOBS.items() if job_id not in WRITE}
    assert {job_id: s.state(job_id) for job_id in stay} == stay
    s.queue.retry("dead-1")
    s.wait_until(lambda: s.queue.get("dead-1").attempts == 3, "the dead one is tried again")
    s.queue.retry("failed-1")
    s.wait_until(lambda: s.queue.get("failed-1").attempts == 2, "the failed one is tried at once")
    assert [path.name for path in sorted((old / "spool/rejected").iterdir())] == ["bad.json", "bad.json.reason"]


@pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("status",),
        ("enqueue", "--command", "true"),
        ("worker", "start"),
        ("config", "set", "timeout", "5"),
        ("index", "rebuild"),
        ("web", "token"),
    ],
    ids=" ".join,
)
def test_a_home_of_a_later_format_is_refused_by_every_command(old: Path, words: tuple[str, ...]) -> None:
    """Exit code 6, one message that names both formats, and not a byte is changed."""
    (old / "format").write_text("2\n")
    before = {path: path.stat().st_mtime_ns for path in [old, *old.rglob("*")]}
    done = _queuectl(*words)
    assert (done.returncode, done.stdout) == (InvalidData.exit_code, "")
    assert f"has spool format 2; queuectl {__version__} knows format {FORMAT}\n" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in [old, *old.rglob("*")]} == before
    assert os.environ["QUEUECTL_HOME"] == str(old)
