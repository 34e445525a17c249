"""Where no inotify instance or watch is left, as on a busy desktop, or none exists: changed files are looked for."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.no_events import NO_INSTANCE, NO_WATCH, refusing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]


def run(s: Supervised, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "queuectl", *words]
    return subprocess.run(line, env=s.environ, capture_output=True, text=True, timeout=60, check=False)


def test_files_that_are_dropped_are_found_by_looking(supervised: Make, tmp_path: Path) -> None:
    """`poll_interval` is the fallback, and the log says so."""
    _, prelude = refusing(tmp_path, NO_INSTANCE)
    s = supervised(prelude=prelude, poll_interval=0.1)
    s.start(1)
    (s.home / "spool/pending/late.json").write_text('{"command": "true"}')
    s.wait_for("late", "completed")
    assert (
        "no file-system events (the limit fs.inotify.max_user_instances is reached)"
        in (s.home / "logs/supervisor.log").read_text()
    )


@pytest.mark.parametrize("how", [NO_INSTANCE, NO_WATCH], ids=["no instance", "no watch"])
def test_reading_is_silent_and_current_although_nobody_tells_of_files(
    supervised: Make, tmp_path: Path, how: dict[str, object]
) -> None:
    """What was enqueued a moment ago, or dropped, is in the next answer, and no warning of an index behind it."""
    _, prelude = refusing(tmp_path, how)
    s = supervised(prelude=prelude, poll_interval=3600)
    s.start(0)
    s.wait_until(lambda: s.status()["syncing"] is None, "the first comparison is done")
    for number in range(3):
        assert run(s, "enqueue", "--command", "true", "--id", f"job-{number}").returncode == 0
        (s.home / f"spool/pending/drop-{number}.json").write_text('{"command": "true"}')
        listed = run(s, "list", "-o", "name")
        assert listed.stderr == ""
        assert sorted(listed.stdout.split()) == sorted(
            f"{kind}-{n}" for kind in ("drop", "job") for n in range(number + 1)
        )
    for words in (("status",), ("metrics",), ("events",), ("stats",)):
        done = run(s, *words)
        assert (done.returncode, done.stderr) == (0, ""), words


def test_doctor_says_that_events_are_missing_and_how_to_raise_the_limit(supervised: Make, tmp_path: Path) -> None:
    _, prelude = refusing(tmp_path, NO_INSTANCE)
    s = supervised(prelude=prelude, poll_interval=5)
    s.start(0)
    out = " ".join(run(s, "doctor").stdout.split())  # whatever the width of its lines
    assert "the system does not report changed files: the limit fs.inotify.max_user_instances is reached" in out
    assert "the supervisor scans for them every 5s" in out
    assert "sysctl fs.inotify.max_user_instances=" in out


def test_events_are_used_as_soon_as_the_system_has_them(supervised: Make, tmp_path: Path) -> None:
    flag, prelude = refusing(tmp_path, NO_INSTANCE)
    s = supervised(prelude=prelude, poll_interval=0.1)
    s.start(1)
    assert s.status()["polling"] is not None
    flag.unlink()
    s.wait_until(lambda: s.status()["polling"] is None, "it watches")
    (s.home / "spool/pending/late.json").write_text('{"command": "true"}')
    s.wait_for("late", "completed")
