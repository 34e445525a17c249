"""launch: starting a supervisor, in the background or here.

Guarantees: `start_workers` returns once the workers are ready to run jobs, or raises with the reason why not.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from queuectl.errors import NoSupervisor, QueueError
from queuectl.processes import control

if TYPE_CHECKING:
    from queuectl.spool.layout import Layout

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def start_workers(layout: Layout, count: int, *, absolute: bool = False) -> list[str]:
    """Add `count` workers (or bring their number to `count`), starting a supervisor when none runs.

    Returns:
        The names of the workers that were started and are ready.
    """
    verb = "scale" if absolute else "start"
    try:
        answer = control.ask(layout, {"do": verb, "count": count}, timeout_s=60)
    except NoSupervisor:
        layout.ensure()
        _start_supervisor(layout)
        answer = control.ask(layout, {"do": verb, "count": count}, timeout_s=60)
    return [str(name) for name in answer["workers"]]


def _start_supervisor(layout: Layout) -> None:
    """Start a supervisor without workers in the background and wait until it listens.

    Its last words, should it fail, come through a pipe; everything later goes to logs/supervisor.log.
    """
    import subprocess

    ready, tell = os.pipe()
    log = os.open(layout.log("supervisor"), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    command = [sys.executable, PACKAGE, "--home", layout.home, "worker", "start", "--foreground", "--count", "0"]
    try:
        subprocess.Popen(
            [*command, "--ready-fd", str(tell)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(tell,),
            start_new_session=True,
            cwd="/",
        )
    finally:
        os.close(tell)
        os.close(log)
    with os.fdopen(ready, encoding="utf-8") as words:
        said = words.read()
    if said.strip() != "ready":
        raise QueueError(said.strip() or f"the supervisor did not start; see {layout.log('supervisor')}")
