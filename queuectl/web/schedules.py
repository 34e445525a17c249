"""schedules: the schedules of config.yaml; running one now, pausing and resuming it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.web.response import Response, ok
from queuectl.web.snapshot import schedules_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from queuectl.web.app import Request


def show(request: Request) -> Response:
    """Return all schedules."""
    made = {"schedules": schedules_of(request.queue)}
    return request.conditional(made, lambda: made)


def run(request: Request) -> Response:
    """Enqueue the job of a schedule now."""
    name = request.params["name"]
    job_id = request.queue.run_schedule(name)
    request.log_fields["schedule"] = name
    return ok({"action": "run", "schedule": name, "id": job_id}, status=201)


def act(action: str) -> Callable[[Request], Response]:
    """Return the handler that pauses or resumes the schedule of the path."""

    def handle(request: Request) -> Response:
        name, queue = request.params["name"], request.queue
        is_changed = queue.pause_schedule(name) if action == "pause" else queue.resume_schedule(name)
        request.log_fields["schedule"] = name
        return ok({"action": action, "schedule": name, "changed": is_changed})

    return handle
