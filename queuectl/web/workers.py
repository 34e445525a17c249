"""workers: the processes that run jobs: told about, started, stopped."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from queuectl import control_client
from queuectl.errors import NoSupervisor, PartlyFailed
from queuectl.growing_file import last_lines, open_regular
from queuectl.status import supervisor_as_dict, with_usage, worker_as_dict
from queuectl.supervisor.startup import start_workers
from queuectl.web.response import TEXT, Response, ok

if TYPE_CHECKING:
    from typing import Any

    from queuectl.web.app import Request

LOG_LINES = 200
LOG_BYTES = 256 << 10


def workers_as_dicts(request: Request) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Return the supervisor and its workers."""
    try:
        reply = control_client.ask(request.app.layout, {"do": "status", "usage": True})
    except NoSupervisor:
        return None, []
    return supervisor_as_dict(reply), [worker_as_dict(row) for row in with_usage(reply["workers"])]


def show(request: Request) -> Response:
    """Tell of the supervisor and its workers."""
    supervisor, workers = workers_as_dicts(request)
    return ok({"supervisor": supervisor, "workers": workers})


def start(request: Request) -> Response:
    """Add workers."""
    count = request.body.get("count", 1)
    names = start_workers(request.app.layout, count)
    request.log_fields["workers"] = ",".join(names)
    if len(names) < count:
        raise PartlyFailed(f"{count - len(names)} of {count} workers did not start", "queuectl worker logs")
    return ok({"action": "start", "workers": names}, 201)


def scale(request: Request) -> Response:
    """Bring the number of workers to `count`."""
    count = request.body["count"]
    supervisor, _ = workers_as_dicts(request)
    names = start_workers(request.app.layout, count, absolute=True) if count or supervisor else []
    request.log_fields["count"] = count
    return ok({"action": "scale", "count": count, "started": names})


def stop(request: Request) -> Response:
    """Stop one worker or all; without a supervisor there is nothing to do."""
    return _stop(request, request.body.get("id"), now=request.body.get("now", False))


def stop_named(request: Request) -> Response:
    """Stop the worker of the path."""
    return _stop(request, request.params["id"], now=False)


def _stop(request: Request, worker: str | None, *, now: bool) -> Response:
    message: dict[str, Any] = {"do": "stop", "now": now}
    if worker is not None:
        message["id"] = _name(worker)
    try:
        names = control_client.ask(request.app.layout, message)["stopping"]
    except NoSupervisor:
        names = []
    request.log_fields["workers"] = ",".join(names)
    return ok({"action": "stop", "workers": names})


def restart(request: Request) -> Response:
    """Replace one worker as its job ends; without an id restart the whole supervisor, as all jobs end."""
    message: dict[str, Any] = {"do": "restart"}
    if "id" in request.body:
        message["id"] = _name(request.body["id"])
    names = control_client.ask(request.app.layout, message)["restarting"]
    request.log_fields["workers"] = ",".join(names)
    return ok({"action": "restart", "workers": names})


def _name(text: str) -> str:
    return f"worker-{text}" if text.isdigit() else text


def log(request: Request) -> Response:
    """Return the last lines of a log."""
    path = request.app.layout.log(request.params["id"])
    fd = open_regular(path, f"{request.params['id']} has no log yet")
    try:
        _, data = last_lines(fd, request.params.get("lines", LOG_LINES), LOG_BYTES)
    finally:
        os.close(fd)
    return Response(200, data, TEXT)
