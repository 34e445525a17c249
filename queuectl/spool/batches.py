"""batches: the job that is added when the last job of a batch has ended: once for each batch, whatever crashes.

Owns:       state/batches/: the file NAME is empty while the batch is open, and has a note once it is complete; .NAME is the
            completion job before it gets its name in pending/. A process that adds jobs holds the shared lock of NAME.
Guarantees: the completion job is added once. The note decides, not the existence of the job. No counter is kept. Where no job
            has `on_batch_done`, nothing is written or looked for.
Fails with: OSError.
Source:     spool/FORMAT.md § Batches.
"""

from __future__ import annotations

from queuectl.clock import stamp
from queuectl.ids import ID_MAX, is_id, new_id
from queuectl.job.history import PENDING
from queuectl.job.job_file import render_new
from queuectl.spool.fs import IN_PLACE, READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from queuectl.job.job import Job
    from queuectl.spool.context import SpoolContext

DONE_SUFFIX = "@done"
NOTE_BYTES = 4096
MOST_REMEMBERED = 1000
INHERITED = ("cwd", "env", "queue", "priority")  # of the job that has `on_batch_done`
FIELD = "on_batch_done"


def batch_of(fields: Mapping[str, Any]) -> str | None:
    """Return the batch whose completion a job waits to have reported; None for most jobs."""
    return fields.get("batch") if FIELD in fields else None


class Adding:
    """Keeps batches open while this process adds jobs to them; the kernel closes them if it dies.

    Used as a context manager: at its end the batches may be complete.
    """

    def __init__(self, spool: SpoolContext) -> None:
        self._spool = spool
        self._held: dict[str, int] = {}

    def __enter__(self) -> Adding:
        return self

    def __exit__(self, *_: object) -> None:
        while self._held:
            self._spool.files.close(self._held.popitem()[1])

    def open(self, batch: str) -> None:
        """Register a batch, if it is not yet, and keep it open."""
        if batch in self._held:
            return
        files, path = self._spool.files, self._spool.layout.batch(batch)
        fd = None
        while fd is None:
            register(self._spool, batch)
            # For writing: when it is closed, the supervisor gets an event.
            fd = _if_in_place(self._spool, path, files.open(path, IN_PLACE), files.share)
        self._held[batch] = fd


def register(spool: SpoolContext, batch: str) -> None:
    """Record durably that the completion of a batch is to be reported; a batch that is known does not change."""
    files, path = spool.files, spool.layout.batch(batch)
    is_there = files.exists(path)
    if is_there and batch in spool.registered:
        return
    if not is_there:
        try:
            fd = files.open(path, IN_PLACE)
        except FileNotFoundError:
            if not spool.layout.has_spool:
                raise
            spool.layout.ensure()  # a home of an earlier version
            fd = files.open(path, IN_PLACE)
        files.close(fd)
    if spool.is_durable:
        files.sync_directory(spool.layout.batches)  # also where another process made it, which may not have done so yet
    if len(spool.registered) >= MOST_REMEMBERED:
        spool.registered.clear()
    spool.registered.add(batch)


def open_batches(spool: SpoolContext) -> list[str]:
    """Return the batches whose completion job was not added yet, in order."""
    found = []
    for name in spool.names_in(spool.layout.batches):
        batch = name[1:] if name.startswith(".") else name
        status = spool.files.lstat(f"{spool.layout.batches}/{name}")
        if is_id(batch) and status is not None and (name != batch or status.st_size == 0):
            found.append(batch)
    return sorted({*found})


def note_of(spool: SpoolContext, batch: str) -> dict[str, Any] | None:
    """Return the note on a complete batch: `job`, the id of its completion job, `at` and its counts; None while it is open."""
    import json

    try:
        fd = spool.files.open(spool.layout.batch(batch), READ)
    except FileNotFoundError:
        return None
    try:
        data = spool.files.read(fd, NOTE_BYTES)
    finally:
        spool.files.close(fd)
    try:
        note = json.loads(data)
    except ValueError:  # empty, or torn: then the prepared job was not published
        return None if not data.strip(b"\0 \n") or spool.files.exists(spool.layout.prepared(batch)) else {}
    return note if isinstance(note, dict) else {}


