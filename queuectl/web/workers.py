"""workers: the processes that run jobs: told about, started, stopped."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from queuectl import control_client
from queuectl.clock import spell
from queuectl.errors import NoSupervisor, PartlyFailed
from queuectl.status import SUPERVISOR, with_usage, worker_as_dict
from queuectl.supervisor.startup import start_workers
from queuectl.web.output import open_in, tail_of
from queuectl.web.response import TEXT, Answer, ok

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from queuectl.web.app import Ask

LOG_LINES = 200


def supervisor_as_dict(answer: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a supervisor's `status` answer as JSON has it; None when none runs."""
    if answer is None:
        return None
    return {**{name: answer[name] for name in SUPERVISOR}, "started_at": spell(answer["started_at"])}


def workers_as_dicts(ask: Ask) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Return the supervisor and its workers."""
    try:
        answer = control_client.ask(ask.site.layout, {"do": "status"})
    except NoSupervisor:
        return None, []
    return supervisor_as_dict(answer), [worker_as_dict(row) for row in with_usage(answer["workers"])]


def show(ask: Ask) -> Answer:
    """Tell of the supervisor and its workers."""
    supervisor, workers = workers_as_dicts(ask)
    return ok({"supervisor": supervisor, "workers": workers})


def start(ask: Ask) -> Answer:
    """Add workers."""
    count = ask.body.get("count", 1)
    names = start_workers(ask.site.layout, count)
    ask.about["workers"] = ",".join(names)
    if len(names) < count:
        raise PartlyFailed(f"{count - len(names)} of {count} workers did not start", "queuectl worker logs")
    return ok({"action": "start", "workers": names}, 201)


def scale(ask: Ask) -> Answer:
    """Bring the number of workers to `count`."""
    count = ask.body["count"]
    supervisor, _ = workers_as_dicts(ask)
    names = start_workers(ask.site.layout, count, absolute=True) if count or supervisor else []
    ask.about["count"] = count
    return ok({"action": "scale", "count": count, "started": names})


def stop(ask: Ask) -> Answer:
    """Stop one worker or all; without a supervisor there is nothing to do."""
    return _stop(ask, ask.body.get("id"), now=ask.body.get("now", False))


def stop_named(ask: Ask) -> Answer:
    """Stop the worker of the path."""
    return _stop(ask, ask.params["id"], now=False)


def _stop(ask: Ask, worker: str | None, *, now: bool) -> Answer:
    request: dict[str, Any] = {"do": "stop", "now": now}
    if worker is not None:
        request["id"] = _name(worker)
    try:
        names = control_client.ask(ask.site.layout, request)["stopping"]
    except NoSupervisor:
        names = []
    ask.about["workers"] = ",".join(names)
    return ok({"action": "stop", "workers": names})


def restart(ask: Ask) -> Answer:
    """Replace one worker as its job ends; without an id restart the whole supervisor, as all jobs end."""
    request: dict[str, Any] = {"do": "restart"}
    if "id" in ask.body:
        request["id"] = _name(ask.body["id"])
    names = control_client.ask(ask.site.layout, request)["restarting"]
    ask.about["workers"] = ",".join(names)
    return ok({"action": "restart", "workers": names})


def _name(text: str) -> str:
    return f"worker-{text}" if text.isdigit() else text


def log(ask: Ask) -> Answer:
    """Return the last lines of a log."""
    path = ask.site.layout.log(ask.params["id"])
    fd = open_in(path, f"{ask.params['id']} has no log yet")
    try:
        _, data = tail_of(fd, ask.params.get("lines", LOG_LINES))
    finally:
        os.close(fd)
    return Answer(200, data, TEXT)
