"""startup: starts a supervisor, in the background or in this process.

Guarantees: `start_workers` returns once the workers are ready to run jobs, or raises with the reason why not.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from queuectl import control_client
from queuectl.atomic_file import open_private
from queuectl.clock import Clock
from queuectl.errors import Conflict, NoSupervisor, QueueError
from queuectl.executor.environment import HOME_TAG, OF_A_JOB, TAG
from queuectl.executor.signals import reset_for_child
from queuectl.version import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queuectl.spool.layout import Layout
    from queuectl.supervisor.supervisor import Supervisor

READY = "ready\n"
IN_BACKGROUND = -1
READY_S = 60.0
PATIENCE_S = 5.0
LOOK_AGAIN_S = 0.05


def start_workers(layout: Layout, count: int, *, absolute: bool = False) -> list[str]:
    """Add `count` workers (or bring their number to `count`), starting a supervisor when none runs.

    Returns:
        The names of the workers that were started and are ready.

    Raises:
        The error with which the supervisor refused or failed to start.
    """
    control_client.check_count(count, 0 if absolute else 1)  # before starting a supervisor that would refuse it
    request = {"do": "scale" if absolute else "start", "count": count}
    deadline = Clock().monotonic() + PATIENCE_S
    while True:
        try:
            answer = control_client.ask(layout, request, timeout_s=READY_S)
            return [str(name) for name in answer["workers"]]
        except NoSupervisor:
            layout.ensure()
        try:
            _start_supervisor(layout)
        except Conflict:  # another process was faster, or the last one is stopping
            if Clock().monotonic() > deadline:
                raise
            time.sleep(LOOK_AGAIN_S)


def ensure_workers(layout: Layout, count: int) -> list[str]:
    """Start a supervisor with `count` workers if none runs; a running one is not changed.

    Returns:
        The names of the workers that were started: none when a supervisor runs.

    Raises:
        The error with which the supervisor refused or failed to start.
    """
    try:
        control_client.ask(layout, {"do": "hello"})
        return []
    except NoSupervisor:
        layout.ensure()
    try:
        _start_supervisor(layout, count)
    except Conflict:  # another process was faster
        return []
    return [f"worker-{number}" for number in range(1, count + 1)]


def job_that_would_end_it(layout: Layout, environ: Mapping[str, str]) -> str | None:
    """Return the job of this process, if a supervisor that it starts would be ended with the job.

    None outside of a job, and if a supervisor is running.
    """
    job_id = environ.get("QUEUECTL_JOB_ID")
    if job_id is None or TAG not in environ:
        return None
    try:
        control_client.connect(layout).close()
    except NoSupervisor:
        return job_id
    return None


def _start_supervisor(layout: Layout, count: int = 0) -> None:
    """Start a supervisor with `count` workers in the background and wait until it listens.

    If it fails, it reports the error through a pipe; later errors go to logs/supervisor.log. A shell in between makes it a
    child of init, so that it does not become a zombie. Inside a job it does not get the variables that mark the processes
    of that job, because it is not one of them.
    """
    import subprocess

    ready, report = os.pipe()
    log = open_private(layout.log("supervisor"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    command = [sys.executable, PACKAGE, "--home", layout.home, "worker", "start", "--foreground"]
    command += ["--count", str(count)]
    try:
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", *command, "--ready-fd", str(report)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(report,),
            start_new_session=True,
            cwd="/",
            env={**{k: v for k, v in os.environ.items() if k not in OF_A_JOB}, HOME_TAG: layout.home},
            check=True,
        )
    finally:
        os.close(report)
        os.close(log)
    with os.fdopen(ready, encoding="utf-8") as words:
        said = words.read()
    if said == READY:
        return
    try:
        error = control_client.error_of(json.loads(said))
    except (ValueError, KeyError, AttributeError):
        error = QueueError(f"the supervisor did not start; {layout.log('supervisor')} may say why")
    raise error


class Starter:
    """The process that waits for the supervisor to be ready, if there is one; it gets one report."""

    def __init__(self, ready_fd: int | None) -> None:
        self._fd = ready_fd

    def report(self, error: Exception | None = None) -> None:
        """Report that requests are answered, or the error."""
        fd, self._fd = self._fd, None
        if fd is None:
            return
        text = READY if error is None else json.dumps(control_client.refusal(error))
        try:
            os.write(fd, text.encode())
            os.close(fd)
        except OSError:
            return  # the process that waited has ended


def run(
    layout: Layout,
    environ: Mapping[str, str],
    count: int,
    ready_fd: int | None = None,
    lock_fd: int | None = None,
) -> int:
    """Run the supervisor of this home until it is drained; return the exit code.

    Args:
        count: workers to start with.
        ready_fd: gets `ready` once requests are answered, then is closed; None runs in the foreground. IN_BACKGROUND: no process
            waits for it.
        lock_fd: after a restart, the descriptor by which the home is still owned.

    Raises:
        Conflict: another supervisor owns the home.
        InvalidData: the configuration is broken.
        QueueError: too few files may be open.
    """
    from queuectl.executor.local import refuse_low_limit
    from queuectl.supervisor.supervisor import Supervisor
    from queuectl.supervisor.supervisor_lock import SupervisorLock

    starter = Starter(ready_fd)
    inherited = {**environ}  # the supervisor removes some from its own environment
    try:
        refuse_low_limit(max(1, count))
        layout.ensure()
        with SupervisorLock(layout, lock_fd) as lock:
            supervisor = Supervisor(layout, environ, echo=ready_fd is None)
            try:
                supervisor.serve(count, starter.report)
            except Exception:
                supervisor.log.exception("the supervisor died of a bug action=crash")
                raise
            lock.is_kept = supervisor.restart_with is not None
    except Exception as error:
        starter.report(error)
        raise
    if lock.is_kept:
        _exec_new_supervisor(supervisor, inherited, ready_fd, lock.kept_fd)
    return 0


def _exec_new_supervisor(supervisor: Supervisor, environ: dict[str, str], ready_fd: int | None, lock_fd: int) -> None:
    """Execute a new supervisor in the same process, because a service manager or a shell waits for this process.

    The home stays locked meanwhile, so that no other supervisor can start and a stop waits for the new one.
    Returns only if a signal to stop has arrived meanwhile; from here on such a signal ends the process.

    Crash: no supervisor runs, as after any other crash; all its jobs are settled.
    """
    reset_for_child()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the new one sets its handler
    if supervisor.stop_was_requested():
        return
    command = [sys.executable, PACKAGE, "--home", supervisor.layout.home, "worker", "start", "--foreground"]
    command += ["--count", str(supervisor.restart_with), "--lock-fd", str(lock_fd)]
    if ready_fd is not None:
        command.append(f"--ready-fd={IN_BACKGROUND}")
    try:
        os.execve(command[0], command, environ)
    except OSError as error:
        supervisor.log.error(f"the restart failed: {command[0]} cannot be run: {error.strerror} action=restart")
        raise
