"""enqueue: writes new jobs into pending/.

Guarantees: a job appears whole and at once, or not at all; a job that `claim` would refuse is not acknowledged; of
            all processes that enqueue the same id, one succeeds.
Fails with: InvalidData, Conflict, SpoolFull; OSError where the disk fails.
Source:     spool/FORMAT.md § Transitions (enqueue); qmail INTERNALS (publish by link); open(2) O_TMPFILE.
"""

from __future__ import annotations

import os

from queuectl.clock import stamp
from queuectl.errors import Busy, Conflict, InvalidData
from queuectl.ids import new_id
from queuectl.job.fields import InvalidField, normalized, refuse_misspelt, validate
from queuectl.job.history import DEAD, DONE, PENDING, PROCESSING
from queuectl.job.job_file import MAX_BYTES, OPEN_HISTORY, parse, render_new
from queuectl.job.strict_json import encode, read_value
from queuectl.spool import dependents, rejected
from queuectl.spool.fs import FULL
from queuectl.spool.locked_file import SpoolFull
from queuectl.units import spell_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any, BinaryIO

    from queuectl.config.settings import Settings
    from queuectl.spool.batches import Adding
    from queuectl.spool.context import SpoolContext
    from queuectl.spool.inputs import Staged

GROUP_JOBS = 512  # as many files are open at a time
GROUP_BYTES = 8 << 20


class Checked(dict[str, Any] if TYPE_CHECKING else dict):  # type: ignore[misc]
    """The members of a job that are known to be JSON as `parse` accepts it, since they came out of it."""


def refuse_when_full(spool: SpoolContext) -> None:
    """Raise Busy when the disk has less than `min_free`, or 1 %, left."""
    try:
        free, total = spool.files.free_bytes(spool.layout.spool)
    except FileNotFoundError:  # the job is checked before a home is created for it
        free, total = spool.files.free_bytes(existing_ancestor(spool.layout.home))
    floor = least_free(spool.settings, total)
    if free < floor:
        raise Busy(
            f"the disk of {spool.layout.home} has {spell_size(free)} left; below {spell_size(floor)} nothing is enqueued",
            _how_to_free(spool, total),
        )


