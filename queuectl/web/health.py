"""health: whether the queue is well, check by check.

Guarantees: what is told are facts and instants, so that a picture in which nothing has changed reads the same. `fail` is
            for what keeps jobs from running or from coming in; all else that is wrong is `warn`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl import __version__
from queuectl.clock import spell
from queuectl.overview import LOW_SHARE, START
from queuectl.spool.publish import least_free
from queuectl.units import plural, spell_size
from queuectl.web.answer import ok

if TYPE_CHECKING:
    from typing import Any

    from queuectl.web.answer import Answer
    from queuectl.web.picture import Picture
    from queuectl.web.site import Ask

LATE_S = 300.0
ORDER = ("pass", "warn", "fail")


def health_of(picture: Picture) -> dict[str, Any]:
    """Return every check, and the worst of them; what only the index knows is unknown without one."""
    unknown = _check("warn", "unknown while there is no index") if picture.overview.unavailable else None
    checks = {
        "supervisor": _supervisor(picture),
        "workers": _workers(picture),
        "oldest_pending": unknown or _oldest(picture),
        "dead": unknown or _dead(picture),
        "index": _index(picture),
        "spool": _spool(picture),
        "disk": _disk(picture),
    }
    worst = max((check["status"] for check in checks.values()), key=ORDER.index)
    return {"status": worst, "version": __version__, "checks": checks}


def _check(status: str, detail: str, hint: str | None = None, **more: Any) -> dict[str, Any]:
    return {"status": status, "detail": detail, **({"hint": hint} if hint else {}), **more}


def _supervisor(picture: Picture) -> dict[str, Any]:
    overview = picture.overview
    if overview.supervisor is not None:
        pid = overview.supervisor["pid"]
        if overview.supervisor["draining"]:
            return _check("warn", f"it drains (pid {pid})", pid=pid)
        return _check("pass", f"it runs (pid {pid})", pid=pid)
    if overview.silent:
        return _check("fail", f"it does not answer (pid {overview.silent})", f"kill -CONT {overview.silent}")
    waiting = overview.count("pending", "failed")
    killed = f"; the last one (pid {overview.died}) was killed" if overview.died else ""
    if overview.unavailable:
        return _check("warn", f"none runs{killed}, and without an index nobody knows whether jobs wait", START)
    if waiting or not overview.counts:
        return _check("fail" if waiting else "warn", f"none runs, and {plural(waiting, 'job')} wait{killed}", START)
    return _check("warn" if killed else "pass", f"none runs, and no job waits{killed}", START if killed else None)


def _workers(picture: Picture) -> dict[str, Any]:
    workers = picture.overview.workers
    busy = sum(worker["state"] == "busy" for worker in workers)
    lost = [worker["name"] for worker in workers if worker["state"] == "backoff"]
    if lost:
        return _check(
            "warn", f"{', '.join(lost)} died and is started again", "queuectl worker logs", alive=len(workers)
        )
    if picture.overview.silent:
        return _check("warn", "unknown while the supervisor does not answer")
    if not workers and picture.overview.count("pending", "failed"):
        return _check("fail", "there are none, and jobs wait", START, alive=0)
    return _check("pass", f"{busy} of {len(workers)} busy", alive=len(workers))


def _oldest(picture: Picture) -> dict[str, Any]:
    since = picture.overview.oldest_waiting
    if since is None:
        return _check("pass", "no job waits that may start")
    late = picture.overview.now - since > LATE_S
    more = {"since": spell(since), "warn_after_s": LATE_S}
    return _check(
        "warn" if late else "pass",
        f"a job has been waiting since {spell(since)[:19]}Z",
        START if late else None,
        **more,
    )


def _dead(picture: Picture) -> dict[str, Any]:
    count, today = picture.overview.count("dead"), picture.overview.dead_today
    if not today:
        return _check("pass", f"{plural(count, 'dead job')}, none of today", count=count)
    return _check("warn", f"{plural(count, 'dead job')}, {today:,} of today", "queuectl dlq list", count=count)


def _index(picture: Picture) -> dict[str, Any]:
    overview = picture.overview
    if overview.unavailable:
        return _check("warn", overview.unavailable, "queuectl index rebuild")
    supervisor = overview.supervisor or {}
    if supervisor.get("degraded"):
        return _check("warn", str(supervisor["degraded"]))
    syncing = supervisor.get("syncing") or overview.syncing
    if syncing:
        return _check("warn", f"it is being brought up to date ({syncing})")
    return _check("pass", "it shows the spool as it is")


def _spool(picture: Picture) -> dict[str, Any]:
    rejected = picture.overview.rejected
    if rejected:
        return _check("warn", f"{plural(rejected, 'file')} set aside as no job", "ls spool/rejected", rejected=rejected)
    return _check("pass", "every file is a job", rejected=0)


def _disk(picture: Picture) -> dict[str, Any]:
    free, total = picture.overview.free_bytes, picture.overview.disk_bytes
    share = round(free / total, 2) if total else 0.0
    least = least_free(picture.queue.settings, total)
    detail = f"{share:.0%} free"
    if free < least:
        return _check("fail", f"{spell_size(free)} free: nothing is enqueued", "free some space", free_share=share)
    return _check("warn" if share < LOW_SHARE else "pass", detail, free_share=share)


def healthz(ask: Ask) -> Answer:
    """Tell whether the queue is well, in the status too."""
    made = health_of(ask.site.painter.paint())
    return ok(made, 503 if made["status"] == "fail" else 200)


def livez(_ask: Ask) -> Answer:
    """Tell that the web process answers."""
    return ok({"status": "pass"})
