"""serializers: jobs as JSON: the same members as --json of the command line, and what a page needs beside.

Guarantees: the values of a job's env leave this process nowhere, also not in its history.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from queuectl.clock import spell
from queuectl.status import SUPERVISOR

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from queuectl.client.job_view import Job
    from queuectl.client.queue import Queue

ACTIONS = {
    "pending": ("cancel", "retry", "hold", "edit", "delete"),
    "held": ("cancel", "retry", "release", "edit", "delete"),
    "failed": ("cancel", "retry", "hold", "edit", "delete"),
    "processing": ("cancel", "delete"),
    "completed": ("retry", "delete"),
    "cancelled": ("retry", "delete"),
    "dead": ("retry", "delete"),
}
FLAGS = {
    **{"name": "--name", "queue": "--queue", "priority": "--priority", "batch": "--batch", "cwd": "--cwd"},
    **{"max_retries": "--max-retries", "backoff_base": "--backoff-base", "unique_key": "--unique"},
    **{"run_at": "--at", "expires_at": "--expires", "leftovers": "--leftovers"},
}
DURATIONS = {"timeout": "--timeout", "kill_after": "--kill-after"}
NOT_SAID = ("id", "state", "attempts", "created_at", "updated_at")


def detail(queue: Queue, job: Job) -> dict[str, Any]:
    """Return a job as `show --json` has it, without the values of its variables, and what the page needs beside."""
    fields, settings = job.fields, queue.settings
    made = {**job.as_dict(), "history": [_redacted(entry) for entry in job.history]}
    return {
        **made,
        "env": None if made["env"] is None else _names_only(made["env"]),
        "command_line": command_line_of(fields),
        "timeout_s": float(fields.get("timeout", settings.timeout)),
        "max_retries_in_force": made["max_retries"],
        "actions": [*ACTIONS[job.state]],
    }


def _names_only(env: Any) -> Any:
    return dict.fromkeys(env) if isinstance(env, dict) else None


def _redacted(entry: Mapping[str, Any]) -> dict[str, Any]:
    changes = entry.get("set")
    if isinstance(changes, dict) and "env" in changes:
        return {**entry, "set": {**changes, "env": _names_only(changes["env"])}}
    return {**entry}


def command_line_of(fields: Mapping[str, Any]) -> str:
    """Return what to type to enqueue the same job once more; variables are passed on from where it is typed."""
    from shlex import join

    words = ["queuectl", "enqueue"]
    said = {name: value for name, value in fields.items() if name not in NOT_SAID and name != "env"}
    names = [name for name in fields.get("env") or () if name != "PATH"]
    passed = [f"--pass-env={name}" for name in names]
    if set(said) - {"command", "argv", "tags", *FLAGS, *DURATIONS}:
        return join([*words, json.dumps(said, ensure_ascii=False), *passed])
    for name, value in said.items():
        if name in FLAGS:
            words.append(f"{FLAGS[name]}={value}")
        elif name in DURATIONS:
            words.append(f"{DURATIONS[name]}={value}")
        elif name == "tags":
            words += [f"--tag={tag}" for tag in value]
    words += passed
    if "argv" in said:
        return join([*words, "--", *said["argv"]])
    return join([*words, "--command", said["command"]])


def supervisor_as_dict(reply: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a supervisor's `status` reply as JSON has it; None when none runs."""
    if reply is None:
        return None
    return {**{name: reply[name] for name in SUPERVISOR}, "started_at": spell(reply["started_at"])}
