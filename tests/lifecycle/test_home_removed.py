"""A supervisor whose home is removed: it notices, and ends with everything it started."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.no_events import NO_INSTANCE, refusing
from tests.support.supervised import Supervised, is_running

Make = Callable[..., Supervised]


def remove(home: Path) -> None:
    """As a user does; nothing may come in his way."""
    subprocess.run(["rm", "-rf", str(home)], check=True)


def move_away(home: Path) -> None:
    os.rename(home, home.with_name("moved"))


def replace(home: Path) -> None:
    shutil.rmtree(home / "spool")
    (home / "spool").mkdir(0o700)


@pytest.mark.parametrize("harm", [remove, move_away, replace], ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("watching", [True, False], ids=["watching", "polling"])
@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
def test_it_ends_when_its_home_is_gone(
    supervised: Make, home: Path, tmp_path: Path, harm: Callable[[Path], None], *, watching: bool, busy: bool
) -> None:
    _, blind = refusing(tmp_path, NO_INSTANCE)
    s = supervised(prelude="" if watching else blind, poll_interval=0.1, kill_after=0.2)
    supervisor = s.start(2)
    assert (s.status()["polling"] is None) is watching
    pids = [worker["pid"] for worker in s.status()["workers"]]
    if busy:
        s.wait_for(s.queue.enqueue("sleep 300"), "processing")
        pids.append(s.status()["workers"][0]["pid"])
    harm(home)
    s.wait_until(lambda: supervisor.poll() == 0, "it ended")
    s.wait_until(lambda: not any(map(is_running, pids)) and not s.survivors(), "everybody has ended")
    log = home.with_name("moved") / "logs/supervisor.log" if harm is move_away else home / "logs/supervisor.log"
    if harm is not remove:
        assert f"{home} was removed: all workers are stopped" in log.read_text()


def test_an_adopted_run_ends_with_the_home(supervised: Make, home: Path) -> None:
    """Its worker has gone before, so that it is the supervisor who cannot settle it."""
    s = supervised(kill_after=0.2)
    supervisor = s.start(1)
    up = home.with_name("up")
    s.wait_for(s.queue.enqueue(f"touch {up}; exec sleep 300"), "processing")
    s.wait_until(up.exists, "the command runs")
    (worker,) = s.status()["workers"]
    os.kill(worker["pid"], 9)
    s.wait_until(lambda: bool(s.status()["adopted"]), "it was adopted")
    remove(home)
    s.wait_until(lambda: supervisor.poll() == 0, "it ended")
    s.wait_until(lambda: not s.survivors(), "everybody has ended")


def test_a_file_that_is_removed_from_the_home_ends_nobody(supervised: Make, home: Path) -> None:
    s = supervised()
    supervisor = s.start(1)
    for name in ("note", "config.yaml"):
        (home / name).write_text("")
        (home / name).unlink()
    s.wait_for(s.queue.enqueue("true"), "completed")
    assert supervisor.poll() is None