def existing_ancestor(path: str) -> str:
    """Return the path, or the directory nearest above it that exists."""
    while not os.path.isdir(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def _how_to_free(spool: SpoolContext, total_bytes: int) -> str:
    from queuectl.spool import outputs

    large, hint = outputs.how_to_free(spool, total_bytes, outputs.SEARCHED_FILES)
    return f"{large}; to remove: {hint}" if large else hint


def least_free(settings: Settings, total_bytes: int) -> int:
    """Return how many bytes of a disk have to be free for a job to be taken: `min_free`, or 1 % of a small one."""
    return min(settings.min_free, total_bytes // 100)


class New:
    """A job that is written and has no name in pending/ yet.

    Attributes:
        fields: the members that the author gave.
        fd: of its file; the caller of `_prepare` publishes or discards it.
    """

    __slots__ = ("fd", "fields", "job_id", "name", "size")

    def __init__(self, fields: Mapping[str, Any], job_id: str, size: int, fd: int, name: str | None) -> None:
        self.fields = fields
        self.job_id = job_id
        self.size = size
        self.fd = fd
        self.name = name


def enqueue_with_input(spool: SpoolContext, fields: Mapping[str, Any], source: BinaryIO) -> str:
    """Put one job into pending/ whose command reads what `source` has, and return its id, durable.

    Crash: the job is there with its input, or not there; an input without a job is removed by maintenance.
    """
    from queuectl.spool.inputs import KEPT, stage

    made = {**fields, "stdin": KEPT}
    validate(made)  # before much is copied
    if "id" in made:
        refuse_known(made["id"], lies_in(spool, made["id"]))
    is_used = False
    try:
        staged = stage(spool, source, refuse_when_full)
    except OSError as error:
        raise _full_or(spool, error) from None
    try:
        try:
            job_id = enqueue(spool, made, staged)
            is_used = True
        except (InvalidData, Conflict):
            raise
        except BaseException:  # the job may have its name
            is_used = staged.job_id is not None and spool.find(staged.job_id) is not None
            raise
    finally:
        staged.close(is_used=is_used)
    return job_id


def enqueue(spool: SpoolContext, fields: Mapping[str, Any], staged: Staged | None = None) -> str:
    """Put one job into pending/ and return its id, durable."""
    if "on_batch_done" not in fields:
        return _enqueue(spool, fields, staged)
    from queuectl.spool.batches import Adding

    with Adding(spool) as adding:
        return _enqueue(spool, fields, staged, adding)


def _enqueue(
    spool: SpoolContext, fields: Mapping[str, Any], staged: Staged | None, adding: Adding | None = None
) -> str:
    new = _prepare(spool, fields)
    try:
        if adding is not None and "batch" in fields:
            adding.open(fields["batch"])
        if spool.is_durable:
            spool.files.sync(new.fd)
        if staged is not None:
            staged.publish(new.job_id)
        job_id = _publish(spool, new, staged)
        if spool.is_durable:
            spool.files.sync_directory(spool.layout.directory(PENDING))
    except OSError as error:
        raise _full_or(spool, error) from None
    finally:
        _discard(spool, new)
    return job_id


def enqueue_many(
    spool: SpoolContext, jobs: Iterable[Mapping[str, Any] | InvalidData | None], adding: Adding | None = None
) -> Iterator[str | InvalidData | Conflict]:
    """Put jobs into pending/, those of a group synced together; see Spool.enqueue_many.

    Args:
        adding: keeps their batches open for longer than this call.
    """
    from queuectl.spool.batches import Adding

    with Adding(spool) as own:
        yield from _enqueue_many(spool, jobs, adding or own)


def _enqueue_many(
    spool: SpoolContext, jobs: Iterable[Mapping[str, Any] | InvalidData | None], adding: Adding
) -> Iterator[str | InvalidData | Conflict]:
    group: list[New | InvalidData | Conflict] = []
    size = 0
    try:
        for fields in jobs:
            if not group:
                refuse_when_full(spool)
                size = 0
            if isinstance(fields, InvalidData):
                group.append(fields)
            elif fields is not None:
                try:
                    new = _prepare(spool, fields)
                    size += new.size
                    group.append(new)
                    if "on_batch_done" in fields and "batch" in fields:
                        adding.open(fields["batch"])
                except (InvalidData, Conflict) as error:
                    group.append(error)
            if fields is None or len(group) >= GROUP_JOBS or size > GROUP_BYTES:
                yield from _publish_group(spool, group)
        yield from _publish_group(spool, group)
    finally:
        for found in group:  # not published because of an error, or because the caller stopped
            if isinstance(found, New):
                _discard(spool, found)


def _publish_group(
    spool: SpoolContext, group: list[New | InvalidData | Conflict]
) -> Iterator[str | InvalidData | Conflict]:
    """Give the jobs of a group their names, and yield the result of each once all are durable; empties the group."""
    news = [found for found in group if isinstance(found, New)]
    answers: list[str | InvalidData | Conflict] = []
    try:
        if spool.is_durable:
            spool.files.sync_all([new.fd for new in news])
        for found in group:
            try:
                answers.append(_publish(spool, found) if isinstance(found, New) else found)
            except (Conflict, InvalidField) as error:
                answers.append(error)
        if spool.is_durable and news:
            spool.files.sync_directory(spool.layout.directory(PENDING))
    except OSError as error:
        raise _full_or(spool, error) from None
    group.clear()
    yield from answers


def _full_or(spool: SpoolContext, error: OSError) -> Exception:
    if error.errno not in FULL:
        return error
    try:
        _, total = spool.files.free_bytes(spool.layout.spool)
    except OSError:
        return SpoolFull(f"the disk of {spool.layout.home} is full")
    return SpoolFull(f"the disk of {spool.layout.home} is full", _how_to_free(spool, total))


def _prepare(spool: SpoolContext, fields: Mapping[str, Any]) -> New:
    """Write a job's file. Crash: nothing is left, or a file in tmp/ where unnamed files do not exist."""
    if "history" in fields:
        raise InvalidField("history", 'a new job has no "history"')
    refuse_misspelt(fields)
    now = spool.clock.now()
    made = {**fields, "created_at": fields.get("created_at") or stamp(now)}
    if "name" in made:
        made = normalized(made)
    if "id" not in fields:
        made = {"id": new_id(now), **made}
    data = _render(made, is_checked=isinstance(fields, Checked))
    if "id" in fields:  # finds most conflicts before a file is created
        refuse_known(made["id"], lies_in(spool, made["id"]))
    files, tmp = spool.files, spool.layout.tmp
    fd, name = -1, None
    try:
        try:
            fd, name = files.create(tmp)
        except FileNotFoundError:
            spool.layout.ensure()
            fd, name = files.create(tmp)
        files.write(fd, data, 0)
    except OSError as error:
        if fd >= 0:
            _discard(spool, New(fields, "", 0, fd, name))
        raise _full_or(spool, error) from None
    return New(fields, made["id"], len(data), fd, name)


def _publish(spool: SpoolContext, new: New, staged: Staged | None = None) -> str:
    """Give a job its name in pending/ and return its id; the directory is left to the caller to sync."""
    try:
        if "after" in new.fields:
            with dependents.enqueuing(spool):
                refuse_parents(spool, new.job_id, new.fields["after"])
                _name(spool, new)
        else:
            _name(spool, new)
    except FileExistsError:  # another process generated the same id in the same millisecond
        return enqueue(spool, new.fields, staged)
    finally:
        _discard(spool, new)  # and with it the lock, so that the job can be claimed
    return new.job_id


def _name(spool: SpoolContext, new: New) -> None:
    if "id" in new.fields:
        _publish_promised(spool, new)
    else:
        _link(spool, new)


def refuse_parents(spool: SpoolContext, job_id: str, after: Iterable[str]) -> None:
    """Refuse a job that comes after one that does not exist; of jobs that are enqueued together, parents come first."""
    for parent in after:
        if parent == job_id:
            raise InvalidField("after", f'job "{parent}" cannot come after itself')
        if spool.find(parent) is None:
            raise InvalidField(
                "after", f'the job comes after "{parent}", which does not exist', "enqueue that job first"
            )


def _publish_promised(spool: SpoolContext, new: New) -> None:
    """Publish under an id that another job may have, or may get at this moment, in any directory."""
    spool.files.try_lock(new.fd)  # it cannot be claimed before the other directories are checked
    try:
        _link(spool, new)
    except FileExistsError:
        refuse_known(new.job_id, PENDING)
    directory = known_in(spool, new.job_id)
    if directory is not None:
        rejected.unpublish(spool, new.job_id, spool.files.fstat(new.fd).st_ino)
        refuse_known(new.job_id, directory)


def refuse_known(job_id: str, directory: str | None) -> None:
    """Raise Conflict when a job of this id lies in `directory`; None when there is none."""
    if directory is not None:
        raise Conflict(f"job {job_id} exists already, in {directory}/", "omit the id to have one generated")


def _link(spool: SpoolContext, new: New) -> None:
    spool.files.publish(new.fd, new.name, spool.layout.job(PENDING, new.job_id))
    new.name = None


def _discard(spool: SpoolContext, new: New) -> None:
    """Close a job's file, and remove it if it has only a temporary name."""
    fd, name = new.fd, new.name
    new.fd, new.name = -1, None
    try:
        if fd >= 0:
            spool.files.close(fd)  # it was synced before, if it had to be
    except OSError:
        pass
    try:
        if name is not None:
            spool.files.unlink(name)
    except OSError:
        pass


def _render(fields: Mapping[str, Any], *, is_checked: bool) -> bytes:
    try:
        data = render_new(fields)
        if len(data) > MAX_BYTES + len(OPEN_HISTORY):
            raise InvalidData(f"the job is {len(data)} bytes; at most {MAX_BYTES} are accepted")
        if is_checked:
            validate(fields)
        else:
            parse(data)  # as the claim will: Python values can hold what JSON or a command cannot
    except InvalidData:
        validate(fields)  # its error names a field, not a line of a text that the caller has not seen
        _refuse_unwritable(fields)
        raise
    return data


def _refuse_unwritable(fields: Mapping[str, Any]) -> None:
    """Raise InvalidField for a field whose value no job file can hold."""
    for name, value in fields.items():
        try:
            read_value(encode({name: value}))
        except InvalidData as error:
            reason = str(error).rpartition("not a valid job: ")[2]
            raise InvalidField(name, f'"{name}" cannot be written to a job file: {reason}') from None


def lies_in(spool: SpoolContext, job_id: str) -> str | None:
    """Return the directory in which a job of this id lies."""
    return PENDING if spool.files.exists(spool.layout.job(PENDING, job_id)) else known_in(spool, job_id)


def known_in(spool: SpoolContext, job_id: str) -> str | None:
    """Return the directory, pending/ aside, in which a job of this id lies.

    The order is the one in which jobs move, so that a moving job is not missed.
    """
    for directory in (PROCESSING, DONE, DEAD):
        if spool.files.exists(spool.layout.job(directory, job_id)):
            return directory
    return None
