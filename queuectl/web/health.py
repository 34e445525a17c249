"""health: the conditions of queuectl.health as /healthz and the page have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.errors import QueueError
from queuectl.health import CONDITIONS, ERROR, INFO, OK, WARN, examine
from queuectl.version import __version__
from queuectl.web.response import ok, without_home

if TYPE_CHECKING:
    from typing import Any

    from queuectl.web.app import Request
    from queuectl.web.response import Response
    from queuectl.web.state import QueueState

STATUS_OF = {OK: "pass", INFO: "pass", WARN: "warn", ERROR: "fail"}
ORDER = ("pass", "warn", "fail")


def health_of(state: QueueState) -> dict[str, Any]:
    """Return every check, and the worst of them; what only the index knows is unknown without one."""
    checks = {}
    for name, found in examine(state.overview).items():
        hint = {"hint": found.hint} if found.hint else {}
        detail = without_home(found.text, state.overview.home)
        checks[name] = {"status": STATUS_OF[found.level], "detail": detail, **hint, **found.figures}
    worst = max((str(check["status"]) for check in checks.values()), key=ORDER.index)
    return {"status": worst, "version": __version__, "checks": checks}


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
