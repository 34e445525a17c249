"""bulk: the same for many jobs.

Guarantees: acts on the jobs that were selected and confirmed, never on others: those that are named, those of a
            selection, or those that match a filter whose exact number was given. A job that has changed meanwhile so
            that it would not be selected any more is left alone. One that fails does not keep the others from being
            done. Every job that was selected is reported as done, unchanged, failed or left.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from queuectl.client.dependents import Dependents
from queuectl.client.filters import SELECTED_FOR, is_as_selected, states_for, states_of
from queuectl.client.in_threads import InThreads
from queuectl.errors import NotFound, QueueError, UsageError
from queuectl.index.selection import Selection
from queuectl.job.outcome import signal_number
from queuectl.web.job_actions import ActionResult, Options, StateChanged, Unchanged, carry_out, checked_changes
from queuectl.web.jobs import query_of
from queuectl.web.response import Problem, Response, ok
from queuectl.web.selections import KeptSelection

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from queuectl.index.selection import Selected
    from queuectl.job.job import Job
    from queuectl.web.app import Request

    Found = tuple[str, str, float, int]

MOST = 1000
TOGETHER = 32
ENOUGH_S = 20.0  # then the rest is left for another request
TARGETS = ("ids", "filter", "selection")


def bulk(request: Request) -> Response:
    """Act on the jobs that are named, that match a filter, or that were selected before; with `dry_run` only count them."""
    body: dict[str, Any] = request.body
    action, is_dry = body["action"], body.get("dry_run", False)
    options = options_of(body, is_dry=is_dry)
    if sum(name in body for name in TARGETS) != 1:
        raise _wrong("/filter", 'one of "ids", "filter" and "selection" is needed')
    if "selection" in body:
        with request.app.selections.using(body["selection"], action) as kept:
            _refuse_other_number(body, len(kept.jobs), "are in this selection")
            return _count(request, kept, ActionResult(action), options) if is_dry else _act(request, kept, options)
    if "ids" in body:
        _refuse_other_number(body, len({*body["ids"]}), "are named")
    if "filter" in body and options.with_dependents and not is_dry:
        words = '"with_dependents" with a filter needs a selection: count with "dry_run" first, which counts the dependents too'
        raise _wrong("/with_dependents", words)
    if "filter" in body:
        kept, result = _select_matching(request, body), ActionResult(action)
    elif is_dry:
        kept, result = _select_named(request, action, [*dict.fromkeys(body["ids"])])
    else:  # naming a job is consent, whatever its state
        jobs = Selection((job_id, "", 0.0, 0) for job_id in dict.fromkeys(body["ids"]))
        kept, result = KeptSelection(action, jobs, ()), ActionResult(action)
    if is_dry:
        response = _count(request, kept, result, options)
        request.app.selections.keep(kept)
        return response
    return _act(request, kept, options)


def options_of(body: dict[str, Any], *, is_dry: bool = False) -> Options:
    """Return what an action is to do; refuses members that the action does not have, and an edit or signal without them."""
    action, changes = body["action"], checked_changes(body.get("set") or {})
    if action == "edit" and not changes and not is_dry:
        raise _wrong("/set", '"set" is needed: the action "edit" changes these fields')
    if action == "signal" and "signal" not in body and not is_dry:
        raise _wrong("/signal", '"signal" is needed: the name or number of the signal to send')
    for name, actions in (("set", ("edit", "retry")), ("signal", ("signal",)), ("with_dependents", ("delete",))):
        if body.get(name) and action not in actions:
            only = " and ".join(f'"{each}"' for each in actions)
            raise _wrong(f"/{name}", f'"{name}" is only for the action {only}, not "{action}"')
    if "signal" in body:
        try:
            signal_number(body["signal"])
        except UsageError as error:
            raise _wrong("/signal", str(error)) from None
    return Options(changes, body.get("signal", ""), body.get("with_dependents", False))


def _wrong(pointer: str, words: str) -> Problem:
    return Problem(422, words, errors=[(pointer, words, None)])


# --- selecting


def _select_matching(request: Request, body: dict[str, Any]) -> KeptSelection:
    """Return a selection of what matches a filter; its exact number must be the one that was given."""
    index, action = request.app.index, body["action"]
    query = query_of(request, body["filter"], "/filter/")
    states = states_for(action, states_of(body["filter"].get("state") or None))
    if body.get("expected") is None and not body.get("dry_run"):
        raise _wrong("/expected", '"expected" is needed with a filter: how many jobs are meant')
    index.catch_up()
    with index.reader() as reader:
        jobs = reader.select(query, states)
    _refuse_other_number(body, len(jobs), "match now")
    return KeptSelection(action, jobs, states)


def _refuse_other_number(body: dict[str, Any], number: int, what: str) -> None:
    """Refuse a request whose `expected` is not the number of jobs that it is for."""
    expected = body.get("expected")
    if expected is not None and expected != number:
        now = f"{number:,} jobs {what}, not {expected:,}"
        raise Problem(409, now, "look again, then decide", title="count changed", matched=number)


def _select_named(request: Request, action: str, ids: list[str]) -> tuple[KeptSelection, ActionResult]:
    """Return a selection of the jobs that are named and can be acted on, and a result with those that do not exist."""
    result = ActionResult(action)
    possible = SELECTED_FOR[action][1]
    found: list[Found] = []
    left_out: dict[str, int] = {}
    for job_id in ids:
        try:
            job = request.queue.get(job_id)
        except QueueError as error:
            result.add_failure(job_id, error)
            continue
        if job.state in possible:
            found.append((job_id, job.state, job.updated_at, job.attempts))
        else:
            left_out[job.state] = left_out.get(job.state, 0) + 1
    jobs = Selection(found)
    jobs.left_out = left_out
    return KeptSelection(action, jobs, possible), result


def _count(request: Request, kept: KeptSelection, result: ActionResult, options: Options) -> Response:
    """Return how many jobs are selected, and of which states; with those that wait for them, if these are to go too."""
    jobs = kept.jobs
    told: dict[str, Any] = {
        "selection": kept.id,
        "by_state": jobs.by_state,
        "left_out": jobs.left_out,
        "syncing": request.app.index.syncing,
    }
    kept.removable = frozenset()
    if options.with_dependents:
        ids = {job.id for job in jobs}
        dependents = Dependents(request.queue.spool).tree(ids)
        kept.removable = frozenset(ids).union(dependents)
        told["dependents"] = len(dependents)
    return ok({**result.as_dict(), "matched": len(jobs), "left": kept.left, **told})


# --- doing


def _act(request: Request, kept: KeptSelection, options: Options) -> Response:
    """Act on the next jobs of a selection; the rest is for the next request."""
    queue, clock, result = request.queue, request.app.clock, ActionResult(kept.action)
    stop_at = clock.monotonic() + ENOUGH_S
    jobs = islice(kept.take(), request.body.get("limit", MOST))

    def do(job: Selected) -> Any:
        return carry_out(queue, kept.action, job.id, options, unless_changed(kept, job), kept.removable)

    while together := [*islice(jobs, TOGETHER)]:
        for job, outcome in InThreads(do, together):
            try:
                result.add(job.id, outcome())
            except (StateChanged, Unchanged) as same:
                result.add_unchanged(same.job)
            except QueueError as error:
                if job.state and options.with_dependents and isinstance(error, NotFound):
                    result.add(job.id, None)  # it waited for another of these jobs, and was deleted with it
                else:
                    result.add_failure(job.id, error)
        if clock.monotonic() > stop_at:
            break
    request.log_fields.update(
        action=kept.action, result=len(result.ids), failed=len(result.failed), ids=",".join(result.ids[:20])
    )
    told: dict[str, Any] = {"matched": len(kept.jobs), "left": kept.left}
    if kept.left:
        request.app.selections.keep(kept)
        told["selection"] = kept.id
    return ok({**result.as_dict(), **told})


def unless_changed(kept: KeptSelection, selected: Selected) -> Callable[[Job], None] | None:
    """Return a check that a job is still such that it would be selected: the caller has confirmed no other."""
    if not selected.state:
        return None  # named, and not looked at before

    def check(job: Job) -> None:
        if not is_as_selected(kept.action, kept.states, selected, job):
            raise StateChanged(job, f"it was {selected.state}")

    return check
