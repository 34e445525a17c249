"""schedules: makes the jobs of the slots that are due; any number of processes may do it, and each slot gets one job.

Owns:       state/schedules/, with a file for each schedule: the slots up to which it was decided, under the lock of that file.
            A schedule is paused by an empty file state/paused/@NAME.
Guarantees: the job of a slot has the id NAME@SLOT and is published by link. The slots are recorded as decided once their
            jobs are durable. A crash between leaves jobs whose ids are found to exist the next time.
Fails with: QueueError, OSError.
Source:     spool/FORMAT.md § Schedules.
"""

from __future__ import annotations

from contextlib import contextmanager

from queuectl.clock import parse_instant, spell
from queuectl.errors import Conflict, QueueError, from_os_error
from queuectl.ids import is_id
from queuectl.job.history import DIRECTORIES, PENDING, PROCESSING
from queuectl.scheduling.recurrence import MOST_AT_ONCE, due, id_of, slot_of, to_make
from queuectl.spool import enqueue, pauses
from queuectl.spool.fs import CHANGE, CREATE, READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from queuectl.scheduling.schedules import InvalidSchedule, Schedule
    from queuectl.spool.context import SpoolContext

MARKER_BYTES = 512  # one sector: it is written as a whole, or not at all
AHEAD_S = 86400.0  # a marker further in the future was written while the clock was wrong
PAUSE = "@"  # before the name of a schedule in state/paused/: no queue is called so
TICKED = "schedules-ran"  # in state/: its mtime says when maintenance last added the jobs of schedules
REMOVED = ""  # the timing of a schedule that is not declared any more


