"""The supervisor's own maintenance: beside its loop, now and then, and gone when it is gone."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from queuectl.spool.claim import Claim

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]

SOON = "from queuectl.supervisor import maintenance_runner; maintenance_runner.FIRST_S = 0.05\n"
OLD_AT_ONCE = {"retention_done": "0.001"}


def instead(script: Path, text: str) -> str:
    """Let the supervisor start another program where it would start maintenance."""
    script.write_text(text)
    return f"{SOON}maintenance_runner.PACKAGE = {str(script)!r}\n"


def ran(s: Supervised) -> Path:
    return s.home / "state/maintenance-ran"


def child(s: Supervised, process: int, script: str) -> psutil.Process | None:
    for found in psutil.Process(process).children():
        try:
            if any(word.endswith(script) for word in found.cmdline()):
                return found
        except psutil.NoSuchProcess:  # it has ended since, or a zombie is left of it
            continue
    return None


def test_it_runs_soon_after_the_start_and_removes_what_is_old(supervised: Make) -> None:
    """While jobs go on, and with the settings of the supervisor's own environment."""
    s = supervised(prelude=SOON, **OLD_AT_ONCE)
    job_id = s.queue.enqueue("true")
    process = s.start(1)
    waiting = s.home / f"spool/pending/{job_id}.json"
    s.wait_until(lambda: not waiting.exists(), "the job has started")  # once it has ended, it may be removed at once
    s.wait_until(ran(s).exists, "maintenance has run")
    first = ran(s).stat().st_mtime_ns
    s.wait_until(lambda: not child(s, process.pid, "maintenance"), "it has been reaped")
    assert ran(s).stat().st_mtime_ns == first  # the next one is due in an hour
    assert s.queue.counts()["pending"] == 0


def test_it_removes_old_jobs_and_the_index_follows(supervised: Make) -> None:
    s = supervised(**OLD_AT_ONCE)
    ids = [s.queue.enqueue("true") for _ in range(20)]
    process = s.start(2)
    for job_id in ids:
        s.wait_for(job_id, "completed")
    process.terminate()
    process.wait()
    again = type(s)(s.home, prelude=SOON, **OLD_AT_ONCE)
    with again:
        again.start(1)
        again.wait_until(ran(again).exists, "maintenance has run")
        again.wait_until(lambda: again.queue.counts()["completed"] == 0, "the index has followed")
        assert not [*s.home.glob("spool/*/*.json"), *s.home.glob("output/*")]
        assert "retention: removed 20 jobs" in (s.home / "logs/maintenance.log").read_text()


@pytest.mark.parametrize("why", ["cron has run it", "it is switched off"])
def test_it_does_not_run_when_it_is_not_due(supervised: Make, why: str) -> None:
    """Seen by what the supervisor would start instead, which would have left a trace by then."""
    interval = "0" if why == "it is switched off" else "1h"
    s = supervised(maintenance_interval=interval, drop_grace="0.5")
    s.prelude = instead(s.home.parent / "instead.py", f"open({str(s.home / 'started')!r}, 'w')\n")
    s.queue.layout.ensure()
    if why == "cron has run it":
        ran(s).touch()
    s.start(1)
    # A torn file is judged after half a second: ten times as long as a round would have waited.
    (s.home / "spool/pending/torn.json").write_text("{")
    s.wait_until((s.home / "spool/rejected/torn.json").exists, "time has passed")
    assert not (s.home / "started").exists()


def test_its_complaints_are_in_the_supervisors_log(supervised: Make) -> None:
    s = supervised(prelude=SOON, **OLD_AT_ONCE)
    s.queue.enqueue("true", id="a", cwd="/")
    claim = s.queue.spool.claim("a", "w")
    assert isinstance(claim, Claim)
    with claim:
        claim.finish({"exit_code": 0})
    (s.home / "output/a.1.log").mkdir()  # cannot be removed as a file
    s.start(1)
    log = s.home / "logs/supervisor.log"
    s.wait_until(lambda: "maintenance: queuectl: retention: cannot remove job a" in log.read_text(), "it is told")


def test_it_inherits_nothing_and_has_a_group_of_its_own(supervised: Make) -> None:
    """No lock, no socket, no pipe of a worker; a Ctrl-C at the supervisor's terminal is not for it."""
    s = supervised()
    report = s.home.parent / "report"
    s.prelude = instead(
        s.home.parent / "instead.py",
        "import os, sys\n"
        "fds = [os.readlink(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd') if int(fd) > 2"
        " and os.path.exists(f'/proc/self/fd/{fd}')]\n"
        f"open({str(report) + '.new'!r}, 'w').write(f'{{fds}} {{os.getpgid(0) == os.getpid()}}')\n"
        f"os.rename({str(report) + '.new'!r}, {str(report)!r})\n",
    )
    s.start(2)
    s.wait_until(report.exists, "it has told")
    found = report.read_text()
    assert str(s.home) not in found
    assert "socket" not in found
    assert found.endswith("True")


def test_it_ends_with_the_supervisor(supervised: Make) -> None:
    s = supervised()
    s.prelude = instead(s.home.parent / "instead.py", "import time\ntime.sleep(600)\n")
    process = s.start(1)
    s.wait_until(lambda: child(s, process.pid, "instead.py") is not None, "it runs")
    found = child(s, process.pid, "instead.py")
    assert found is not None
    s.ask("stop", now=False)
    process.wait(30)
    s.wait_until(lambda: not found.is_running() or found.status() == psutil.STATUS_ZOMBIE, "it has ended too")


def test_it_is_no_stray_of_a_worker_that_died(supervised: Make) -> None:
    """A worker is killed: its job is settled although a child of unknown origin lives, and that child is left alone."""
    s = supervised()
    s.prelude = instead(s.home.parent / "instead.py", "import time\ntime.sleep(600)\n")
    process = s.start(1)
    s.wait_until(lambda: child(s, process.pid, "instead.py") is not None, "it runs")
    found = child(s, process.pid, "instead.py")
    job_id = s.queue.enqueue("sleep 600", max_retries=0)
    s.wait_for(job_id, "processing")
    s.wait_until(lambda: s.status()["workers"][0]["command_pid"] is not None, "its command is known")
    os.kill(s.status()["workers"][0]["pid"], signal.SIGKILL)
    s.wait_until(lambda: bool(s.status()["adopted"]), "the run was adopted")
    s.queue.cancel(job_id)
    s.wait_for(job_id, "cancelled")
    assert found is not None
    assert found.is_running(), s.picture()


def test_one_that_cannot_start_costs_a_line_in_the_log(supervised: Make) -> None:
    s = supervised()
    s.prelude = f"{SOON}import sys; real = sys.executable; maintenance_runner.sys = type('S', (), {{'executable': '/nowhere'}})\n"
    s.start(1)
    log = s.home / "logs/supervisor.log"
    s.wait_until(lambda: "maintenance cannot be started: No such file" in log.read_text(), "it is told")
    job_id = s.queue.enqueue("true")
    s.wait_for(job_id, "completed")
