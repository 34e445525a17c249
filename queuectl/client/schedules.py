"""schedules: recurring jobs: the part of Queue that is about schedules.

Owns:       rows_of, the one shape of a schedule in JSON.
Guarantees: works with and without a supervisor. What is added or resumed begins with the next slot.
Fails with: InvalidSchedule, NotFound (no such schedule), Conflict (there is one of this name), UsageError.
Source:     spool/FORMAT.md § Schedules.
"""

from __future__ import annotations

import os

from queuectl.clock import spell
from queuectl.config import config_file
from queuectl.errors import NotFound, QueueError, UsageError, did_you_mean
from queuectl.units import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import timedelta
    from typing import Any

    from typing_extensions import Unpack

    from queuectl.client.job_spec import Job as NewJob
    from queuectl.client.job_spec import JobFields
    from queuectl.config.settings import Settings
    from queuectl.scheduling.schedules import InvalidSchedule, Schedule
    from queuectl.spool.layout import Layout
    from queuectl.spool.schedules import Marker
    from queuectl.spool.spool import Spool

NEXT = 5  # slots that are shown
LAST = {"last_slot": None, "last_job": None, "last_state": None, "last_ended_at": None}


class Schedules:
    """The part of Queue that is about schedules."""

    layout: Layout
    spool: Spool

    if TYPE_CHECKING:

        def submit(self, fields: Mapping[str, Any]) -> str:
            """See Queue."""

    def schedules(self) -> list[dict[str, Any]]:
        """Return each schedule of config.yaml as a dictionary: what it says, its next slots, its last job.

        A schedule that is not valid has an `error`, which names the line.

        Raises:
            InvalidData: config.yaml is not valid.
        """
        return [*rows_of(self.spool, _settings(self.layout))]

    def add_schedule(
        self,
        schedule: str,
        job: NewJob | None = None,
        *,
        cron: str | None = None,
        every: str | float | timedelta | None = None,
        timezone: str | None = None,
        misfire: str | None = None,
        overlap: str | None = None,
        check: bool = True,
        **fields: Unpack[JobFields],
    ) -> None:
        """Add a schedule to config.yaml; comments in the file stay.

        Args:
            schedule: its name; its jobs have the ids NAME@SLOT.
            job, check, fields: as those of `enqueue`.
            cron: a cron expression; or
            every: the interval, as "15m".
            timezone: of the cron expression; default that of the machine.
            misfire: "once" (default), "skip" or "all": the jobs that are made for slots during which nothing ran.
            overlap: "skip" (default), "queue" or "allow": what is done while the job before is waiting or running.

        Raises:
            InvalidSchedule, UnknownField, InvalidField; Conflict (there is one of this name).

        Crash: it is there, or not.
        """
        from queuectl.client.job_spec import Template

        made = Template(fields, self.spool.clock.now(), check=check).job(job)
        interval = every if every is None or isinstance(every, (str, int, float)) else every.total_seconds()
        value = {"cron": cron, "every": interval, "timezone": timezone, "misfire": misfire, "overlap": overlap}
        self.declare_schedule(schedule, {**{k: v for k, v in value.items() if v is not None}, "job": made})

    def declare_schedule(self, name: str, value: Mapping[str, Any]) -> str | None:
        """Add a schedule exactly as config.yaml has it; return what overrides the file, or None.

        Raises:
            InvalidSchedule, Conflict.
        """
        from queuectl.scheduling.schedules import check
        from queuectl.spool.schedules import begin

        schedule = check(name, value)
        declared = _settings(self.layout).schedules
        if name not in declared:
            begin(self.spool, schedule, self.spool.clock.now())
        return config_file.set_schedule(self.layout.home, name, value, os.environ)

    def remove_schedule(self, name: str) -> None:
        """Remove a schedule from config.yaml; its jobs stay.

        Raises:
            NotFound.

        Crash: it is there, or not.
        """
        from queuectl.spool import pauses
        from queuectl.spool.schedules import PAUSE, remove

        config_file.set_schedule(self.layout.home, _named(name), None, os.environ)
        remove(self.spool, name)
        pauses.resume(self.spool, f"{PAUSE}{name}")

    def run_schedule(self, name: str) -> str:
        """Enqueue the job of a schedule now, also of one that is paused; return its id, which belongs to no slot.

        Raises:
            NotFound, InvalidSchedule; as `submit`.
        """
        from queuectl.ids import new_id

        schedule = self._schedule(name)
        return self.submit({"id": f"{name}@{new_id(self.spool.clock.now())}", **schedule.fields_of(None)})

    def pause_schedule(self, name: str) -> bool:
        """Let a schedule make no jobs until `resume_schedule`; its waiting and running jobs go on.

        Returns:
            False when it was paused already.

        Raises:
            NotFound.

        Crash: it is paused or not.
        """
        from queuectl.spool import pauses
        from queuectl.spool.schedules import PAUSE

        self.refuse_unknown_schedule(name)
        return pauses.pause(self.spool, f"{PAUSE}{name}")

    def resume_schedule(self, name: str) -> bool:
        """Let a schedule make jobs again, from its next slot on; those during the pause are not made.

        Returns:
            False when it was not paused.

        Raises:
            NotFound, InvalidSchedule.

        Crash: it is paused or not.
        """
        from queuectl.spool import pauses
        from queuectl.spool.schedules import AHEAD_S, PAUSE, begin, marker_of, paused_schedules

        schedule, now = self._schedule(name), self.spool.clock.now()
        marker = marker_of(self.spool, name)
        if name in paused_schedules(self.spool) or (marker is not None and marker.until > now + AHEAD_S):
            begin(self.spool, schedule, now)
        return pauses.resume(self.spool, f"{PAUSE}{name}")

    def _schedule(self, name: str) -> Schedule:
        """Return a valid schedule.

        Raises:
            NotFound, InvalidSchedule.
        """
        from queuectl.scheduling.schedules import InvalidSchedule, check

        declared = self.refuse_unknown_schedule(name)
        try:
            return check(name, declared[name])
        except InvalidSchedule as error:
            raise placed(error, self.layout) from None

    def refuse_unknown_schedule(self, name: str) -> Mapping[str, Any]:
        """Return the declared schedules.

        Raises:
            NotFound: this one is not among them.
        """
        declared = _settings(self.layout).schedules
        if _named(name) not in declared:
            known = (
                f"there are {', '.join(declared)}"
                if declared
                else "queuectl schedule add NAME --cron EXPRESSION -- COMMAND"
            )
            raise NotFound(f"no schedule {quote(name)}{did_you_mean(name, declared)}", known)
        return declared