class Marker:
    """What is known of the past of a schedule.

    Attributes:
        timing: Schedule.timing, when the slots were decided.
        until: the slots up to this instant have been decided, in seconds since 1970.
        slot: the last slot for which a job was made.
        missed: how many slots got no job because of `misfire`; the last of them was `missed_slot`.
        skipped: how many got none because of `overlap`; the last of them was `skipped_slot`.
    """

    __slots__ = ("missed", "missed_slot", "skipped", "skipped_slot", "slot", "timing", "until")

    def __init__(self, timing: str, until: float) -> None:
        self.timing = timing
        self.until = until
        self.slot: float | None = None
        self.missed = self.skipped = 0
        self.missed_slot: float | None = None
        self.skipped_slot: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as its file has it."""
        made: dict[str, Any] = {"timing": self.timing, "until": spelled(self.until)}
        for name in ("slot", "missed_slot", "skipped_slot"):
            if getattr(self, name) is not None:
                made[name] = spelled(getattr(self, name))
        return {**made, "missed": self.missed, "skipped": self.skipped}


class Ticked:
    """What was done for a schedule.

    Attributes:
        made: the ids of the jobs that were enqueued.
        missed, skipped: how many slots got no job.
        is_busy: another process was doing it.
    """

    __slots__ = ("error", "is_busy", "made", "missed", "name", "skipped")

    def __init__(self, name: str) -> None:
        self.name = name
        self.made: list[str] = []
        self.missed = self.skipped = 0
        self.is_busy = False
        self.error: QueueError | None = None


def spelled(instant: float) -> str:
    """Write a slot: 2026-11-30T01:30:00Z."""
    return f"{spell(instant)[:19]}Z"


def tick(
    spool: SpoolContext, valid: Mapping[str, Schedule], invalid: Mapping[str, InvalidSchedule], now: float
) -> Iterator[Ticked]:
    """Make the jobs of all slots until `now`, and yield what was done where anything was."""
    paused = paused_schedules(spool)
    for name, schedule in valid.items():
        ticked = Ticked(name)
        try:
            _tick(spool, schedule, now, ticked, is_paused=name in paused)
        except QueueError as error:
            ticked.error = error
        except OSError as error:
            ticked.error = from_os_error(error, f"schedule {name}: cannot add its jobs")
        if ticked.made or ticked.missed or ticked.skipped or ticked.is_busy or ticked.error:
            yield ticked
    for name in _recorded(spool):
        if name not in valid and name not in invalid:
            remove(spool, name)


def _tick(spool: SpoolContext, schedule: Schedule, now: float, ticked: Ticked, *, is_paused: bool) -> None:
    fd = _open(spool, schedule.name)
    try:
        if not spool.files.try_lock(fd):
            ticked.is_busy = True
            return
        marker = _parse(spool.files.read(fd, MARKER_BYTES))
        if marker is None or marker.timing != schedule.timing:
            marker = _begun(spool, schedule, marker, now)
            _write(spool, fd, marker)
        slots = due(schedule.recurrence, marker.until, now, MOST_AT_ONCE + 1)
        if not slots:
            return
        if not is_paused:
            _make(spool, schedule, marker, slots, now, ticked)
        marker.until = slots[-1]
        _write(spool, fd, marker)
    finally:
        spool.files.close(fd)


def _begun(spool: SpoolContext, schedule: Schedule, old: Marker | None, now: float) -> Marker:
    """Return the marker of a schedule that begins now; if its file was lost, one that goes on from the jobs in the spool."""
    if old is None:
        last = _last_in_spool(spool, schedule.name, now)
        made = Marker(schedule.timing, now if last is None else last)
        made.slot = last
        return made
    old.timing = schedule.timing
    old.until = max(now, old.until)
    return old


def _last_in_spool(spool: SpoolContext, name: str, now: float) -> float | None:
    """Return the last slot of a schedule, of the past, whose job lies in the spool."""
    found = [
        slot
        for directory in DIRECTORIES
        for job_id in spool.ids(directory)
        if job_id.startswith(f"{name}@") and (slot := slot_of(job_id)) is not None and slot <= now
    ]
    return max(found, default=None)


def _make(
    spool: SpoolContext, schedule: Schedule, marker: Marker, slots: list[float], now: float, ticked: Ticked
) -> None:
    """Make the jobs of due slots, as far as `misfire` and `overlap` let them be made."""
    wanted = to_make(schedule.misfire, slots, now)
    ticked.missed = len(slots) - len(wanted)
    if ticked.missed:
        marker.missed += ticked.missed
        made = {*wanted}
        marker.missed_slot = max(slot for slot in slots if slot not in made)
    before = None if marker.slot is None else id_of(schedule.name, marker.slot)
    if before is not None and spool.find(before) not in (PENDING, PROCESSING):
        before = None
    if schedule.overlap == "skip" and before is not None and len(wanted) == 1:
        ticked.skipped = 1
        marker.skipped += 1
        marker.skipped_slot = wanted[0]
        return
    jobs = []
    for slot in wanted:
        fields = schedule.fields_of(slot)
        if schedule.overlap != "allow" and before is not None:
            fields.update(after=[before], after_policy="any")
        before = fields["id"]
        jobs.append(fields)
    for slot, result in zip(wanted, enqueue.enqueue_many(spool, jobs), strict=True):
        if isinstance(result, str):
            ticked.made.append(result)
        elif not isinstance(
            result, Conflict
        ):  # a job of this id exists: another process made it, or we did and were killed
            raise result
        marker.slot = slot


# --- the file


def marker_of(spool: SpoolContext, name: str) -> Marker | None:
    """Return what is recorded of a schedule; None when nothing is, or its file is damaged."""
    try:
        fd = spool.files.open(_path(spool, name), READ)
    except FileNotFoundError:
        return None
    try:
        return _parse(spool.files.read(fd, MARKER_BYTES))
    finally:
        spool.files.close(fd)


def begin(spool: SpoolContext, schedule: Schedule, now: float) -> None:
    """Let a schedule begin, or go on, with the slots after `now`: those before are neither made nor missed.

    A marker that is ahead of the clock by more than AHEAD_S is set back.
    """
    with _locked(spool, schedule.name) as fd:
        marker = _parse(spool.files.read(fd, MARKER_BYTES)) or Marker(schedule.timing, now)
        marker.timing = schedule.timing
        if not now <= marker.until <= now + AHEAD_S:
            marker.until = now
        _write(spool, fd, marker)


def decide_slot(spool: SpoolContext, job_id: str) -> None:
    """Record the slot of a job as decided, before the job is removed.

    The process that added it may have been killed before it recorded this; the slot would get a job again. Where the schedule
    is locked, another process is about to record it.
    """
    slot, name = slot_of(job_id), job_id.rpartition("@")[0]
    if slot is None or not is_id(name) or slot > spool.clock.now():
        return
    marker = marker_of(spool, name)
    if marker is None or slot <= marker.until:
        return
    fd = _open(spool, name)
    try:
        marker = _parse(spool.files.read(fd, MARKER_BYTES)) if spool.files.try_lock(fd) else None
        if marker is not None and slot > marker.until:
            marker.until = marker.slot = slot
            _write(spool, fd, marker)
    finally:
        spool.files.close(fd)


def remove(spool: SpoolContext, name: str) -> None:
    """Record that a schedule is not declared any more, so that it begins anew when it is declared again."""
    marker = marker_of(spool, name)
    if marker is not None and marker.timing == REMOVED:
        return
    with _locked(spool, name) as fd:
        marker = _parse(spool.files.read(fd, MARKER_BYTES)) or Marker(REMOVED, spool.clock.now())
        marker.timing = REMOVED
        _write(spool, fd, marker)


def paused_schedules(spool: SpoolContext) -> dict[str, float]:
    """Return since when each paused schedule is, in seconds since 1970."""
    return {name[1:]: pause.since for name, pause in pauses.read(spool, PAUSE).items()}


def _recorded(spool: SpoolContext) -> list[str]:
    return sorted(filter(is_id, spool.names_in(spool.layout.schedules)))


def _path(spool: SpoolContext, name: str) -> str:
    return f"{spool.layout.schedules}/{name}"


@contextmanager
def _locked(spool: SpoolContext, name: str) -> Iterator[int]:
    fd = _open(spool, name)
    try:
        spool.files.lock(fd)
        yield fd
    finally:
        spool.files.close(fd)


def _open(spool: SpoolContext, name: str) -> int:
    path = _path(spool, name)
    try:
        return spool.files.open(path, CHANGE)
    except FileNotFoundError:
        pass
    try:
        fd = spool.files.open(path, CREATE)
    except FileExistsError:
        return spool.files.open(path, CHANGE)
    except FileNotFoundError:  # a home of an earlier version
        spool.layout.ensure()
        return _open(spool, name)
    if spool.is_durable:
        try:
            spool.files.sync_directory(spool.layout.schedules)
        except OSError:
            spool.files.close(fd)
            raise
    return fd


def _write(spool: SpoolContext, fd: int, marker: Marker) -> None:
    """Record what was decided. Crash: the old text or the new one, for it is one sector."""
    import json

    text = json.dumps(marker.as_dict(), ensure_ascii=True)
    spool.files.write(fd, f"{text:<{MARKER_BYTES - 1}}\n".encode("ascii"), 0)
    if spool.is_durable:
        spool.files.sync_data(fd)


def _parse(data: bytes) -> Marker | None:
    import json

    try:
        text = json.loads(data)
        made = Marker(str(text["timing"]), parse_instant(text["until"]))
        for name in ("slot", "missed_slot", "skipped_slot"):
            setattr(made, name, parse_instant(text[name]) if name in text else None)
        made.missed, made.skipped = int(text["missed"]), int(text["skipped"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return made
