"""jobs: looking at jobs, putting them in, and doing something to one of them."""

from __future__ import annotations

import zlib
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from queuectl.client import filters
from queuectl.client.filters import InvalidFilter
from queuectl.client.job_view import group_as_dict, row_as_dict
from queuectl.clock import spell
from queuectl.errors import Busy, Conflict, InvalidData, QueueError
from queuectl.job.fields import InvalidField, misspelt, refuse_expired, refuse_misspelt, validate
from queuectl.web.response import Problem, Response, ok, problem_of
from queuectl.web.serializers import command_line_of, detail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from queuectl.client.queue import Queue
    from queuectl.index.query import Query
    from queuectl.job.job import Job
    from queuectl.web.app import Request

    Check = Callable[[Job], None] | None

Result = TypeVar("Result")

PAGE = 50
PATIENCE_S = 20.0
FILTERED = ("state", "queue", "tag", "batch", "fingerprint", "search", "since", "until")
NAMES = {"search": "q", "fingerprint": "error"}  # what the API calls a filter


# --- looking


def query_of(request: Request, given: Mapping[str, Any], prefix: str = "?", **more: Any) -> Query:
    """Return what filters ask for; `prefix` leads to them in pointers. An empty text filters nothing."""

    def named(name: str) -> str:
        return NAMES.get(name, name)

    wanted = {name: given.get(named(name)) or None for name in FILTERED}
    try:
        return filters.query_of(
            wanted,
            request.app.clock.now(),
            label=lambda name: f'"{named(name)}"',
            instant_of=lambda name, text: request.instant(f"{prefix}{name}", text) or 0.0,
            **more,
        )
    except InvalidFilter as error:
        pointed = [(f"{prefix}{named(error.name)}", str(error), error.hint)]
        raise Problem(400, str(error), error.hint, errors=pointed) from None


def conditional_response(request: Request, key: object, make: Callable[[], Any]) -> Response:
    """Answer 304 when the client has what `key` stands for, else what `make` returns."""
    etag = f'"{zlib.crc32(repr(key).encode("utf-8", "replace")):08x}"'
    if request.head.headers.get("if-none-match") == etag:
        return Response(304, headers={"ETag": etag})
    return ok(make(), headers={"ETag": etag})


def list_jobs(request: Request) -> Response:
    """Return a page of jobs."""
    index, params = request.app.index, request.params
    query = query_of(
        request,
        params,
        sort=params.get("sort", "updated"),
        limit=params.get("limit", PAGE),
        cursor=params.get("cursor"),
    )
    index.catch_up()
    changes, most = index.changes(), request.queue.settings.max_retries_default

    def make() -> dict[str, Any]:
        with index.reader() as reader:
            page = reader.page(query)
        return {
            "jobs": [row_as_dict(row, most) for row in page.rows],
            "total": page.total,
            "total_is_exact": page.is_exact,
            "cursor": page.cursor,
            "changes": changes,
            "syncing": index.syncing,
        }

    return conditional_response(
        request, (changes, index.syncing, most, sorted(params.items()), query.since, query.until), make
    )


def show(request: Request) -> Response:
    """Return all about a job."""
    queue = request.queue
    made = detail(queue, queue.get(request.params["id"]))
    return conditional_response(request, made, lambda: made)


def dead_groups(request: Request) -> Response:
    """Return dead jobs by what their errors have in common."""
    index = request.app.index
    since = request.instant("?since", request.params.get("since")) or 0.0
    index.catch_up()

    def make() -> dict[str, Any]:
        limit = request.params.get("limit", PAGE)
        with index.reader() as reader:
            groups = reader.failures(("dead", "dead"), since, limit + 1)
            total = reader.counts()["dead"]
        shown = [group_as_dict(group) for group in groups[:limit]]
        return {"groups": shown, "has_more": len(groups) > limit, "total": total}

    return conditional_response(request, (index.changes(), since, sorted(request.params.items())), make)


