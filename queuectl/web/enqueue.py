"""enqueue: jobs that are put in over HTTP, one or many.

Guarantees: of many jobs, each is accepted or refused by itself, and each refused one is named by its place. A field that
            looks misspelt is refused.
"""

from __future__ import annotations

import json
from base64 import b64decode
from io import BytesIO
from typing import TYPE_CHECKING

from queuectl import disk_space
from queuectl.clock import parse_instant
from queuectl.command_location import wrong_with_input
from queuectl.errors import Busy, Conflict, InvalidData, QueueError
from queuectl.job.fields import HOOKS, InvalidField, refuse_misspelt, refuse_together, spell_value
from queuectl.units import plural, spell_duration
from queuectl.web.response import Problem, Response, faults_of, ok

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence
    from typing import Any

    from queuectl.client.queue import Queue
    from queuectl.web.app import Request
    from queuectl.web.response import Fault

FLAGS = {
    **{"id": "--id", "name": "--name"},
    **{"queue": "--queue", "priority": "--priority", "batch": "--batch", "cwd": "--cwd"},
    **{"max_retries": "--max-retries", "backoff_base": "--backoff-base", "unique_key": "--unique"},
    **{"after_policy": "--after-policy", "lock": "--lock", "weight": "--weight"},
    **{"shell": "--shell", "nice": "--nice", "ionice": "--ionice", "memory": "--memory"},
    **{hook: f"--{hook.replace('_', '-')}" for hook in (*HOOKS, "on_batch_done")},
    **{"run_at": "--at", "expires_at": "--expires", "leftovers": "--leftovers"},
}
DURATIONS = {"timeout": "--timeout", "kill_after": "--kill-after", "cpu_time": "--cpu-time"}
INPUTS = ("stdin_text", "stdin_base64")  # of a request, beside the fields of the job
NOT_SAID = ("id", "state", "attempts", "created_at", "updated_at")


def checked(queue: Queue, fields: Any, known: Container[str] = ()) -> dict[str, Any]:
    """Return what an author may say; `known` as that of Queue.check.

    Raises:
        InvalidData: it is no job, or holds what looks like a misspelt field; an InvalidField has all errors.
    """
    refuse_together([lambda: refuse_misspelt(fields), lambda: queue.check(fields, known)])
    return dict(fields)


def _warnings(jobs: Sequence[Mapping[str, Any]], now: float) -> list[str]:
    """Say which of these jobs were given a start time that is over, or an input that does not exist."""
    inputs = dict.fromkeys(wrong_with_input(fields.get("stdin")) for fields in jobs)
    found = [words for words in inputs if words is not None]
    starts = [parse_instant(fields["run_at"]) for fields in jobs if "run_at" in fields]
    past = [start for start in starts if start < now]
    if not past:
        return found
    which = f"{plural(len(past), 'job')}: " if len(jobs) > 1 else ""
    runs = "the jobs run" if len(past) > 1 else "the job runs"
    return [*found, f'{which}"run_at" is in the past ({spell_duration(now - min(past))} ago): {runs} at once']


def _without_input(body: Mapping[str, Any]) -> tuple[dict[str, Any], BytesIO | None]:
    """Return a job without its input, and the input.

    Raises:
        InvalidField.
    """
    given = [name for name in INPUTS if name in body]
    if not given:
        return dict(body), None
    if len(given) > 1 or "stdin" in body:
        raise InvalidField(given[0], f'a job has one input: "{INPUTS[0]}", "{INPUTS[1]}" or "stdin"')
    [name] = given
    text = body[name]
    try:
        if not isinstance(text, str):
            raise ValueError("it is no string")
        data = text.encode() if name == "stdin_text" else b64decode(text, validate=True)
    except ValueError as error:
        expected = "a string" if name == "stdin_text" else "base64"
        raise InvalidField(name, f'"{name}" must be {expected}, not {spell_value(text)}') from error
    return {other: value for other, value in body.items() if other != name}, BytesIO(data)


def _refuse_input(fields: Any) -> None:
    for name in INPUTS:
        if isinstance(fields, dict) and name in fields:
            raise InvalidField(name, f'"{name}" can be given with one job, not in a list')


def _no_space(queue: Queue) -> list[str]:
    words = disk_space.warning(queue.spool)
    return [] if words is None else [words]


