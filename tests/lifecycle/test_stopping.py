"""worker stop --wait and worker restart: what has ended when they return; and the same from inside a job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from queuectl.errors import NoSupervisor
from queuectl.spool.layout import Layout
from queuectl.supervisor.supervisor_lock import is_owned
from tests.support.supervised import PATIENCE_S, is_running

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]

ROOT = Path(__file__).parents[2]
RUNS = 4
UNTIL_KILLED = "echo begun; exec sleep 1000"
SLOW_MAINTENANCE = """\
import signal, sys, time
log = open({log!r}, "a")
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), sys.exit()))
open({began!r}, "w").close()
time.sleep(1000)
"""


@pytest.fixture(autouse=True)
def queuectl_is_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for jobs: the supervisor passes its PATH on."""
    program = tmp_path / "bin" / "queuectl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT / "queuectl"} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def run(s: Supervised, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["queuectl", *words], env=s.environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def with_files_of(home: Path) -> list[str]:
    """Every process that has a file of the home open or works in it."""
    found = []
    for process in psutil.process_iter():
        for link in (f"/proc/{process.pid}/cwd", *Path(f"/proc/{process.pid}/fd").glob("*")):
            try:
                if os.readlink(link).startswith(f"{home}/"):
                    found.append(f"{process.pid} {process.cmdline()} {os.readlink(link)}")
            except (OSError, psutil.Error):
                continue
    return found


def assert_released(s: Supervised, pid: int) -> None:
    assert not is_running(pid)
    assert {path.name for path in (s.home / "run").iterdir()}.isdisjoint({"control.sock", "supervisor.json"})
    assert not is_owned(s.queue.layout)
    assert not [*s.home.glob("*.db-wal"), *s.home.glob("*.db-shm")], "the index is closed"
    assert with_files_of(s.home) == []
    assert not s.survivors()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("line", ["stop --wait", "stop --now --wait", "stop --timeout 60"])
def test_a_stop_that_waits_returns_when_every_process_has_ended(supervised: Make, line: str) -> None:
    """Of both kinds of supervisor start the one in the background, which is nobody's child."""
    s = supervised()
    for number in range(RUNS):
        assert run(s, "worker", "start", "--count", "2").returncode == 0
        pid = s.status()["pid"]
        job_id = s.queue.enqueue(UNTIL_KILLED if "--now" in line else "sleep 0.05")
        if number % 2:
            s.wait_for(job_id, "processing", "completed")
        stopped = run(s, "worker", *line.split())
        assert_released(s, pid)
        assert stopped.returncode == 0, stopped.stderr
        assert stopped.stderr.endswith("Stopped 2 workers\n")
        s.queue.cancel(job_id)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_it_waits_for_maintenance_that_is_under_way(supervised: Make) -> None:
    """It is told to end, and has a file of the home open until it does."""
    s = supervised()
    began, script = s.home / "began", s.home.parent / "slow.py"
    s.queue.layout.ensure()
    script.write_text(SLOW_MAINTENANCE.format(log=s.queue.layout.log("maintenance"), began=str(began)))
    s.prelude = f"from queuectl.supervisor import maintenance_runner; maintenance_runner.FIRST_S = 0.05; maintenance_runner.PACKAGE = {str(script)!r}\n"
    process = s.start(1)
    s.wait_until(began.exists, "it runs")
    assert run(s, "worker", "stop", "--wait").returncode == 0
    assert_released(s, process.pid)


def test_it_waits_for_a_worker_whose_supervisor_was_killed(supervised: Make, tmp_path: Path) -> None:
    """No supervisor is left to ask; the worker ends with its job."""
    s = supervised()
    process = s.start(1)
    job_id = s.queue.enqueue(f"until [ -e {tmp_path}/end ]; do sleep 0.02; done")
    s.wait_for(job_id, "processing")
    process.kill()
    process.wait()
    refused = run(s, "worker", "stop", "--timeout", "0.1")
    assert refused.returncode == 124
    assert f"{job_id}, run by a worker whose supervisor has died" in refused.stderr
    (tmp_path / "end").touch()
    assert run(s, "worker", "stop", "--wait").returncode == 0
    assert s.state(job_id) == "completed"
    assert with_files_of(s.home) == []


# --- restart


def test_a_restart_keeps_the_process_and_brings_the_same_number_of_workers(supervised: Make) -> None:
    s = supervised()
    assert run(s, "worker", "start", "--count", "3").returncode == 0
    run(s, "worker", "stop", "--id", "1", "--wait")
    before = s.status()
    again = run(s, "worker", "restart")
    assert (again.returncode, again.stderr.splitlines()[-1]) == (0, "Restarted, with 2 workers")
    after = s.status()
    assert after["pid"] == before["pid"]  # which a service manager watches
    assert after["started_at"] > before["started_at"]
    assert [w["name"] for w in after["workers"]] == ["worker-1", "worker-2"]
    assert {w["pid"] for w in after["workers"]}.isdisjoint({w["pid"] for w in before["workers"]})
    job_id = s.queue.enqueue("true")
    s.wait_for(job_id, "completed")
    run(s, "worker", "stop", "--wait")
    assert not s.survivors()


