"""batch_warnings: what somebody who types --on-batch-done should know of the batch before."""

from __future__ import annotations

from queuectl.errors import QueueError
from queuectl.units import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.client.queue import Queue


def warning_of(queue: Queue, batch: str, command: str) -> list[str]:
    """Return the warnings: the batch is complete, or another completion job was wanted for it."""
    from queuectl.client.batches import member_of
    from queuectl.spool import batches

    if batches.note_of(queue.spool, batch) is not None:
        return [f"the batch {batch} is complete and stays so: --on-batch-done has no effect; use a new name"]
    if not queue.spool.files.exists(queue.layout.batch(batch)):
        return []
    try:
        with queue.reader(lambda _behind: None) as reader:
            member = member_of(queue.spool, reader, batch)
    except QueueError:
        return []
    other = None if member is None else member.fields["on_batch_done"]
    if other in (None, command):
        return []
    return [f"the batch {batch} gets one completion job: this one instead of {quote(other)}"]
