"""publish: how a job comes into pending/.

Guarantees: a job appears whole and at once, or not at all; nothing that `claim` would refuse is acknowledged; of all
            who enqueue one id, one succeeds.
Fails with: InvalidData, Conflict, SpoolFull; OSError where the disk fails.
Source:     spool/FORMAT.md § Transitions (enqueue); qmail INTERNALS (publish by link); open(2) O_TMPFILE.
"""

from __future__ import annotations

from queuectl.errors import Busy, Conflict, InvalidData
from queuectl.fields import InvalidField, new_id, stamp, validate
from queuectl.history import DEAD, DONE, PENDING, PROCESSING
from queuectl.record import MAX_BYTES, OPEN_HISTORY, parse, render_new
from queuectl.spool import aside
from queuectl.spool.files import FULL
from queuectl.spool.jobfile import SpoolFull

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from queuectl.spool.spool import Spool


def refuse_when_full(spool: Spool) -> None:
    """Raise Busy when the disk has less than `min_free`, or 1 %, left."""
    try:
        free, total = spool.files.free_bytes(spool.layout.spool)
    except FileNotFoundError:
        spool.layout.ensure()
        free, total = spool.files.free_bytes(spool.layout.spool)
    floor = min(spool.settings.min_free, total // 100)
    if free < floor:
        raise Busy(
            f"the disk of {spool.layout.home} has {free >> 20} MiB left; below {floor >> 20} MiB nothing is enqueued",
            "free some space: queuectl delete finished jobs, or lower min_free",
        )


def publish(spool: Spool, fields: Mapping[str, Any]) -> str:
    """Put one job into pending/ and return its id; the directory is left to the caller to sync.

    Crash: before the link, nothing (where unnamed files exist; else litter in tmp/).
    """
    if "history" in fields:
        raise InvalidField("history", 'a new job has no "history"')
    now = spool.clock.now()
    made = {**fields, "created_at": fields.get("created_at") or stamp(now)}
    try:
        if "id" in fields:
            return _publish_promised(spool, fields["id"], _render(made))
        while True:
            job_id = new_id(now)
            try:
                return _publish(spool, job_id, _render({"id": job_id, **made}))
            except FileExistsError:
                continue  # another process drew the same number in the same millisecond
    except OSError as error:
        if error.errno in FULL:
            raise SpoolFull(f"the disk of {spool.layout.home} is full") from None
        raise


def _render(fields: Mapping[str, Any]) -> bytes:
    data = render_new(fields)
    if len(data) > MAX_BYTES + len(OPEN_HISTORY):
        raise InvalidData(f"the job is {len(data)} bytes; at most {MAX_BYTES} are accepted")
    try:
        parse(data)  # as whoever claims it will: Python's values can hold what JSON, or a command, cannot
    except InvalidData:
        validate(fields)  # says it without a place in a text that the caller has never seen
        raise
    return data


def _publish(spool: Spool, job_id: str, data: bytes) -> str:
    fd = _link(spool, job_id, data, locked=False)
    spool.files.close(fd)
    return job_id


def _publish_promised(spool: Spool, job_id: str, data: bytes) -> str:
    """Publish under an id that may be taken, here or in another directory, now or this very moment."""
    files = spool.files
    directory = lies_in(spool, job_id)  # most conflicts are found here, before a file has been made for nothing
    if directory is None:
        try:
            fd = _link(spool, job_id, data, locked=True)  # nobody claims it before we have looked elsewhere
        except FileExistsError:
            directory = PENDING
        else:
            try:
                directory = known_in(spool, job_id)
                if directory is not None:
                    aside.withdraw(spool, job_id, files.fstat(fd).st_ino)
            finally:
                files.close(fd)
    if directory is not None:
        raise Conflict(f"job {job_id} exists already, in {directory}/", "leave the id out to get a fresh one")
    return job_id


def lies_in(spool: Spool, job_id: str) -> str | None:
    """Return the directory in which a job of this id lies."""
    return PENDING if spool.files.exists(spool.layout.job(PENDING, job_id)) else known_in(spool, job_id)


def known_in(spool: Spool, job_id: str) -> str | None:
    """Return the directory, pending/ aside, in which a job of this id lies.

    The order is that in which jobs move on, so that one on its way is not missed.
    """
    for directory in (PROCESSING, DONE, DEAD):
        if spool.files.exists(spool.layout.job(directory, job_id)):
            return directory
    return None


def _link(spool: Spool, job_id: str, data: bytes, *, locked: bool) -> int:
    files = spool.files
    try:
        fd, name = files.create(spool.layout.tmp)
    except FileNotFoundError:
        spool.layout.ensure()
        fd, name = files.create(spool.layout.tmp)
    try:
        if locked:
            files.try_lock(fd)
        files.write(fd, data, 0)
        if spool.is_durable:
            files.sync(fd)
        files.publish(fd, name, spool.layout.job(PENDING, job_id))
    except BaseException:
        files.close(fd)
        if name is not None:
            files.unlink(name)
        raise
    return fd