def test_it_waits_for_jobs_and_goes_on_when_nobody_waits_any_more(supervised: Make, tmp_path: Path) -> None:
    s = supervised()
    run(s, "worker", "start")
    started_at = s.status()["started_at"]
    job_id = s.queue.enqueue(f"until [ -e {tmp_path}/end ]; do sleep 0.02; done")
    s.wait_for(job_id, "processing")
    given_up = run(s, "worker", "restart", "--timeout", "0.1")
    assert given_up.returncode == 124
    assert f"not restarted after 0.1s: worker-1 ({job_id}: until" in given_up.stderr
    busy = run(s, "worker", "start")
    assert (busy.returncode, "the supervisor is restarting" in busy.stderr) == (9, True)
    (tmp_path / "end").touch()
    assert run(s, "worker", "restart").returncode == 0  # joins the first
    assert s.status()["started_at"] > started_at
    assert s.state(job_id) == "completed"
    run(s, "worker", "stop", "--wait")


def test_a_stop_calls_a_restart_off(supervised: Make) -> None:
    """Whenever it comes: before the new supervisor has begun, or while it begins."""
    s = supervised()
    for _ in range(RUNS):
        run(s, "worker", "start")
        pid = s.status()["pid"]
        run(s, "worker", "restart", "--no-wait")
        assert run(s, "worker", "stop", "--wait").returncode == 0
        assert not s.has_supervisor()
        assert not is_running(pid)


def test_it_is_refused_while_the_configuration_is_broken(supervised: Make) -> None:
    """No supervisor could start with it; the old one goes on."""
    s = supervised()
    run(s, "worker", "start")
    (s.home / "config.yaml").write_text("timeout: soon\n")
    refused = run(s, "worker", "restart")
    assert (refused.returncode, "config.yaml:1: timeout must be" in refused.stderr) == (6, True)
    assert not s.status()["draining"]
    (s.home / "config.yaml").unlink()
    run(s, "worker", "stop", "--wait")


def test_one_that_does_not_come_back_is_an_error(supervised: Make, tmp_path: Path) -> None:
    s = supervised(prelude=f"import queuectl.supervisor.startup as l; l.PACKAGE = {str(tmp_path / 'gone')!r}\n")
    s.start(1)
    failed = run(s, "worker", "restart")
    assert failed.returncode == 1
    assert "the supervisor has stopped, and no new one has started" in failed.stderr


# --- inside a job


def started_at(s: Supervised) -> float | None:
    """When the supervisor began that answers; None while none does."""
    try:
        return float(s.ask("hello")["started_at"])
    except NoSupervisor:
        return None


def job(s: Supervised, command: str) -> tuple[int | None, str]:
    """Run a command as a job; returns its exit code and what it wrote."""
    job_id = s.queue.enqueue(command, max_retries=0)
    s.wait_for(job_id, "completed", "dead")
    return s.queue.get(job_id).exit_code, s.output(job_id).decode()


def test_a_job_that_would_wait_for_its_own_end_or_be_put_back_for_ever_is_refused(supervised: Make) -> None:
    s = supervised()
    s.start(1)
    for line, words in {
        "stop --now": "which it would kill and requeue",
        "stop --now --wait": "which it would kill and requeue",
        "stop --id worker-1 --now": "which it would kill and requeue",
        "stop --wait": "and the stop waits for this job to end",
        "stop --id 1 --timeout 50": "and the stop waits for this job to end",
        "restart --wait": "and the restart waits for this job to end",
    }.items():
        code, said = job(s, f"queuectl worker {line}")
        assert (code, words in said) == (4, True), said
    assert not s.status()["draining"]


def test_a_deploy_job_restarts_the_supervisor_that_runs_it(supervised: Make) -> None:
    """It is not killed and waits for nothing: the restart comes when it has ended, and it runs once."""
    s = supervised()
    run(s, "worker", "start", "--count", "2")
    before = s.status()
    code, said = job(s, "queuectl worker restart && echo deployed")
    assert code == 0, said
    assert said.endswith("deployed\n")
    s.wait_until(lambda: (started_at(s) or 0) > before["started_at"], "it has restarted")
    assert len(s.status()["workers"]) == 2
    assert s.queue.counts() == {**s.queue.counts(), "completed": 1, "processing": 0, "pending": 0}
    assert json.loads(run(s, "list", "--json").stdout)[0]["attempts"] == 1
    run(s, "worker", "stop", "--wait")


def test_a_plain_stop_and_another_worker_are_allowed(supervised: Make) -> None:
    s = supervised()
    supervisor = s.start(2)
    own = "queuectl worker list --json | grep -B20 $QUEUECTL_JOB_ID | sed -n 's/.*name.*-\\([12]\\).*/\\1/p'"
    code, said = job(s, f"queuectl worker stop --now --wait --id $((3 - $({own})))")
    assert (code, said.splitlines()[-1]) == (0, "Stopped 1 worker")
    code, said = job(s, "queuectl worker stop && echo goes on")
    assert (code, said.endswith("goes on\n")) == (0, True)
    assert supervisor.wait(PATIENCE_S) == 0


def test_what_outlives_its_job_and_another_home_are_not_refused(supervised: Make, tmp_path: Path) -> None:
    """The environment alone does not make a process part of a running job."""
    s = supervised()
    supervisor = s.start(1)
    Layout(f"{tmp_path}/other").ensure()
    code, said = job(s, f"queuectl --home {tmp_path}/other worker stop --now --wait")
    assert (code, said) == (0, "No worker is running\n")
    run_id = s.queue.list()[0]["id"] + ".1"
    stopped = subprocess.run(
        ["queuectl", "worker", "stop", "--now", "--wait"],
        env={**s.environ, "QUEUECTL_RUN_ID": run_id},
        timeout=PATIENCE_S,
        check=False,
    )
    assert stopped.returncode == 0
    assert supervisor.wait(PATIENCE_S) == 0