def _named(name: object) -> str:
    if not isinstance(name, str):
        raise UsageError(f'"name" must be the name of a schedule, not {quote(name)}')
    return name


def _settings(layout: Layout) -> Settings:
    return config_file.load(layout.home, os.environ)


def placed(error: InvalidSchedule, layout: Layout) -> InvalidSchedule:
    """Return the error of a schedule with the file and line before its message."""
    return error.placed(config_file.place_of(layout.home, os.environ, ("schedules", *error.path)))


def invalid_schedules(home: str, settings: Settings) -> list[InvalidSchedule]:
    """Return the errors of the schedules that are not valid."""
    from queuectl.scheduling.schedules import read
    from queuectl.spool.layout import Layout

    return [placed(error, Layout(home)) for error in read(settings)[1].values()] if settings.schedules else []


def rows_of(spool: Spool, settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield each schedule as JSON has it, in the order of config.yaml."""
    from queuectl.scheduling.schedules import FIELDS, read
    from queuectl.spool.schedules import marker_of, paused_schedules, spelled

    if not settings.schedules:
        return
    valid, invalid = read(settings)
    paused, now = paused_schedules(spool), spool.clock.now()
    for name, value in settings.schedules.items():
        given = value if isinstance(value, dict) else {}
        row: dict[str, Any] = {"name": name, **{field: given.get(field) for field in FIELDS}}
        row["paused_at"] = spell(paused[name]) if name in paused else None
        row.update(next=[], **LAST, missed=0, missed_slot=None, skipped=0, skipped_slot=None, error=None)
        if name in invalid:
            row["error"] = str(placed(invalid[name], spool.layout))
            yield row
            continue
        schedule, marker = valid[name], marker_of(spool, name)
        row.update(misfire=schedule.misfire, overlap=schedule.overlap)
        if name not in paused:
            row["next"] = [*map(spelled, next_slots(schedule, marker, now))]
        if marker is not None:
            _add_past(spool, row, marker)
        yield row


def next_slots(schedule: Schedule, marker: Marker | None, now: float, most: int = NEXT) -> Iterator[float]:
    """Yield the next slots of a schedule."""
    at: float | None = now if marker is None else max(now, marker.until)
    for _ in range(most):
        at = None if at is None else schedule.recurrence.after(at)
        if at is not None:
            yield at


def _add_past(spool: Spool, row: dict[str, Any], marker: Marker) -> None:
    from queuectl.scheduling.recurrence import id_of
    from queuectl.spool.schedules import spelled

    row.update(missed=marker.missed, skipped=marker.skipped)
    for name in ("missed_slot", "skipped_slot"):
        slot = getattr(marker, name)
        row[name] = None if slot is None else spelled(slot)
    if marker.slot is None:
        return
    job_id = id_of(row["name"], marker.slot)
    row.update(last_slot=spelled(marker.slot), last_job=job_id)
    try:
        job = spool.read(job_id)
    except QueueError:  # it was deleted, or is not valid any more
        return
    row["last_state"] = job.state
    row["last_ended_at"] = None if job.finished_at is None else spell(job.finished_at)
