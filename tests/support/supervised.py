"""A supervisor of a temporary home, watched: it leaves no process and no lock behind, or the test fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from queuectl import control_client
from queuectl.client.queue import Queue
from queuectl.errors import NoSupervisor, QueueError
from queuectl.executor.environment import HOME_TAG

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
# Only ever used up by a test that fails; those of tests/mutants are meant to.
PATIENCE_S = float(os.environ.get("QUEUECTL_TEST_PATIENCE_S") or 60)
BODY = """
import os, sys
from queuectl.supervisor.startup import run
from queuectl.spool.layout import Layout
from queuectl.errors import QueueError
try:
    sys.exit(run(Layout(os.environ["QUEUECTL_HOME"]), os.environ, int(sys.argv[1]), int(sys.argv[2])))
except QueueError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def _spell(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)


def is_running(pid: int | str) -> bool:
    """A process that runs; one that is dead and not yet reaped does not."""
    try:
        return bool(psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


class Supervised:
    """Start, ask, kill and look; use as a context manager."""

    def __init__(self, home: Path, *, prelude: str = "", **settings: object) -> None:
        self.home = home
        self.prelude = prelude  # Python that the supervisor's process runs first
        self.environ = {**os.environ, "QUEUECTL_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
        self.environ.update({f"QUEUECTL_{name.upper()}": _spell(value) for name, value in settings.items()})
        self.queue = Queue(home)
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Supervised:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
                self.kill_its_jobs()
        try:
            for process in self.processes:
                process.wait(PATIENCE_S)
            self.wait_until(lambda: not self.survivors(), "no process of this home is left")
        finally:
            for survivor in self.survivors():
                survivor.kill()
            for process in self.processes:
                process.kill()
                process.wait()

    def kill_its_jobs(self) -> None:
        """Have running commands killed, where a supervisor can be asked."""
        try:
            self.ask("stop", now=True)
        except QueueError:
            return

    def start(self, count: int = 1) -> subprocess.Popen[bytes]:
        """Start a supervisor and wait until it answers and its workers are ready."""
        ready, tell = os.pipe()
        command = [sys.executable, "-c", self.prelude + BODY, str(count), str(tell)]
        self.queue.layout.ensure()
        with Path(self.queue.layout.log("stderr")).open("ab") as errors:
            process = subprocess.Popen(command, env=self.environ, pass_fds=(tell,), stderr=errors)
        self.processes.append(process)
        os.close(tell)
        with os.fdopen(ready, "rb") as words:
            said = words.read()
        if said != b"ready\n":
            process.wait()
            raise AssertionError(f"no supervisor: {said!r}\n{self.picture()}")
        self.wait_until(lambda: all(w["state"] != "starting" for w in self.status()["workers"]), "workers are ready")
        return process

    def ask(self, verb: str, **details: object) -> dict[str, Any]:
        """Ask the supervisor over its socket."""
        return control_client.ask(self.queue.layout, {"do": verb, **details}, timeout_s=PATIENCE_S)

    def status(self) -> dict[str, Any]:
        """What the supervisor says of itself."""
        return self.ask("status")

    def state(self, job_id: str) -> str:
        """The job's state, from its file."""
        return self.queue.get(job_id).state

    def wait_for(self, job_id: str, *states: str) -> None:
        """Wait until a job is in one of the states."""
        self.wait_until(lambda: self.state(job_id) in states, f"{job_id} is {' or '.join(states)}")

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait, on the supervisor's events where there is one, until something holds."""
        deadline = time.monotonic() + PATIENCE_S
        watch = control_client.Watch(self.queue.layout)
        try:
            while not holds():
                if time.monotonic() > deadline:
                    raise AssertionError(f"never came true: {what}\n{self.picture()}")
                watch.wait(0.02)
        finally:
            watch.close()

    def picture(self) -> str:
        """The spool and the ends of the logs, for a failed test."""
        parts = [f"{path.relative_to(self.home)}" for path in sorted(self.home.glob("spool/*/*"))[:40]]
        for log in sorted(self.home.glob("logs/*.log")):
            parts.append(f"--- {log.name}\n" + "\n".join(log.read_text().splitlines()[-15:]))
        return "\n".join(parts)

    def survivors(self) -> list[psutil.Process]:
        """Every living process that belongs to this home, but us."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(HOME_TAG) == str(self.home) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return [process for process in found if process.pid != os.getpid()]

    def has_supervisor(self) -> bool:
        """Somebody answers on the socket."""
        try:
            self.ask("hello")
        except NoSupervisor:
            return False
        return True

    def output(self, job_id: str, attempt: int | None = None) -> bytes:
        """What an attempt wrote."""
        return Path(self.queue.output(job_id, attempt)).read_bytes()
