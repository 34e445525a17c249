"""bulk: the same for many jobs.

Guarantees: acts on what matched when it began, never on more; what a person saw and what there is now are compared
            first. One that cannot be done does not keep the others from being done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.errors import QueueError
from queuectl.web.answer import Answer, Problem, ok
from queuectl.web.jobs import DOES, checked_changes, done, query_of

if TYPE_CHECKING:
    from typing import Any

    from queuectl.web.site import Ask

MOST = 1000
ENOUGH_S = 20.0  # then the rest is left for another request


def bulk(ask: Ask) -> Answer:
    """Do something to the jobs that are named, or that match."""
    body: dict[str, Any] = ask.body
    action = body["action"]
    changes = checked_changes(body.get("set") or {})
    if ("ids" in body) == ("filter" in body):
        raise _wrong("/filter", 'one of "ids" and "filter" is needed')
    if (action == "edit") != bool(changes) and action != "retry":
        raise _wrong("/set", 'goes with the action "edit", and that needs it')
    if "ids" in body:
        ids = [*dict.fromkeys(body["ids"])]
        matched = len(ids)
        ids = ids[: body.get("limit", MOST)]
    else:
        ids, matched = _matching(ask, body)
    if body.get("dry_run"):
        return ok({**done(action, []), "matched": matched, "left": matched})
    ended, failed = _act(ask, action, ids, changes)
    ask.about.update(action=action, done=len(ended), failed=len(failed), ids=",".join(ended[:20]))
    return ok({**done(action, ended, failed), "matched": matched, "left": matched - len(ended) - len(failed)})


def _wrong(pointer: str, words: str) -> Problem:
    return Problem(422, words, errors=[(pointer, words, None)])


def _matching(ask: Ask, body: dict[str, Any]) -> tuple[list[str], int]:
    index, expected = ask.site.index, body.get("expected")
    query = query_of(ask, body["filter"], "/filter/", limit=body.get("limit", MOST))
    if expected is None and not body.get("dry_run"):
        raise _wrong("/expected", '"expected" is needed with a filter: how many jobs are meant')
    index.catch_up()
    with index.reader() as reader:
        page = reader.page(query)
    if expected is not None and expected != page.total:
        now = f"{page.total:,} jobs match now, not {expected:,}"
        raise Problem(409, now, "look again, then decide", title="count changed", matched=page.total)
    return [row["id"] for row in page.rows], page.total


def _act(ask: Ask, action: str, ids: list[str], changes: dict[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    queue, clock = ask.queue, ask.site.clock
    ended: list[str] = []
    failed: list[dict[str, Any]] = []
    stop_at = clock.monotonic() + ENOUGH_S
    for job_id in ids:
        try:
            DOES[action](queue, job_id, changes)
            ended.append(job_id)
        except QueueError as error:
            told = {"id": job_id, "title": error.title, "detail": str(error), "exit_code": error.exit_code}
            failed.append({**told, "hint": error.hint} if error.hint else told)
        if clock.monotonic() > stop_at:
            break
    return ended, failed
