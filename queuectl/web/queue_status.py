"""queue_status: the requests about the queue as a whole: snapshot, health, metrics, figures over time, and events."""

from __future__ import annotations

import json
import select
from typing import TYPE_CHECKING

from queuectl.clock import spell
from queuectl.control_client import connect
from queuectl.errors import NoSupervisor, QueueError
from queuectl.health import CONDITIONS
from queuectl.index.statistics import together
from queuectl.metrics import KIND, page_of
from queuectl.version import __version__
from queuectl.web.response import JSON, LINES, Problem, Response, encode, ok, without_home
from queuectl.web.snapshot import health_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from typing import Any

    from queuectl.web.app import Request

ALIVE_S = 10.0
WINDOWS = {"1h": (1, 60), "24h": (10, 144), "7d": (60, 168)}  # minutes a step, steps


def livez(_request: Request) -> Response:
    """Tell that the web process answers."""
    return ok({"status": "pass"})


def healthz(request: Request) -> Response:
    """Tell whether the queue is well, in the status too."""
    try:
        made = health_of(request.app.state_cache.current().overview)
    except QueueError as error:  # the home is not ours any more, or cannot be looked into
        unknown = {"status": "warn", "detail": "Unknown: the home cannot be used"}
        home = {"status": "fail", "detail": without_home(error, request.app.home)}
        checks = {**dict.fromkeys(CONDITIONS, unknown), "home": home}
        made = {"status": "fail", "version": __version__, "checks": checks}
    return ok(made, 503 if made["status"] == "fail" else 200)


def snapshot(request: Request) -> Response:
    """Return the newest snapshot."""
    etag, body = request.app.snapshot_cache.newest()
    return request.unless_known(etag, lambda: Response(200, body, JSON, {"ETag": etag}))


def metrics(request: Request) -> Response:
    """Tell every figure in the format of Prometheus."""
    state, totals = request.app.state_cache.current(), None
    found = state.index_state
    if found is not None:
        try:
            with request.app.index.reader() as reader:
                totals = reader.totals()
        except QueueError:
            totals = None
    queues, oldest = (None, {}) if found is None else (found.queues, found.oldest)
    page = page_of(state.overview, queues, oldest, totals)
    page.gauge("http_streams", "Answers without end that are open.", request.app.streams.open)
    return Response(200, page.text().encode(), KIND)


def stats(request: Request) -> Response:
    """Return throughput, waiting time and run time in each step of a window."""
    index, window, queue = request.app.index, request.params.get("window", "1h"), request.params.get("queue")
    step, count = WINDOWS[window]
    index.catch_up()
    start = int(request.app.clock.now() / 60) // step * step - (count - 1) * step

    def make() -> dict[str, Any]:
        with index.reader() as reader:
            found = reader.series(start, step, count, queue)
        return {
            "window": window,
            "step_s": step * 60,
            "from": spell(start * 60.0),
            "buckets": [
                {"at": spell((start + number * step) * 60.0), **figures.as_dict()}
                for number, figures in enumerate(found)
            ],
            "totals": together(found).as_dict(),
        }

    key = (index.changes(), window, queue, start)
    return request.conditional(key, lambda: request.app.stats_cache.get(key, make))


def events(request: Request) -> Response:
    """Pass on the events that the supervisor reports."""
    try:
        watch = connect(request.app.layout)
        watch.sendall(b'{"do": "watch"}\n')
    except NoSupervisor as error:
        raise Problem(503, str(error), error.hint, title=error.title) from None
    return Response(200, b"", LINES, None, request.app.streams.start(_events(watch), watch.close))


def _events(watch: socket.socket) -> Iterator[bytes]:
    rest, quiet_s = b"", 0.0
    while True:
        readable, _, _ = select.select([watch], [], [], 1.0)
        if not readable:
            quiet_s += 1.0
            yield b"{}\n" if quiet_s % ALIVE_S == 0 else b""
            continue
        quiet_s = 0.0
        data = watch.recv(1 << 16)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "event" in said:
                yield encode(said) + b"\n"
