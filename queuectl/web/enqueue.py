"""enqueue: jobs that are put in over HTTP, one or many.

Guarantees: of many jobs, each is accepted or refused by itself, and each refused one is named by its place. A field that
            looks misspelt is refused.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from queuectl.errors import Busy, InvalidData, QueueError
from queuectl.job.fields import InvalidField, refuse_expired, refuse_misspelt, validate
from queuectl.web.response import Problem, Response, ok

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from queuectl.web.app import Request
    from queuectl.web.response import Fault

FLAGS = {
    **{"name": "--name", "queue": "--queue", "priority": "--priority", "batch": "--batch", "cwd": "--cwd"},
    **{"max_retries": "--max-retries", "backoff_base": "--backoff-base", "unique_key": "--unique"},
    **{"run_at": "--at", "expires_at": "--expires", "leftovers": "--leftovers"},
}
DURATIONS = {"timeout": "--timeout", "kill_after": "--kill-after"}
NOT_SAID = ("id", "state", "attempts", "created_at", "updated_at")


def checked(fields: Any, now: float) -> dict[str, Any]:
    """Return what an author may say.

    Raises:
        InvalidData: it is no job, or holds what looks like a misspelt field.
    """
    refuse_misspelt(fields)
    validate(fields)
    refuse_expired(fields, now)
    return dict(fields)


def enqueue(request: Request) -> Response:
    """Put one job in, or many; with `dry_run` only check them."""
    body, is_dry, now = request.body, request.params.get("dry_run", False), request.app.clock.now()
    if isinstance(body, list):
        return _enqueue_many(request, body, now, is_dry=is_dry)
    fields = checked(body, now)
    if is_dry:
        return ok({"valid": True, "job": fields, "command_line": command_line_of(fields)})
    job_id = request.queue.submit(fields)
    request.log_fields["id"] = job_id
    made = {"action": "enqueue", "id": job_id, "ids": [job_id], "refused": []}
    return ok(made, 201, {"Location": f"/api/v1/jobs/{job_id}"})


def _enqueue_many(request: Request, bodies: list[Any], now: float, *, is_dry: bool) -> Response:
    wrong: dict[int, QueueError] = {}
    good: list[int] = []
    for number, fields in enumerate(bodies):
        try:
            checked(fields, now)
            good.append(number)
        except InvalidData as error:
            wrong[number] = error
    if is_dry and wrong:
        raise Problem(422, f"{len(wrong)} of {len(bodies)} are no jobs", errors=_faults(wrong))
    if is_dry:
        return ok({"valid": True})
    ids: list[str] = []
    left = iter(good)
    try:
        for result in request.queue.submit_many(bodies[number] for number in good):
            number = next(left)
            if isinstance(result, QueueError):
                wrong[number] = result
            else:
                ids.append(result)
    except Busy as error:
        wrong.update((number, error) for number in left)
    request.log_fields.update(ids=len(ids), refused=len(wrong))
    faults = _faults(wrong)
    if not ids:
        raise Problem(422, f"none of {len(bodies)} could be queued: {faults[0][1]}", faults[0][2], errors=faults)
    refused = [
        {
            "index": number,
            "title": wrong[number].title,
            "detail": words,
            "pointer": at,
            **({"hint": hint} if hint else {}),
        }
        for number, (at, words, hint) in zip(sorted(wrong), faults, strict=True)
    ]
    return ok({"action": "enqueue", "ids": ids, "refused": refused}, 201)


def _faults(wrong: Mapping[int, QueueError]) -> list[Fault]:
    """Return what is wrong with the jobs of a list, by their places."""
    return [
        (f"/{number}/{error.field}" if isinstance(error, InvalidField) else f"/{number}", str(error), error.hint)
        for number, error in sorted(wrong.items())
    ]


# --- the command that enqueues the same job


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
