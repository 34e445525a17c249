"""job_actions: what can be done to a job, and to the one job of a path.

Guarantees: an action is refused for a job that is not as its caller expects it, which is checked with the job locked.
"""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from queuectl.clock import spell
from queuectl.errors import Busy, Conflict, QueueError, UsageError
from queuectl.job.fields import InvalidField, misspelt
from queuectl.web.response import Problem, Response, ok, problem_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any

    from queuectl.client.queue import Queue
    from queuectl.job.job import Job
    from queuectl.web.app import Request

    Check = Callable[[Job], None] | None

Result = TypeVar("Result")

PATIENCE_S = 20.0


class Options(NamedTuple):
    """What an action is to do besides its name.

    Attributes:
        changes: fields to change, for edit and retry.
        signal: the one to send, for signal.
        with_dependents: delete the jobs that wait for the job too, for delete.
    """

    changes: dict[str, Any]
    signal: str = ""
    with_dependents: bool = False


class Unchanged(Exception):
    """The job is such that the action has nothing to do."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.id)
        self.job = job


class StateChanged(Conflict):
    """The job is not any more as it was when it was chosen."""

    def __init__(self, job: Job, was: str) -> None:
        super().__init__(f"job {job.id} is {job.state} now, {was}; it was left as it is", "look again, then decide")
        self.job = job


class ActionResult:
    """What an action did, told as the command line tells it."""

    def __init__(self, action: str) -> None:
        self.action = action
        self.ids: list[str] = []
        self.unchanged: list[dict[str, str]] = []
        self.failed: list[dict[str, Any]] = []
        self.expiry_removed: list[dict[str, str]] = []

    def add(self, job_id: str, job: Job | None) -> None:
        """Note a job that was changed; None for one that is gone."""
        self.ids.append(job_id)
        if job is not None and job.removed_expiry is not None:
            self.expiry_removed.append({"id": job_id, "expires_at": spell(job.removed_expiry)})

    def add_unchanged(self, job: Job) -> None:
        """Note a job that was left as it is."""
        self.unchanged.append({"id": job.id, "state": job.state})

    def add_failure(self, job_id: str, error: QueueError) -> None:
        """Note a job to which it could not be done."""
        told = {"id": job_id, "title": error.title, "detail": str(error), "exit_code": error.exit_code}
        self.failed.append({**told, "hint": error.hint} if error.hint else told)

    def as_dict(self) -> dict[str, Any]:
        """Return the members of the answer."""
        made = {
            "action": self.action,
            "matched": len(self.ids) + len(self.unchanged) + len(self.failed),
            **{"ids": self.ids, "unchanged": self.unchanged, "failed": self.failed},
        }
        return {**made, "expiry_removed": self.expiry_removed} if self.expiry_removed else made


def carry_out(
    queue: Queue,
    action: str,
    job_id: str,
    options: Options,
    check: Check,
    removable: Collection[str] | None = None,
) -> Job | None:
    """Do something to a job.

    Args:
        check: called with the job once it is locked.
        removable: the jobs that a deletion with dependents may remove with this one; None: all.

    Returns:
        The job as it is then; None when it is gone.

    Raises:
        Unchanged: there was nothing to do. QueueError.
    """
    if action == "cancel":
        job, is_changed = patiently(lambda: queue.cancel_unless_ended(job_id, check))
        if not is_changed:
            raise Unchanged(job)
        return job
    if action == "delete":
        dependents = removable if options.with_dependents and removable is not None else options.with_dependents
        patiently(lambda: queue.delete(job_id, check, with_dependents=dependents))
        return None
    if action == "signal":
        return queue.signal(job_id, options.signal, check)
    if action == "edit":
        return queue.change(job_id, options.changes, check)
    if action == "hold":
        return queue.hold(job_id, _unless_held(check))
    if action == "release":
        return queue.release(job_id, check)
    return queue.rerun(job_id, options.changes, check)


def _unless_held(check: Check) -> Callable[[Job], None]:
    def check_held(job: Job) -> None:
        if check is not None:
            check(job)
        if job.is_held:
            raise Unchanged(job)

    return check_held


def patiently(do: Callable[[], Result]) -> Result:
    """Do what may have to wait for a command to end, and wait for it no longer than PATIENCE_S; it goes on all the same.

    Raises:
        Busy: it goes on.
    """
    results: list[Result] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(do())
        except Exception as error:  # noqa: BLE001 - raised where it was asked for
            errors.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    if errors:
        raise errors[0]
    if not results:
        hint = "it is killed once its kill_after is over; look again"
        raise Busy(f"the command takes longer than {PATIENCE_S:g} s to end; the request stands", hint)
    return results[0]


def checked_changes(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the changes of an edit; refuses fields that look misspelt."""
    for field, meant in misspelt(changes).items():
        hint = f'did you mean "{meant}"?'
        raise Problem(422, f'unknown field "{field}"', hint, errors=[(f"/set/{field}", "is unknown", hint)])
    return changes


def act(action: str) -> Callable[[Request], Response]:
    """Return the handler that does something to the one job of the path."""

    def handle(request: Request) -> Response:
        job_id, body, result = request.params["id"], request.body or {}, ActionResult(action)
        with_dependents = request.params.get("with_dependents", False)
        options = Options(checked_changes(body.get("set") or {}), body.get("signal", ""), with_dependents)
        try:
            job = carry_out(request.queue, action, job_id, options, _only_in(body.get("if_state")))
            result.add(job_id, job)
        except Unchanged as same:
            result.add_unchanged(same.job)
        except UsageError as error:
            problem = problem_of(error, request.app.home)
            if action == "signal":
                problem.errors = [("/signal", str(error), error.hint)]
            raise problem from None
        except InvalidField as error:
            problem = problem_of(error, request.app.home)
            problem.errors = [(f"/set{pointer}", words, hint) for pointer, words, hint in problem.errors]
            raise problem from None
        return ok(result.as_dict())

    return handle


def _only_in(states: list[str] | None) -> Check:
    """Return a check that the job is in one of these states, if any are given."""
    if states is None:
        return None

    def check(job: Job) -> None:
        if job.state not in states:
            raise StateChanged(job, f"not {' or '.join(states)}")

    return check
