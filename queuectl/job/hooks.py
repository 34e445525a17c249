"""hooks: commands that are run when something has happened to a job: which event calls which, and where they are given.

Guarantees: pure. The most specific command wins: that of the job, else that of its queue, else that of the configuration.
Source:     spool/FORMAT.md § Hooks.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from queuectl.config.settings import Settings
    from queuectl.job.history import Entry

IDLE = "on_idle"  # of the whole queue: no job runs, and none may start now
CALLED_BY = {
    "completed": ("on_success",),
    "failed": ("on_failure",),
    "cancelled": ("on_cancel",),
    "expired": ("on_dead",),
    "died": ("on_dead",),
}
DIED_OF_A_FAILURE = ("on_failure", "on_dead")


def called_by(entry: Entry) -> tuple[str, ...]:
    """Return the hooks that an entry of a history calls; a job that died of a failed attempt calls both."""
    if entry["event"] == "died" and "exit_code" in entry:
        return DIED_OF_A_FAILURE
    return CALLED_BY.get(entry["event"], ())


def command_of(hook: str, fields: Mapping[str, Any], settings: Settings) -> str | None:
    """Return what a hook of a job runs; None when nothing is given."""
    if hook in fields:
        return str(fields[hook])
    queue = settings.queues.get(fields.get("queue", "default"))
    found = queue.get(hook) if queue else None
    return found or getattr(settings, hook)  # type: ignore[no-any-return]
