"""check_supervisor: the supervisor and its workers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from queuectl.doctor.result import ERROR, INFO, WARN, Finding, few
from queuectl.health import START
from queuectl.units import plural, spell_duration
from queuectl.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.doctor.scan import Context


def supervisor(context: Context) -> Iterator[Finding]:
    """A supervisor that does not answer or does not work normally."""
    running = context.supervisor
    if running is not None:
        pid = running["pid"]
        if running["degraded"]:
            text = f"the supervisor (pid {pid}) is degraded: {running['degraded']}"
            yield Finding(ERROR, text, "queuectl worker logs; it continues when the cause is removed")
        if running["draining"]:
            yield Finding(
                INFO, f"the supervisor (pid {pid}) is draining: it starts no new job", f"when it has ended: {START}"
            )
        return
    if context.holder is None:
        return
    from queuectl.executor.process_tree import is_stopped

    pid = context.holder
    if is_stopped(pid):
        text = f"the supervisor (pid {pid}) does not answer: it was stopped (SIGSTOP)"
        yield Finding(ERROR, text, f"kill -CONT {pid}")
    elif context.is_silent:
        text = f"the supervisor (pid {pid}) does not answer"
        yield Finding(ERROR, text, f"queuectl worker logs; if it still does not answer: kill {pid}, then: {START}")
    else:
        text = (
            f"process {pid} holds run/supervisor.lock but does not listen on its socket: no other supervisor can start"
        )
        yield Finding(ERROR, text, f"find out what it is: ps -fp {pid}; then: kill {pid}")


def version(context: Context) -> Iterator[Finding]:
    """A supervisor of another version."""
    running = context.supervisor
    if running is not None and running["version"] != __version__:
        text = f"the supervisor (pid {running['pid']}) is version {running['version']}; installed is {__version__}"
        yield Finding(WARN, text, "queuectl worker restart")


def events(context: Context) -> Iterator[Finding]:
    """A supervisor that has to scan for changed files."""
    why = context.supervisor.get("polling") if context.supervisor is not None else None
    if why is None:
        return
    every = spell_duration(context.settings.poll_interval)
    text = f"the system does not report changed files: {why}; the supervisor scans for them every {every}"
    limit = next((word for word in why.split() if word.startswith("fs.inotify.")), None)
    if limit is None:
        yield Finding(INFO, text, "dropped files start after up to one interval; to shorten it: poll_interval")
        return
    now = _number_in(f"/proc/sys/{limit.replace('.', '/')}")
    hint = f"as root: sysctl {limit}={max(1024, 4 * (now or 0))}, and put the same line into /etc/sysctl.d/"
    yield Finding(WARN, text, hint)


def _number_in(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def workers(context: Context) -> Iterator[Finding]:
    """Due jobs without workers."""
    running = context.supervisor
    lost = [worker["name"] for worker in running["workers"] if worker["state"] == "backoff"] if running else []
    if lost:
        yield Finding(WARN, f"{few(lost)} died and will be restarted later", f"queuectl worker logs {lost[0]}")
    due = context.scan.due
    if not due or context.holder is not None or (running and (running["workers"] or running["draining"])):
        return
    who = "the supervisor has no workers" if running else "no supervisor is running"
    yield Finding(WARN, f"{plural(due, 'job')} can run now, but {who}", START)


def traces(context: Context) -> Iterator[Finding]:
    """Files in run/ of a supervisor that was killed."""
    from queuectl.supervisor.supervisor_lock import RUN_FILES, noted_pid

    left = [f"run/{name}" for name in RUN_FILES if context.lstat(f"{context.layout.run}/{name}") is not None]
    if left and not context.has_supervisor:
        if "run/supervisor.json" in left and noted_pid(context.layout) is None:
            text = f"{few(left)} was copied with the home: the supervisor of another home created it"
            yield Finding(INFO, text, repair=partial(_tidy, context))
            return
        text = f"the last supervisor was killed and left {few(left)}"
        yield Finding(WARN, text, repair=partial(_tidy, context))


def _tidy(context: Context) -> str:
    from queuectl.supervisor.supervisor_lock import remove_leftovers

    return f"removed {few([f'run/{name}' for name in remove_leftovers(context.layout)])}"
