"""queue_status: the handlers that report on the queue as a whole: the snapshot for the page, /healthz and /livez."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.errors import QueueError
from queuectl.health import CONDITIONS
from queuectl.version import __version__
from queuectl.web.response import JSON, Response, ok, without_home
from queuectl.web.snapshot import health_of

if TYPE_CHECKING:
    from queuectl.web.app import Request


def snapshot(request: Request) -> Response:
    """Return the newest snapshot."""
    etag, body = request.app.snapshot_cache.newest()
    headers = {"ETag": etag}
    if request.head.headers.get("if-none-match") == etag:
        return Response(304, headers=headers)
    return Response(200, body, JSON, headers)


def healthz(request: Request) -> Response:
    """Tell whether the queue is well, in the status too."""
    try:
        made = health_of(request.app.status_cache.current())
    except QueueError as error:  # the home is not ours any more, or cannot be looked into
        unknown = {"status": "warn", "detail": "Unknown: the home cannot be used"}
        home = {"status": "fail", "detail": without_home(error, request.app.home)}
        checks = {**dict.fromkeys(CONDITIONS, unknown), "home": home}
        made = {"status": "fail", "version": __version__, "checks": checks}
    return ok(made, 503 if made["status"] == "fail" else 200)


def livez(_ask: Request) -> Response:
    """Tell that the web process answers."""
    return ok({"status": "pass"})
