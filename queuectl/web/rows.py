"""rows: jobs as JSON: the same members as --json of the command line, and what a page needs beside.

Guarantees: the values of a job's env leave this process nowhere, also not in its history.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from queuectl.attempts import attempts_of
from queuectl.beside import progress_of, result_of
from queuectl.clock import parse_instant, spell
from queuectl.index.rows import fingerprint_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from queuectl.client import Queue
    from queuectl.job import Job

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
FLAGS_OF_AN_END = ("timed_out", "output_limit", "failed_to_start")
DETAILS_OF_AN_END = ("exit_code", "signal", "error", "reason", "cpu_s", "max_rss_bytes", "leftovers")


def row_as_dict(row: Mapping[str, Any], max_retries: int) -> dict[str, Any]:
    """Return a row of the index as JSON has it; `max_retries` where the job says nothing."""
    made = {name: spell(value) if name.endswith("_at") and value is not None else value for name, value in row.items()}
    if made["max_retries"] is None:
        made["max_retries"] = max_retries
    return made


def group_as_dict(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return a group of failures (Reader.failures) as JSON has it."""
    newest = group["newest"]
    members = ("id", "command", "last_error", "exit_code", "outcome", "dead_reason")
    return {
        "fingerprint": group["fingerprint"],
        "count": group["count"],
        "first_at": spell(group["first_at"]),
        "last_at": spell(group["last_at"]),
        **{name: newest[name] for name in members},
    }


def detail(queue: Queue, job: Job) -> dict[str, Any]:
    """Return all there is to tell about a job."""
    fields, settings = job.fields, queue.settings
    made = {**job.as_dict(), "history": [_redacted(entry) for entry in job.history], "result": result_of(queue, job)}
    if "env" in made:
        made["env"] = _names_only(made["env"])
    progress = progress_of(queue, job)
    if progress:
        made["progress"] = progress
    return {
        **made,
        "attempt_list": _attempts(queue, job),
        "command_line": command_line_of(fields),
        "timeout_s": float(fields.get("timeout", settings.timeout)),
        "max_retries_in_force": int(fields.get("max_retries", settings.max_retries_default)),
        "directory": job.directory,
        "fingerprint": fingerprint_of(job),
        "actions": [*ACTIONS[job.state]],
    }


def _names_only(env: Any) -> Any:
    return dict.fromkeys(env) if isinstance(env, dict) else None


def _redacted(entry: Mapping[str, Any]) -> dict[str, Any]:
    changes = entry.get("set")
    if isinstance(changes, dict) and "env" in changes:
        return {**entry, "set": {**changes, "env": _names_only(changes["env"])}}
    return {**entry}


def _attempts(queue: Queue, job: Job) -> list[dict[str, Any]]:
    wanted = job.fields.get("run_at")
    rows = attempts_of(job.history, job.created_at, None if wanted is None else parse_instant(wanted))
    made = []
    for row in reversed(rows):
        ended, retry = row.get("ended_at"), row.get("run_at")
        made.append(
            {
                "attempt": row["attempt"],
                "started_at": spell(row["started_at"]),
                "ready_at": spell(row["ready_at"]),
                "ended_at": None if ended is None else spell(ended),
                "worker": row["worker"],
                "event": row.get("event"),
                **{name: row.get(name) for name in DETAILS_OF_AN_END},
                **{name: bool(row.get(name)) for name in FLAGS_OF_AN_END},
                "retry_at": None if retry is None else spell(parse_instant(retry)),
                "output_bytes": _size(queue.layout.output_of(job.id, row["attempt"])),
            }
        )
    return made


def _size(path: str) -> int | None:
    try:
        return os.lstat(path).st_size
    except OSError:
        return None


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