def enqueue(request: Request) -> Response:
    """Put one job in, or many; with `dry_run` only check them."""
    body, is_dry, now = request.body, request.params.get("dry_run", False), request.app.clock.now()
    if isinstance(body, list):
        return _enqueue_many(request, body, now, is_dry=is_dry)
    body, source = _without_input(body)
    fields = checked(request.queue, body)
    warnings = _warnings([fields], now)
    if is_dry:
        request.queue.refuse_taken(fields)
        line = command_line_of(fields, shows_values=True, stdin=None if source is None else "-")
        return ok({"valid": True, "job": fields, "command_line": line, "warnings": warnings})
    job_id = request.queue.submit(fields, source)
    warnings += _no_space(request.queue)
    request.log_fields["id"] = job_id
    made = {"action": "enqueue", "id": job_id, "ids": [job_id], "refused": [], "warnings": warnings}
    return ok(made, 201, {"Location": f"/api/v1/jobs/{job_id}"})


def _enqueue_many(request: Request, bodies: list[Any], now: float, *, is_dry: bool) -> Response:
    wrong: dict[int, QueueError] = {}
    good: list[int] = []
    queue, known, keys = request.queue, set[str](), set[str]()
    for number, fields in enumerate(bodies):
        try:
            _refuse_input(fields)
            checked(queue, fields, known)
            if is_dry:
                queue.refuse_taken(fields, known, keys)
            good.append(number)
            known.add(fields.get("id", ""))
            keys.add(fields.get("unique_key", ""))
        except (InvalidData, Conflict) as error:
            wrong[number] = error
    if is_dry and wrong:
        raise Problem(422, f"{len(wrong)} of {plural(len(bodies), 'job')} would be refused", errors=_faults(wrong))
    if is_dry:
        return ok({"valid": True, "warnings": _warnings(bodies, now)})
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
    if not ids:
        faults = _faults(wrong)
        raise Problem(422, f"none of {len(bodies)} could be queued: {faults[0][1]}", faults[0][2], errors=faults)
    refused = []
    for number, reason in sorted(wrong.items()):
        (pointer, _, hint), *_ = faults = _faults_at(number, reason)
        words = "; ".join(words for _, words, _ in faults)
        made = {"index": number, "title": reason.title, "detail": words, "pointer": pointer}
        refused.append({**made, "hint": hint} if hint else made)
    warnings = _warnings([fields for number, fields in enumerate(bodies) if number not in wrong], now)
    warnings += _no_space(queue)
    return ok({"action": "enqueue", "ids": ids, "refused": refused, "warnings": warnings}, 201)


def _faults(wrong: Mapping[int, QueueError]) -> list[Fault]:
    """Return what is wrong with the jobs of a list, by their places."""
    return [fault for number, error in sorted(wrong.items()) for fault in _faults_at(number, error)]


def _faults_at(number: int, error: QueueError) -> list[Fault]:
    found = [(f"/{number}{pointer}", words, hint) for pointer, words, hint in faults_of(error)]
    return found or [(f"/{number}", str(error), error.hint)]


# --- the command that enqueues the same job


def command_line_of(fields: Mapping[str, Any], *, shows_values: bool = False, stdin: str | None = None) -> str:
    """Return what to type in a POSIX shell to enqueue the same job once more.

    A job without a directory runs in the home directory of its owner, so that is said: else the command line takes the
    current one. It also adds the PATH of the shell.

    Args:
        shows_values: of a job that its author has not enqueued yet: its id, and the values of its variables. Else these
            are passed on from where the command is typed.
        stdin: the file from which its input is copied.
    """
    from shlex import join

    words = ["queuectl", "enqueue"]
    said = {name: value for name, value in fields.items() if name not in NOT_SAID and name != "env"}
    if stdin is not None:
        words.append(f"--stdin={stdin}")
        said.pop("stdin", None)
    said.setdefault("cwd", "~")
    if shows_values:
        said.update((name, fields[name]) for name in ("id",) if name in fields)
        passed = [f"--env={name}={value}" for name, value in (fields.get("env") or {}).items()]
    else:
        passed = [f"--pass-env={name}" for name in fields.get("env") or () if name != "PATH"]
    if set(said) - {"command", "argv", "tags", "after", "needs", *FLAGS, *DURATIONS}:
        directory = f"--cwd={said.pop('cwd')}"
        return join([*words, json.dumps(said, ensure_ascii=False), directory, *passed])
    for name, value in said.items():
        if name in FLAGS:
            words.append(f"{FLAGS[name]}={value}")
        elif name in DURATIONS:
            words.append(f"{DURATIONS[name]}={value}")
        elif name == "tags":
            words += [f"--tag={tag}" for tag in value]
        elif name == "after":
            words += [f"--after={parent}" for parent in value]
        elif name == "needs":
            words += [f"--needs={resource}={units}" for resource, units in value.items()]
    words += passed
    if "argv" in said:
        return join([*words, "--", *said["argv"]])
    command = said["command"]
    return join([*words, *([f"--command={command}"] if command[:1] == "-" else ["--command", command])])
