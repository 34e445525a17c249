"""drain: waiting until workers have stopped, telling what they still wait for."""

from __future__ import annotations

from queuectl.cli.progress import Progress
from queuectl.cli.text import cut, safe
from queuectl.clock import Clock
from queuectl.errors import NoSupervisor, TimedOut
from queuectl.units import plural, spell_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

    from queuectl.cli.screen import Screen
    from queuectl.spool.layout import Layout

LOOK_S = 0.5


def await_stop(layout: Layout, screen: Screen, names: Collection[str], timeout_s: float | None, *, alone: bool) -> None:
    """Return once the workers have gone, and with the last of all the supervisor.

    Args:
        alone: only some stop; the supervisor stays.

    Raises:
        TimedOut: they had not gone after `timeout_s` seconds; the stop goes on.
    """
    from queuectl.processes import control

    clock = Clock()
    deadline = None if timeout_s is None else clock.monotonic() + timeout_s
    watch = control.Watch(layout)
    try:
        with Progress(screen, "Waiting for") as progress:
            told = ""
            while True:
                words = _left(layout, names, alone=alone)
                if words is None:
                    return
                left = LOOK_S if deadline is None else min(LOOK_S, deadline - clock.monotonic())
                if left <= 0:
                    raise TimedOut(
                        f"not stopped after {spell_duration(timeout_s or 0)}: {words}; the stop goes on",
                        "queuectl worker stop --now kills their commands and puts the jobs back",
                    )
                progress.step(0, words)
                if not screen.talks and words != told:
                    screen.say(f"Waiting for {words}")
                    told = words
                watch.wait(left)
    except KeyboardInterrupt:
        screen.say("Not waiting any more; the stop goes on")
        raise
    finally:
        watch.close()


def _left(layout: Layout, names: Collection[str], *, alone: bool) -> str | None:
    """Say what is waited for; None when nothing is."""
    from queuectl.processes import control

    try:
        status = control.ask(layout, {"do": "status"})
    except NoSupervisor:
        return None
    left = [w for w in status["workers"] if w["name"] in names and w["state"] == "stopping"]
    if left:
        return ", ".join(_busy_with(worker) for worker in left[:3]) + (" ..." if len(left) > 3 else "")
    if alone:
        return None
    adopted = status["adopted"]
    return f"{plural(len(adopted), 'job')} without a worker" if adopted else "the supervisor"


def _busy_with(worker: Mapping[str, Any]) -> str:
    if worker["job_id"] is None:
        return str(worker["name"])
    return f"{worker['name']} ({worker['job_id']}: {cut(safe(worker['command'] or ''), 40)})"
