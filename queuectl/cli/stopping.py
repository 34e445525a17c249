"""stopping: waiting until workers, or the whole supervisor, have stopped or restarted, and saying what is waited for.

Guarantees: `await_stop` of all workers returns only when every process of the queue has ended and released the home: no
            lock is held, no file of it is open, and run/ says that no supervisor runs.
"""

from __future__ import annotations

from queuectl import control_client
from queuectl.cli.progress import SHOW_AFTER_S, Progress
from queuectl.cli.text import cut, safe
from queuectl.clock import Clock
from queuectl.errors import NoSupervisor, QueueError, TimedOut
from queuectl.supervisor.supervisor_lock import is_owned, jobs_of_orphaned_workers
from queuectl.units import plural, spell_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from typing import Any

    from queuectl.cli.terminal import Screen
    from queuectl.spool.layout import Layout
    from queuectl.supervisor.supervisor_lock import RunningSupervisor

LOOK_S = 0.5
LOOK_SOON_S = 0.02  # once the supervisor has closed its socket, which tells of nothing more
ANSWER_S = 5.0


def await_stop(
    supervisor: RunningSupervisor, screen: Screen, names: Collection[str], timeout_s: float | None, *, alone: bool
) -> None:
    """Return once the workers have gone, and with the last of all the supervisor.

    Args:
        alone: only some stop; the supervisor stays.

    Raises:
        TimedOut: they had not gone after `timeout_s` seconds; the stop goes on.
    """

    def left(answer_s: float) -> str | None:
        status = supervisor.status(answer_s)
        if status is not None:
            return _workers_left(status, names) or (None if alone else _supervisor_left(status))
        if not alone and supervisor.is_alive:
            return "the supervisor"
        return None

    hint = "queuectl worker stop --now kills their commands and puts the jobs back"
    _wait(supervisor.layout, screen, left, timeout_s, "stop", hint)
    if not alone:
        await_orphaned_workers(supervisor.layout, screen, timeout_s)


def warn_of_stopped(layout: Layout, screen: Screen, names: Collection[str]) -> None:
    """Warn of the jobs of these workers that are stopped by SIGSTOP: they do not end before they are continued."""
    from queuectl.client.why import read_supervision, reasons_of
    from queuectl.config.settings import Settings
    from queuectl.scheduling.waits_for import Why
    from queuectl.spool.spool import Spool

    spool = Spool(layout, Settings())
    supervision = read_supervision(spool, brief=True)
    for worker in supervision.status["workers"] if supervision.status is not None else ():
        if worker["job_id"] is None or worker["name"] not in names:
            continue
        try:
            reasons = reasons_of(spool, spool.read(worker["job_id"]), supervision)
        except QueueError:  # it has ended
            continue
        for reason in reasons:
            if reason.why is Why.STOPPED:
                hint = reason.hint.format(id=worker["job_id"])
                screen.warn(f"job {worker['job_id']} is stopped ({reason.detail}); it does not end until: {hint}")


def await_orphaned_workers(layout: Layout, screen: Screen, timeout_s: float | None) -> None:
    """Return once no worker is left whose supervisor has died; each ends with the job that it runs.

    Raises:
        TimedOut: one still ran after `timeout_s` seconds.
    """

    def left(_answer_s: float) -> str | None:
        jobs = [] if is_owned(layout) else jobs_of_orphaned_workers(layout)
        return f"{_listed(jobs)}, run by a worker whose supervisor has died" if jobs else None

    _wait(layout, screen, left, timeout_s, "stop", "queuectl worker start takes them over")


def await_restart(
    supervisor: RunningSupervisor, screen: Screen, names: Collection[str], timeout_s: float | None
) -> None:
    """Return once a new supervisor answers.

    Raises:
        TimedOut: none did within `timeout_s` seconds; the restart goes on.
        QueueError: the supervisor has gone and none has taken its place.
    """
    layout = supervisor.layout

    def left(answer_s: float) -> str | None:
        status = supervisor.status(answer_s)
        if status is not None:
            return _workers_left(status, names) or _supervisor_left(status)
        try:
            control_client.ask(layout, {"do": "hello"}, timeout_s=answer_s)
        except NoSupervisor:
            if supervisor.is_alive or is_owned(layout):
                return "the new supervisor"
            text = "the supervisor has stopped, and no new one has started"
            raise QueueError(text, "queuectl worker logs says why; then: queuectl worker start") from None
        return None

    _wait(layout, screen, left, timeout_s, "restart", "")


def _wait(
    layout: Layout,
    screen: Screen,
    left: Callable[[float], str | None],
    timeout_s: float | None,
    what: str,
    hint: str,
) -> None:
    """Look again and again until nothing is `left` to wait for, and say what is.

    Args:
        left: given how long it may wait for an answer; returns what is waited for.
        what: "stop" or "restart", which goes on when nobody waits for it any more.
    """
    clock = Clock()
    deadline = None if timeout_s is None else clock.monotonic() + timeout_s
    watch = control_client.Watch(layout)
    told = ""
    try:
        with Progress(screen, "Waiting for") as progress:
            while True:
                rest = LOOK_S if deadline is None else min(LOOK_S, deadline - clock.monotonic())
                try:
                    words = left(ANSWER_S if deadline is None else max(rest, LOOK_SOON_S))
                except TimedOut:
                    words = "the supervisor, which does not answer"
                if words is None:
                    return
                if rest <= 0:
                    ended = "stopped" if what == "stop" else "restarted"
                    raise TimedOut(
                        f"not {ended} after {spell_duration(timeout_s or 0)}: {words}; the {what} continues", hint
                    )
                progress.step(0, words)
                is_job = "(" in words  # which may take long; all else mostly takes milliseconds
                if not screen.is_interactive and words != told and (is_job or progress.elapsed_s >= SHOW_AFTER_S):
                    screen.message(f"Waiting for {words}")
                    told = words
                watch.wait(rest if watch.is_open else min(rest, LOOK_SOON_S))
    except KeyboardInterrupt:
        screen.message(f"Stopped waiting; the {what} continues")
        raise
    finally:
        watch.close()


def _workers_left(status: Mapping[str, Any], names: Collection[str]) -> str:
    """Name the workers that still stop; empty when none does."""
    return _listed([_busy_with(w) for w in status["workers"] if w["name"] in names and w["state"] == "stopping"])


def _supervisor_left(status: Mapping[str, Any]) -> str:
    adopted = status["adopted"]
    return f"{plural(len(adopted), 'job')} without a worker" if adopted else "the supervisor"


def _listed(words: list[str]) -> str:
    return ", ".join(words[:3]) + (" ..." if len(words) > 3 else "")


def _busy_with(worker: Mapping[str, Any]) -> str:
    if worker["job_id"] is None:
        return str(worker["name"])
    return f"{worker['name']} ({worker['job_id']}: {cut(safe(worker['command'] or ''), 40)})"
