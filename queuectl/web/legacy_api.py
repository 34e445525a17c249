"""legacy_api: the paths under /api of the original version; they return the same JSON as the command line."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import chain, islice
from typing import TYPE_CHECKING

from queuectl import status as queue_status
from queuectl.client.job_view import row_as_dict
from queuectl.health import attention_lines
from queuectl.index.database import IndexUnavailable
from queuectl.web import jobs, workers
from queuectl.web.response import JSON, Response, encode, ok, without_home

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from queuectl.web.app import Request

PAGE = 500  # rows read from the index at once
PIECE = 100  # rows sent at once


def status(request: Request) -> Response:
    """Answer as `queuectl status --json`."""
    made = queue_status.read_overview(request.queue, patience_s=request.app.index.patience_s)
    request.app.index.catch_up()
    try:
        with request.app.index.reader() as reader:
            queue_status.add_index_figures(made, reader)
    except IndexUnavailable as error:
        made.unavailable = without_home(error, request.app.home)
    return ok(queue_status.to_dict(made, attention_lines(made)))


def list_jobs(request: Request) -> Response:
    """Answer as `queuectl list --json`."""
    return _rows(request, {"state": request.params.get("state")})


def dlq(request: Request) -> Response:
    """Answer as `queuectl dlq list --json`."""
    return _rows(request, {"state": "dead"})


def _rows(request: Request, given: dict[str, Any]) -> Response:
    """Answer with all rows, or as many as `limit` says; a long list is sent a page at a time."""
    limit, most = request.params.get("limit"), request.queue.settings.max_retries_default
    query = jobs.query_of(request, given, limit=PAGE if limit is None else min(limit, PAGE))
    request.app.index.catch_up()
    lent = ExitStack()
    try:
        reader = lent.enter_context(request.app.index.reader())
        page = reader.page(query)
        headers = {"X-QueueCTL-Total": str(page.total)}
        if page.cursor is None or (limit is not None and limit <= PAGE):
            return ok([row_as_dict(row, most) for row in page.rows], headers=headers)
        query.cursor, query.is_counted = page.cursor, False
        rows = islice(chain(page.rows, reader.rows(query)), limit)
        pieces = array(row_as_dict(row, most) for row in rows)
        return Response(200, b"", JSON, headers, request.app.streams.start(pieces, lent.pop_all().close))
    finally:
        lent.close()


def array(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Yield a JSON array in pieces."""
    start, rest = b"[", iter(rows)
    while piece := [*islice(rest, PIECE)]:
        yield start + encode(piece)[1:-1]
        start = b","
    yield b"]" if start == b"," else b"[]"


def list_workers(request: Request) -> Response:
    """Answer as `queuectl worker list --json`."""
    return ok(workers.workers_as_dicts(request)[1])
