"""stats: throughput, wait and run time over time, for the charts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.clock import spell
from queuectl.index.statistics import together
from queuectl.web.jobs import conditional_response

if TYPE_CHECKING:
    from typing import Any

    from queuectl.web.app import Request
    from queuectl.web.response import Response

WINDOWS = {"1h": (1, 60), "24h": (10, 144), "7d": (60, 168)}  # minutes a step, steps


def stats(request: Request) -> Response:
    """Return the steps of a window."""
    index, window, queue = request.app.index, request.params.get("window", "1h"), request.params.get("queue")
    step, count = WINDOWS[window]
    index.catch_up()
    start = int(request.app.clock.now() / 60) // step * step - (count - 1) * step
    key = (index.changes(), window, queue, start)

    def make() -> dict[str, Any]:
        with request.app.stats_cache.lock:
            made = request.app.stats_cache.get(key)
            if made is None:
                with index.reader() as reader:
                    found = reader.series(start, step, count, queue)
                made = {
                    "window": window,
                    "step_s": step * 60,
                    "from": spell(start * 60.0),
                    "buckets": [
                        {"at": spell((start + number * step) * 60.0), **figures.as_dict()}
                        for number, figures in enumerate(found)
                    ],
                    "totals": together(found).as_dict(),
                }
                request.app.stats_cache.put(key, made)
            return made

    return conditional_response(request, key, make)
