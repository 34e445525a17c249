"""index: what is derived from the job files: built anew, or compared with them."""

from __future__ import annotations

from functools import partial

from queuectl.cli.home import home_that_exists, queue_to_change
from queuectl.cli.options import command
from queuectl.cli.progress import Progress, open_index
from queuectl.cli.table import Column, emit
from queuectl.errors import Conflict, NoSupervisor, QueueError
from queuectl.units import plural, spell_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.client.queue import Queue


@command(
    "index rebuild",
    examples=("queuectl index rebuild", "queuectl index rebuild --json"),
)
def run_rebuild(args: Arguments, screen: Screen) -> int:
    """Build the index anew beside the old one and put it in its place."""
    from queuectl.index.lock import IndexLock
    from queuectl.index.reader import Reader
    from queuectl.index.rebuild import rebuild
    from queuectl.supervisor.rebuild_readers import read_rows

    home_that_exists(args, screen, has_queue=True)
    queue = queue_to_change(args, screen)
    _refuse_beside_supervisor(queue)
    queue.layout.ensure()
    read_ahead = partial(read_rows, queue.spool)
    with IndexLock(queue.layout), Progress(screen, "Rebuilding") as progress:
        for step in rebuild(queue.spool, queue.layout.index, read_ahead):
            progress.step(0, str(step))
    with Reader(queue.layout.index) as reader:
        count = sum(reader.counts().values())
    screen.result({"action": "rebuild", "jobs": count})
    screen.message(f"Rebuilt the index of {plural(count, 'job')} in {spell_duration(progress.elapsed_s)}")
    return 0


def _refuse_beside_supervisor(queue: Queue) -> None:
    from queuectl import control_client

    try:
        pid = control_client.ask(queue.layout, {"do": "hello"})["pid"]
    except NoSupervisor:
        return
    raise Conflict(f"a supervisor (pid {pid}) is running and keeps the index", "first: queuectl worker stop --wait")


@command(
    "index verify",
    examples=("queuectl index verify", "queuectl index verify --json"),
)
def run_verify(args: Arguments, screen: Screen) -> int:
    """Compare every job with its row; what differs is shown, and is an error."""
    from queuectl.index.rebuild import verify

    queue = queue_to_change(args, screen)
    count, different = 0, []
    with open_index(queue, screen) as reader, Progress(screen, "Comparing", sum(reader.counts().values())) as progress:
        for found in verify(queue.spool, reader):
            count += 1
            progress.step()
            if found is not None:
                different.append({"id": found.id, "kind": found.kind, "spool": found.spool, "index": found.index})
    if screen.format in ("json", "jsonl"):
        screen.json({"jobs": count, "differences": different})
    else:
        emit(screen, different, COLUMNS, ("id", "kind", "spool", "index"))
    if different:
        raise QueueError(
            f"{len(different):,} of {plural(count, 'job')} differ", "to rebuild it: queuectl index rebuild"
        )
    screen.message(f"The index agrees with the files of {plural(count, 'job')}")
    return 0


COLUMNS = (
    Column("ID", lambda row: row["id"]),
    Column("KIND", lambda row: row["kind"]),
    Column("IN SPOOL", lambda row: row["spool"] if row["kind"] == "stale" else None, leave_out=1),
    Column("IN INDEX", lambda row: row["index"] if row["kind"] == "stale" else None),
)
