"""export: all jobs of a list as a file, sent while they are read.

Guarantees: bounded memory. In CSV no text becomes a formula of a spreadsheet: errors are what commands wrote.
"""

from __future__ import annotations

import csv
import io
from contextlib import ExitStack
from itertools import islice
from typing import TYPE_CHECKING

from queuectl.client.job_view import ROW, row_as_dict
from queuectl.web.jobs import query_of
from queuectl.web.legacy_api import PAGE, PIECE, array
from queuectl.web.response import JSON, LINES, Response, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from queuectl.web.app import Request

CSV = "text/csv; charset=utf-8"
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def export(request: Request) -> Response:
    """Return all jobs that match."""
    params, most = request.params, request.queue.settings.max_retries_default
    kind = params.get("format", "json")
    content_type = {"csv": CSV, "jsonl": LINES}.get(kind, JSON)
    query = query_of(request, params, sort=params.get("sort", "updated"), limit=PAGE, is_counted=False)
    request.app.index.catch_up()
    lent = ExitStack()
    try:
        reader = lent.enter_context(request.app.index.reader())
        rows = (row_as_dict(row, most) for row in reader.rows(query))
        pieces = _csv(rows) if kind == "csv" else _lines(rows) if kind == "jsonl" else array(rows)
        headers = {"Content-Disposition": f'attachment; filename="jobs.{kind}"'}
        stream = request.app.streams.start(pieces, lent.pop_all().close)
        return Response(200, b"", content_type, headers, stream)
    finally:
        lent.close()


def _lines(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Yield an object a line in pieces."""
    rest = iter(rows)
    while piece := [*islice(rest, PIECE)]:
        yield b"".join(encode(row) + b"\n" for row in piece)


def _csv(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Yield CSV in pieces."""
    text, rest = io.StringIO(), iter(rows)
    writer = csv.writer(text)
    writer.writerow(ROW)
    while True:
        piece = [*islice(rest, PIECE)]
        writer.writerows([_cell(row[name]) for name in ROW] for row in piece)
        yield text.getvalue().encode("utf-8", "backslashreplace")
        if not piece:
            return
        text.seek(0)
        text.truncate()


def _cell(value: object) -> object:
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
