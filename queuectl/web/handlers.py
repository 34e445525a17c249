"""handlers: which function answers which operation of openapi.json.

Guarantees: total in both directions; tests/web/test_contract.py compares them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.web import (
    bulk,
    configuration,
    jobs,
    legacy_api,
    metrics,
    output,
    queue_status,
    static_files,
    stats,
    workers,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from queuectl.web.app import Request
    from queuectl.web.response import Response

HANDLERS: dict[str, Callable[[Request], Response]] = {
    "page": static_files.page,
    "asset": static_files.asset,
    "livez": queue_status.livez,
    "healthz": queue_status.healthz,
    "metrics": metrics.metrics,
    "openapi": static_files.openapi,
    "session": static_files.session,
    "login": static_files.login,
    "logout": static_files.logout,
    "snapshot": queue_status.snapshot,
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
    "events": static_files.events,
    "old_status": legacy_api.status,
    "old_jobs": legacy_api.list_jobs,
    "old_enqueue": jobs.enqueue,
    "old_dlq": legacy_api.dlq,
    "old_job": jobs.show,
    "old_delete": jobs.act("delete"),
    "old_retry": jobs.act("retry"),
    "old_workers": legacy_api.list_workers,
    "old_start": workers.start,
    "old_stop": workers.stop_named,
    "old_config": configuration.by_name,
    "old_set_config": configuration.change,
}
