"""static_files: the page itself: a fixed table of files, read again when they change."""

from __future__ import annotations

import gzip
import os
from functools import lru_cache
from typing import TYPE_CHECKING

from queuectl.web.response import Problem, Response

if TYPE_CHECKING:
    from queuectl.web.app import Request

STATIC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "static")
INDEX = "index.html"
KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
ASSETS = tuple(sorted(name for name in os.listdir(STATIC) if name.rpartition(".")[2] in KINDS and name != INDEX))


def _static(request: Request, name: str) -> Response:
    """Return INDEX or one of ASSETS, packed for who can unpack it."""
    kind = KINDS[name.rpartition(".")[2]]
    path = f"{STATIC}/{name}"
    try:
        plain, packed = _read(path, os.stat(path).st_mtime_ns)
    except FileNotFoundError:
        raise Problem(404, f"{name} is not part of this installation") from None
    headers = {"Vary": "Accept-Encoding"}
    if "gzip" in [word.strip() for word in request.head.headers.get("accept-encoding", "").split(",")]:
        return Response(200, packed, kind, {**headers, "Content-Encoding": "gzip"})
    return Response(200, plain, kind, headers)


@lru_cache(maxsize=64)
def _read(path: str, _changed_at: int) -> tuple[bytes, bytes]:
    """Return a file as it is and packed; read again when it has changed."""
    with open(path, "rb") as file:
        data = file.read()
    return data, gzip.compress(data, mtime=0)


def page(request: Request) -> Response:
    """Return the page."""
    return _static(request, INDEX)


def asset(request: Request) -> Response:
    """Return what the page needs."""
    return _static(request, request.params["file"])
