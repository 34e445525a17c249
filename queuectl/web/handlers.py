"""handlers: which function answers which operation of openapi.json.

Guarantees: total in both directions; tests/web/test_contract.py compares them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.web import bulk, configuration, door, health, jobs, metrics, original, output, snapshot, stats, workers

if TYPE_CHECKING:
    from collections.abc import Callable

    from queuectl.web.answer import Answer
    from queuectl.web.site import Ask

HANDLERS: dict[str, Callable[[Ask], Answer]] = {
    "page": door.page,
    "asset": door.asset,
    "livez": health.livez,
    "healthz": health.healthz,
    "metrics": metrics.metrics,
    "openapi": door.openapi,
    "session": door.session,
    "login": door.login,
    "logout": door.logout,
    "snapshot": snapshot.snapshot,
    "list_jobs": jobs.list_jobs,
    "enqueue": jobs.enqueue,
    "job": jobs.show,
    "delete_job": jobs.act("delete"),
    "cancel_job": jobs.act("cancel"),
    "retry_job": jobs.act("retry"),
    "hold_job": jobs.act("hold"),
    "release_job": jobs.act("release"),
    "edit_job": jobs.act("edit"),
    "output": output.output,
    "bulk": bulk.bulk,
    "dead_groups": jobs.dead_groups,
    "list_workers": workers.show,
    "start_workers": workers.start,
    "scale_workers": workers.scale,
    "stop_workers": workers.stop,
    "restart_workers": workers.restart,
    "worker_log": workers.log,
    "config": configuration.show,
    "set_config": configuration.change,
    "unset_config": configuration.unset,
    "stats": stats.stats,
    "events": door.events,
    "old_status": original.status,
    "old_jobs": original.list_jobs,
    "old_enqueue": jobs.enqueue,
    "old_dlq": original.dlq,
    "old_job": jobs.show,
    "old_delete": jobs.act("delete"),
    "old_retry": jobs.act("retry"),
    "old_workers": original.list_workers,
    "old_start": workers.start,
    "old_stop": workers.stop_named,
    "old_config": configuration.by_name,
    "old_set_config": configuration.change,
}
