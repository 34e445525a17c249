"""original: the addresses under /api that the original had; they answer what the command line's --json does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl import overview
from queuectl.index.database import IndexUnavailable
from queuectl.index.pages import Query
from queuectl.web import jobs, workers
from queuectl.web.answer import ok, without_home
from queuectl.web.rows import row_as_dict

if TYPE_CHECKING:
    from queuectl.web.answer import Answer
    from queuectl.web.site import Ask


def status(ask: Ask) -> Answer:
    """Answer as `queuectl status --json`."""
    made = overview.look(ask.queue, patience_s=ask.site.index.patience_s)
    ask.site.index.catch_up()
    try:
        with ask.site.index.reader() as reader:
            overview.look_into_index(made, reader)
    except IndexUnavailable as error:
        made.unavailable = without_home(error, ask.site.home)
    return ok(overview.to_dict(made))


def list_jobs(ask: Ask) -> Answer:
    """Answer as `queuectl list --json`."""
    return _rows(ask, jobs.states_of(ask.params.get("state", ""), "?state"))


def dlq(ask: Ask) -> Answer:
    """Answer as `queuectl dlq list --json`."""
    return _rows(ask, ("dead",))


def _rows(ask: Ask, states: tuple[str, ...]) -> Answer:
    ask.site.index.catch_up()
    with ask.site.index.reader() as reader:
        page = reader.page(Query(states, limit=ask.params.get("limit", jobs.PAGE)))
    return ok([row_as_dict(row, ask.queue.settings.max_retries_default) for row in page.rows])


def list_workers(ask: Ask) -> Answer:
    """Answer as `queuectl worker list --json`."""
    return ok(workers.workers_as_dicts(ask)[1])
