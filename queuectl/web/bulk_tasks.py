"""bulk_tasks: a selection that the server carries out by itself.

Guarantees: as bulk: the jobs of the selection, each as it was confirmed, and no others. A job is changed as a whole or
            not at all, also when the process ends; then the task and its selection are gone, and the rest of the jobs
            is as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.client.queue import Queue
from queuectl.errors import NotFound, QueueError
from queuectl.web import tasks
from queuectl.web.bulk import options_of, unless_changed
from queuectl.web.job_actions import Options, StateChanged, Unchanged, carry_out
from queuectl.web.response import Response, ok

if TYPE_CHECKING:
    from queuectl.web.app import App, Request
    from queuectl.web.selections import KeptSelection
    from queuectl.web.tasks import Task


def begin(app: App, selection_id: str, action: str, options: Options, delay_s: float) -> Task:
    """Start a task that carries out a selection.

    Raises:
        Problem.
    """

    def make() -> tasks.Wanted:
        kept = app.selections.hand_over(selection_id, action)
        return tasks.Wanted(kept.id, action, kept.left, lambda task: _carry_out(task, app.home, kept, options))

    return app.tasks.start(selection_id, make, delay_s)


def _carry_out(task: Task, home: str, kept: KeptSelection, options: Options) -> None:
    queue = Queue(home)
    for selected in kept.take():
        try:
            job = carry_out(queue, kept.action, selected.id, options, unless_changed(kept, selected), kept.removable)
        except (StateChanged, Unchanged) as same:
            task.add_unchanged(same.job.state)
        except NotFound:
            task.add_unchanged("deleted")
        except QueueError as error:
            task.add_failure(selected.id, error)
        else:
            task.add_done(has_lost_expiry=job is not None and job.removed_expiry is not None)
        if task.is_stopping:
            return


def start(request: Request) -> Response:
    """Start a task for a selection."""
    body = request.body
    task = begin(request.app, body["selection"], body["action"], options_of(body), float(body.get("delay_s", 0)))
    shown = task.as_dict()
    request.log_fields.update(action=body["action"], selection=task.id, jobs=shown["total"])
    return ok(shown, 202, {"Location": f"/api/v1/bulk/tasks/{task.id}"})


def show_all(request: Request) -> Response:
    """Return all tasks."""
    return ok({"tasks": request.app.tasks.as_list()})


def show(request: Request) -> Response:
    """Return a task."""
    return ok(request.app.tasks.get(request.params["task"]).as_dict())


def stop(request: Request) -> Response:
    """Stop a task."""
    task = request.app.tasks.get(request.params["task"])
    task.stop()
    task.join(tasks.JOIN_S)
    return ok(task.as_dict())


def forget(request: Request) -> Response:
    """Forget a task that has ended."""
    return ok(request.app.tasks.forget(request.params["task"]).as_dict())