def take(spool: SpoolContext, batch: str) -> int | None:
    """Return the file of a batch, locked so that no job with `on_batch_done` is added; None while some process adds jobs."""
    files = spool.files
    try:
        fd = files.open(spool.layout.batch(batch), READ)
    except FileNotFoundError:
        return None
    return _if_in_place(spool, spool.layout.batch(batch), fd, files.try_lock)


def _if_in_place(spool: SpoolContext, path: str, fd: int, lock: Callable[[int], bool | None]) -> int | None:
    """Lock a file and return its descriptor; None, and it is closed, if that fails or the path names another file now."""
    try:
        if lock(fd) is not False:
            there = spool.files.lstat(path)
            if there is not None and there.st_ino == spool.files.fstat(fd).st_ino:
                return fd
    except OSError:
        spool.files.close(fd)
        raise
    spool.files.close(fd)
    return None


def completion_job(batch: str, command: str, member: Job, counts: Mapping[str, int]) -> dict[str, Any]:
    """Return the fields of the completion job; it runs where the job runs that has `on_batch_done`."""
    fields = {name: member.fields[name] for name in INHERITED if name in member.fields}
    told = {
        f"QUEUECTL_BATCH_{state.upper()}": str(counts.get(state, 0)) for state in ("completed", "dead", "cancelled")
    }
    env = {**fields.get("env", {}), "QUEUECTL_BATCH": batch, "QUEUECTL_BATCH_JOBS": str(sum(counts.values())), **told}
    return {"command": command, **fields, "env": env}


def complete(spool: SpoolContext, batch: str, fields: Mapping[str, Any], counts: Mapping[str, int]) -> str:
    """Add the completion job of a batch and return its id; called with the batch locked (`take`).

    Crash: before the note is written, the batch is open and the prepared job is written again; after it, the prepared job
    exists and `publish` continues, or it has its name in pending/ and the batch is complete.
    """
    import json

    files, prepared, now = spool.files, spool.layout.prepared(batch), spool.clock.now()
    if files.exists(prepared):
        files.unlink(prepared)  # its note was not written
    spool.write_new(render_new({**fields, "created_at": stamp(now)}), spool.layout.batches, prepared)
    if spool.is_durable:
        files.sync_directory(spool.layout.batches)
    job_id = f"{batch[: ID_MAX - len(DONE_SUFFIX)]}{DONE_SUFFIX}"
    if spool.find(job_id) is not None:
        job_id = f"{job_id[: ID_MAX - 17]}-{new_id(now)}"  # a job of the user, or of an earlier batch of this name
    _write_note(spool, batch, json.dumps({"job": job_id, "at": stamp(now), "counts": dict(counts)}))
    publish(spool, batch, job_id)
    return job_id


def _write_note(spool: SpoolContext, batch: str, note: str) -> None:
    fd = spool.files.open(spool.layout.batch(batch), IN_PLACE)
    try:
        spool.files.write(fd, f"{note}\n".encode(), 0)
        if spool.is_durable:
            spool.files.sync(fd)
    finally:
        spool.files.close(fd)


def publish(spool: SpoolContext, batch: str, job_id: str) -> None:
    """Give the prepared job its name in pending/, once: the rename that publishes it also removes it here."""
    files, prepared = spool.files, spool.layout.prepared(batch)
    status = files.lstat(prepared)
    if status is None:
        return
    if status.st_nlink > 1:  # a power cut has left both names
        files.unlink(prepared)
        return
    files.move(prepared, spool.layout.job(PENDING, job_id))
    if spool.is_durable:
        files.sync_directory(spool.layout.directory(PENDING))
        files.sync_directory(spool.layout.batches)


def forget(spool: SpoolContext, batch: str) -> None:
    """Remove what is known of a batch; called with the batch locked."""
    spool.files.unlink(spool.layout.batch(batch))


def known(spool: SpoolContext) -> Iterator[str]:
    """Yield the batches that are registered, open or complete."""
    yield from filter(is_id, spool.names_in(spool.layout.batches))
