"""check_index: whether the index can be read and agrees with the job files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from queuectl.doctor.comparison import PATIENCE_S
from queuectl.doctor.result import WARN, Finding, few
from queuectl.errors import NoSupervisor
from queuectl.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.doctor.scan import Context


def index(context: Context) -> Iterator[Finding]:
    """An index that cannot be read, or differs from the job files."""
    context.scan  # noqa: B018  # reading the jobs compares them
    trouble, differences = context.comparison.trouble, context.comparison.differences()
    if trouble is not None:
        text = f"{trouble}; it is derived, so it can be rebuilt from the job files"
        if trouble.is_passing:
            yield Finding(WARN, str(trouble), "try again; if it fails again: queuectl index rebuild")
        else:
            yield Finding(WARN, text, repair=partial(_rebuild, context))
    elif differences:
        text = f"the index differs from {plural(len(differences), 'job file')}: {few([str(d) for d in differences])}"
        ids = [difference.id for difference in differences]
        yield Finding(
            WARN,
            text,
            repair=partial(_read_again, context, ids) if context.has_supervisor else partial(_rebuild, context),
        )


def _read_again(context: Context, job_ids: list[str]) -> str:
    """Have the supervisor read these jobs again, by noting them as changed."""
    for job_id in job_ids:
        context.spool.note_change(job_id)
    context.comparison.catch_up()
    return f"the supervisor read {few(job_ids)} again"


def _rebuild(context: Context) -> str:
    from queuectl import control_client
    from queuectl.index.lock import IndexLock
    from queuectl.index.rebuild import rebuild

    try:  # a running supervisor rebuilds it itself
        control_client.ask(context.layout, {"do": "flush", "doubt": True}, timeout_s=PATIENCE_S)
        return "the supervisor rebuilt the index"
    except NoSupervisor:
        pass
    listed = 0
    with IndexLock(context.layout):
        for progress in rebuild(context.spool, context.layout.index):
            listed = progress.listed
    return f"rebuilt the index of {plural(listed, 'job')}"
