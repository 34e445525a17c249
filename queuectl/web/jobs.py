"""jobs: lists of jobs, one job in detail, and dead jobs by their errors.

Guarantees: the values of a job's env leave this process nowhere, also not in its history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.client import filters
from queuectl.client.filters import InvalidFilter
from queuectl.client.job_view import group_as_dict, row_as_dict
from queuectl.index.rows import as_dict
from queuectl.web.enqueue import command_line_of
from queuectl.web.response import Problem, Response, without_home

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from queuectl.client.job_view import Job
    from queuectl.client.queue import Queue
    from queuectl.index.query import Query
    from queuectl.web.app import Request

PAGE = 50
MOST_NAMED = 500
FILTERED = ("state", "queue", "tag", "batch", "fingerprint", "search", "since", "until")
NAMES = {"search": "q", "fingerprint": "error"}  # what the API calls a filter
ACTIONS = {
    "pending": ("cancel", "retry", "hold", "edit", "delete"),
    "held": ("cancel", "retry", "release", "edit", "delete"),
    "failed": ("cancel", "retry", "hold", "edit", "delete"),
    "processing": ("cancel", "delete"),
    "completed": ("retry", "delete"),
    "cancelled": ("retry", "delete"),
    "dead": ("retry", "delete"),
}


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


def list_jobs(request: Request) -> Response:
    """Return a page of jobs."""
    index, params = request.app.index, request.params
    if "ids" in params:
        return _named(request, params["ids"])
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

    return request.conditional((changes, index.syncing, most, sorted(params.items()), query.since, query.until), make)


def _named(request: Request, text: str) -> Response:
    """Return the jobs with these ids, as far as there are such; a page looks up what has left its list."""
    others = [f'"{name}"' for name in request.params if name != "ids"]
    if others:
        raise Problem(400, f'"ids" cannot be combined with {", ".join(others)}')
    ids = [*dict.fromkeys(text.split(","))]
    if len(ids) > MOST_NAMED:
        raise Problem(400, f'"ids" must name at most {MOST_NAMED} jobs, not {len(ids)}')
    index, most = request.app.index, request.queue.settings.max_retries_default
    index.catch_up()
    changes = index.changes()

    def make() -> dict[str, Any]:
        with index.reader() as reader:
            found = [row for row in map(reader.row, ids) if row is not None]
        jobs = [row_as_dict(as_dict(row), most) for row in found]
        return {
            **{"jobs": jobs, "total": len(jobs), "total_is_exact": True, "cursor": None},
            **{"changes": changes, "syncing": index.syncing},
        }

    return request.conditional((changes, index.syncing, most, ids), make)


def show(request: Request) -> Response:
    """Return all about a job."""
    queue = request.queue
    made = detail(queue, queue.get(request.params["id"]))
    return request.conditional(made, lambda: made)


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

    return request.conditional((index.changes(), since, sorted(request.params.items())), make)


def detail(queue: Queue, job: Job) -> dict[str, Any]:
    """Return a job as `show --json` has it, without the values of its variables, and what the page needs beside."""
    fields, settings = job.fields, queue.settings
    has_input = fields.get("stdin") == "input"
    made = {**job.as_dict(), "history": [_redacted(entry) for entry in job.history]}
    return {
        **made,
        "waits_for": [{**each, "text": without_home(each["text"], queue.layout.home)} for each in made["waits_for"]],
        "env": None if made["env"] is None else _names_only(made["env"]),
        "command_line": command_line_of(fields, stdin=queue.layout.input_of(job.id) if has_input else None),
        "timeout_s": float(fields.get("timeout", settings.timeout)),
        "max_retries_in_force": made["max_retries"],
        "actions": [*ACTIONS[job.state]],
    }


def _names_only(env: Any) -> Any:
    return dict.fromkeys(env) if isinstance(env, dict) else None


def _redacted(entry: Mapping[str, Any]) -> dict[str, Any]:
    changes = entry.get("set")
    if isinstance(changes, dict) and "env" in changes:
        return {**entry, "set": {**changes, "env": _names_only(changes["env"])}}
    return {**entry}
