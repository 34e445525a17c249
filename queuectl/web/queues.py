"""queues: the queues with their limits and pauses, and pausing them; the batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.client.batches import detail_of
from queuectl.client.batches import rows_of as batch_rows
from queuectl.client.queues import end_of_pause, of_all_queues, rows_of
from queuectl.errors import UsageError
from queuectl.spool import pauses
from queuectl.web.response import Response, ok, problem_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from queuectl.web.app import Request


def show(request: Request) -> Response:
    """Return all queues."""
    index, queue = request.app.index, request.queue
    index.catch_up()
    with index.reader() as reader:
        counts, oldest = reader.by_queue(), reader.oldest_by_queue(request.app.clock.now())
    paused = pauses.read(queue.spool)
    made = {**of_all_queues(paused), "queues": [*rows_of(counts, oldest, queue.settings, paused)]}
    return request.conditional(made, lambda: made)


def batches(request: Request) -> Response:
    """Return all batches."""
    index = request.app.index
    index.catch_up()
    with index.reader() as reader:
        made = {"batches": [*batch_rows(request.queue.spool, reader)]}
    return request.conditional(made, lambda: made)


def batch(request: Request) -> Response:
    """Return one batch."""
    index = request.app.index
    index.catch_up()
    with index.reader() as reader:
        return ok(detail_of(request.queue.spool, reader, request.params["name"]))


def _refuse_wrong_end(request: Request, body: Mapping[str, Any]) -> None:
    member = "for" if "for" in body else "until"
    try:
        end_of_pause(body.get("for"), body.get("until"), request.app.clock.now(), f'"{member}"')
    except UsageError as error:
        problem = problem_of(error, request.app.home)
        problem.errors = [(f"/{member}", str(error), error.hint)]
        raise problem from None


def act(action: str) -> Callable[[Request], Response]:
    """Return the handler that pauses or resumes the queue of the path, or all queues."""

    def handle(request: Request) -> Response:
        name, queue = request.params.get("name"), request.queue
        if action == "pause":
            body = request.body or {}
            _refuse_wrong_end(request, body)
            running = bool(body.get("running"))
            is_changed = queue.pause(name, duration=body.get("for"), until=body.get("until"), running=running)
        else:
            is_changed = queue.resume(name)
        request.log_fields["queue"] = name or "(all)"
        return ok({"action": action, "queue": name, "changed": is_changed})

    return handle