# --- putting in


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
    """Put one job in, or many."""
    body, is_dry, now = request.body, request.params.get("dry_run", False), request.app.clock.now()
    if isinstance(body, list):
        return _check_many(body, now) if is_dry else _enqueue_many(request, body, now)
    fields = checked(body, now)
    if is_dry:
        return ok({"valid": True, "job": fields, "command_line": command_line_of(fields)})
    job_id = request.queue.submit(fields)
    request.log_fields["id"] = job_id
    made = {"action": "enqueue", "id": job_id, "ids": [job_id], "refused": []}
    return ok(made, 201, {"Location": f"/api/v1/jobs/{job_id}"})


def _check_many(bodies: list[Any], now: float) -> Response:
    faults = []
    for number, fields in enumerate(bodies):
        try:
            checked(fields, now)
        except InvalidData as error:
            faults.append(_pointed(number, error))
    if faults:
        raise Problem(422, f"{len(faults)} of {len(bodies)} are no jobs", errors=faults)
    return ok({"valid": True})


def _pointed(number: int, error: QueueError) -> tuple[str, str, str | None]:
    place = f"/{error.field}" if isinstance(error, InvalidField) else ""
    return f"/{number}{place}", str(error), error.hint


def _enqueue_many(request: Request, bodies: list[Any], now: float) -> Response:
    wrong: dict[int, QueueError] = {}
    good: list[int] = []
    for number, fields in enumerate(bodies):
        try:
            checked(fields, now)
            good.append(number)
        except InvalidData as error:
            wrong[number] = error
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
        faults = [_pointed(number, error) for number, error in sorted(wrong.items())]
        raise Problem(422, f"none of {len(bodies)} could be queued: {faults[0][1]}", faults[0][2], errors=faults)
    refused = []
    for number, why in sorted(wrong.items()):
        pointer, told, hint = _pointed(number, why)
        made = {"index": number, "title": why.title, "detail": told, "pointer": pointer}
        refused.append({**made, "hint": hint} if hint else made)
    return ok({"action": "enqueue", "ids": ids, "refused": refused}, 201)


# --- doing something to one


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


# Each returns the job as it is then, None when it is gone, and calls the check with the job under its lock first.


def _cancel(queue: Queue, job_id: str, _changes: dict[str, Any], check: Check) -> Job:
    job, is_changed = patiently(lambda: queue.cancel_unless_ended(job_id, check))
    if not is_changed:
        raise Unchanged(job)
    return job


def _delete(queue: Queue, job_id: str, _changes: dict[str, Any], check: Check) -> None:
    patiently(lambda: queue.delete(job_id, check))


def _edit(queue: Queue, job_id: str, changes: dict[str, Any], check: Check) -> Job:
    return queue.edit(job_id, changes, check=check)


def _hold(queue: Queue, job_id: str, _changes: dict[str, Any], check: Check) -> Job:
    def look(job: Job) -> None:
        if check is not None:
            check(job)
        if job.is_held:
            raise Unchanged(job)

    return queue.hold(job_id, look)


def _release(queue: Queue, job_id: str, _changes: dict[str, Any], check: Check) -> Job:
    return queue.release(job_id, check)


def _retry(queue: Queue, job_id: str, changes: dict[str, Any], check: Check) -> Job:
    return queue.retry(job_id, check, changes)


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


ACTION_FUNCTIONS: dict[str, Callable[[Queue, str, dict[str, Any], Check], Job | None]] = {
    "cancel": _cancel,
    "delete": _delete,
    "edit": _edit,
    "hold": _hold,
    "release": _release,
    "retry": _retry,
}


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
        changes = checked_changes(body.get("set") or {})
        try:
            result.add(job_id, ACTION_FUNCTIONS[action](request.queue, job_id, changes, _only_in(body.get("if_state"))))
        except Unchanged as same:
            result.add_unchanged(same.job)
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
