"""batch_warnings: what somebody who types --on-batch-done should know of the batch before."""

from __future__ import annotations

from queuectl.errors import QueueError
from queuectl.units import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.client.queue import Queue


def warning_of(queue: Queue, batch: str, command: str) -> list[str]:
    """Return the warnings: the batch is complete, or another completion job was wanted for it."""
    from queuectl.spool import batches

    if batches.note_of(queue.spool, batch) is not None:
        return [f"the batch {batch} is complete and stays so: --on-batch-done has no effect; use a new name"]
    if not queue.spool.files.exists(queue.layout.batch(batch)):
        return []
    try:
        with queue.reader(lambda _behind: None) as reader:
            other = _completion_command(queue, reader.ids_of_batch(batch))
    except QueueError:
        return []
    if other in (None, command):
        return []
    return [f"the batch {batch} gets one completion job: this one instead of {quote(other)}"]


def _completion_command(queue: Queue, job_ids: list[str]) -> str | None:
    """Return the command of the newest job that has one."""
    for job_id in job_ids:
        try:
            command = queue.spool.read(job_id).fields.get("on_batch_done")
        except QueueError:
            continue
        if command is not None:
            return str(command)
    return None
