"""bulk: the same for many jobs.

Guarantees: acts on the jobs that were selected and confirmed, never on others: those that are named, those of a
            selection, or those that match a filter whose exact number was given. A job that has changed meanwhile so
            that it would not be selected any more is left alone. One that fails does not keep the others from being
            done. Every job that was selected is reported as done, unchanged, failed or left.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from queuectl.client.filters import SELECTED_FOR, is_as_selected, states_for, states_of
from queuectl.errors import QueueError
from queuectl.index.selection import Selection
from queuectl.web.jobs import DOES, Done, StateChanged, Unchanged, checked_changes, query_of
from queuectl.web.response import Answer, Problem, ok
from queuectl.web.selections import Kept

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from queuectl.index.selection import Selected
    from queuectl.job.job import Job
    from queuectl.web.app import Ask

    Found = tuple[str, str, float]

MOST = 1000
ENOUGH_S = 20.0  # then the rest is left for another request
TARGETS = ("ids", "filter", "selection")


def bulk(ask: Ask) -> Answer:
    """Do something to the jobs that are named, that match, or that were selected before."""
    body: dict[str, Any] = ask.body
    action = body["action"]
    is_dry = body.get("dry_run", False)
    changes = checked_changes(body.get("set") or {})
    if sum(name in body for name in TARGETS) != 1:
        raise _wrong("/filter", 'one of "ids", "filter" and "selection" is needed')
    if (action == "edit" and not changes and not is_dry) or (changes and action not in ("edit", "retry")):
        raise _wrong("/set", 'goes with the action "edit", and that needs it')
    if "selection" in body:
        with ask.site.selections.using(body["selection"], action) as kept:
            return _dry(ask, kept, Done(action)) if is_dry else _carry_out(ask, kept, changes)
    if "filter" in body:
        kept, done = _matching(ask, body), Done(action)
    else:
        kept, done = _named(ask, action, [*dict.fromkeys(body["ids"])], is_dry=is_dry)
    if is_dry:
        ask.site.selections.keep(kept)
        return _dry(ask, kept, done)
    return _carry_out(ask, kept, changes)


def _wrong(pointer: str, words: str) -> Problem:
    return Problem(422, words, errors=[(pointer, words, None)])


# --- selecting


def _matching(ask: Ask, body: dict[str, Any]) -> Kept:
    """Return a selection of what matches a filter; compare its exact number with the one that was given."""
    index, expected, action = ask.site.index, body.get("expected"), body["action"]
    query = query_of(ask, body["filter"], "/filter/")
    states = states_for(action, states_of(body["filter"].get("state") or None))
    if expected is None and not body.get("dry_run"):
        raise _wrong("/expected", '"expected" is needed with a filter: how many jobs are meant')
    index.catch_up()
    with index.reader() as reader:
        jobs = reader.select(query, states)
    if expected is not None and expected != len(jobs):
        now = f"{len(jobs):,} jobs match now, not {expected:,}"
        raise Problem(409, now, "look again, then decide", title="count changed", matched=len(jobs))
    return Kept(action, jobs, states)


def _named(ask: Ask, action: str, ids: list[str], *, is_dry: bool) -> tuple[Kept, Done]:
    """Return a selection of the jobs that are named; naming a job is enough to run a completed one again."""
    done = Done(action)
    if not is_dry:
        return Kept(action, Selection((job_id, "", 0.0) for job_id in ids), ()), done
    possible = SELECTED_FOR[action][1]
    found: list[Found] = []
    left_out: dict[str, int] = {}
    for job_id in ids:
        try:
            job = ask.queue.get(job_id)
        except QueueError as error:
            done.add_failure(job_id, error)
            continue
        if job.state in possible:
            found.append((job_id, job.state, job.updated_at))
        else:
            left_out[job.state] = left_out.get(job.state, 0) + 1
    jobs = Selection(found)
    jobs.left_out = left_out
    return Kept(action, jobs, possible), done


def _dry(ask: Ask, kept: Kept, done: Done) -> Answer:
    jobs = kept.jobs
    told = {
        "selection": kept.id,
        "by_state": jobs.by_state,
        "left_out": jobs.left_out,
        "syncing": ask.site.index.syncing,
    }
    return ok({**done.as_dict(), "matched": len(jobs), "left": kept.left, **told})


# --- doing


def _carry_out(ask: Ask, kept: Kept, changes: dict[str, Any]) -> Answer:
    """Do it to the next jobs of a selection."""
    queue, clock, done = ask.queue, ask.site.clock, Done(kept.action)
    stop_at = clock.monotonic() + ENOUGH_S
    for job in islice(kept.take(), ask.body.get("limit", MOST)):
        try:
            done.add(job.id, DOES[kept.action](queue, job.id, changes, _unless_changed(kept, job)))
        except (StateChanged, Unchanged) as same:
            done.add_unchanged(same.job)
        except QueueError as error:
            done.add_failure(job.id, error)
        if clock.monotonic() > stop_at:
            break
    ask.about.update(action=kept.action, done=len(done.ids), failed=len(done.failed), ids=",".join(done.ids[:20]))
    told: dict[str, Any] = {"matched": len(kept.jobs), "left": kept.left}
    if kept.left:
        ask.site.selections.keep(kept)
        told["selection"] = kept.id
    return ok({**done.as_dict(), **told})


def _unless_changed(kept: Kept, selected: Selected) -> Callable[[Job], None] | None:
    """Return a check that a job is still such that it would be selected: the caller has confirmed no other."""
    if not selected.state:
        return None  # named, and not looked at before

    def check(job: Job) -> None:
        if not is_as_selected(kept.action, kept.states, selected, job.state, job.updated_at):
            raise StateChanged(job, f"it was {selected.state}")

    return check
