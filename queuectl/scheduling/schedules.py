"""schedules: the schedules that config.yaml declares, each checked on its own.

Guarantees: one that is not valid does not keep the others from being read. cronsim and zoneinfo are imported only where a
            schedule is read that has a cron expression or a time zone.
Fails with: InvalidSchedule, which names the schedule and the field.
"""

from __future__ import annotations

import time
from functools import partial

from queuectl.clock import spell
from queuectl.errors import InvalidData, did_you_mean, with_more
from queuectl.ids import ID_MAX, is_id
from queuectl.job.fields import InvalidField, meant_by, refuse_in_new, refuse_misspelt, refuse_together, validate
from queuectl.scheduling.recurrence import CRON, EVERY, Cron, Every, id_of, slot_of
from queuectl.units import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from queuectl.config.settings import Settings
    from queuectl.scheduling.recurrence import Zone

MISFIRE = ("once", "skip", "all")  # the defaults first
OVERLAP = ("skip", "queue", "allow")
FIELDS = ("cron", "every", "timezone", "misfire", "overlap", "job")
SLOT_CHARS = 17  # @20261130T013000Z
MOST_CHARS = ID_MAX - SLOT_CHARS
NAME = f"letters, digits, '.', '_' and '-', starting with a letter or digit, at most {MOST_CHARS} characters"
TAG = "schedule:"  # and the name: the tag of every job of a schedule
NOT_IN_JOBS = {
    "id": "each job gets the id NAME@SLOT",
    "run_at": "the job runs at its slot",
    "expires_at": "each slot would need another one",
    "unique_key": "overlap says what happens while the job before is waiting or running",
    "after": "overlap: queue lets a job come after the one before",
    "after_policy": "overlap: queue lets a job come after the one before",
    "on_batch_done": "a batch is completed once; on_success, on_failure and on_dead run for each job",
    "state": "QueueCTL sets it",
    "attempts": "QueueCTL sets it",
    "created_at": "QueueCTL sets it",
    "updated_at": "QueueCTL sets it",
    "history": "QueueCTL writes it",
}


class InvalidSchedule(InvalidData):
    """A schedule that is not valid.

    Attributes:
        path: of what is wrong in the setting `schedules`: the name, then the field.
    """

    def __init__(self, path: tuple[str, ...], message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.path = path

    def placed(self, place: str | None) -> InvalidSchedule:
        """Return it with the place before its message: config.yaml:12."""
        if place is None:
            return self
        found = InvalidSchedule(self.path, f"{place}: {self}", self.hint)
        found.more = [each.placed(place) if isinstance(each, InvalidSchedule) else each for each in self.more]
        return found


class Schedule:
    """A schedule that is valid.

    Attributes:
        recurrence: its slots.
        timing: what its slots depend on, as text: when it changes, the schedule begins anew.
        zone: the offset of its local time from UTC at an instant.
        job: the fields of its jobs.
    """

    __slots__ = ("cron", "every", "job", "misfire", "name", "overlap", "recurrence", "timezone", "timing", "zone")

    def __init__(self, name: str, value: Mapping[str, Any]) -> None:
        self.name = name
        self.cron: str | None = value.get("cron")
        self.every: Any = value.get("every")
        self.timezone: str | None = value.get("timezone")
        self.misfire: str = value.get("misfire") or MISFIRE[0]
        self.overlap: str = value.get("overlap") or OVERLAP[0]
        self.job: dict[str, Any] = dict(value["job"])
        self.zone: Zone = _local_offset if self.timezone is None else zone_of(self.timezone)
        self.recurrence: Cron | Every
        if self.cron is not None:
            self.recurrence = Cron(self.cron, self.zone)
            self.timing = f"{' '.join(self.cron.split())} {self.timezone or 'local'}"
        else:
            self.recurrence = Every(self.every)
            self.timing = f"every {self.recurrence.seconds}"

    def fields_of(self, slot: float | None) -> dict[str, Any]:
        """Return the fields of a job: that of a slot, or (None) one that runs now and gets an id of its own."""
        about = {"QUEUECTL_SCHEDULE": self.name}
        made = dict(self.job)
        if slot is not None:
            made = {"id": id_of(self.name, slot), **made}
            about["QUEUECTL_SLOT"] = f"{spell(slot)[:19]}Z"
        tag = f"{TAG}{self.name}"
        made["tags"] = [*(each for each in made.get("tags", ()) if each != tag), tag]
        made["env"] = {**made.get("env", {}), **about}
        return made


def read(settings: Settings) -> tuple[dict[str, Schedule], dict[str, InvalidSchedule]]:
    """Return the valid schedules, and the errors of the others, by name."""
    valid: dict[str, Schedule] = {}
    invalid: dict[str, InvalidSchedule] = {}
    for name, value in settings.schedules.items():
        try:
            valid[name] = check(name, value)
        except InvalidSchedule as error:
            invalid[name] = error
    return valid, invalid


def check(name: str, value: object) -> Schedule:
    """Read a schedule.

    Raises:
        InvalidSchedule.
    """
    check_name(name)

    def fail(field: str | None, words: str, hint: str | None = None) -> InvalidSchedule:
        path = (name,) if field is None else (name, field)
        return InvalidSchedule(path, f"schedule {name}: {words}", hint)

    if not isinstance(value, dict):
        raise fail(None, f"must be a mapping with cron or every, and job, not {quote(value)}")
    for field in value:
        if field not in FIELDS:
            meant = did_you_mean(str(field), FIELDS)
            is_of_job = not meant and meant_by(str(field)) == field
            hint = f"job: {{{field}: ...}}" if is_of_job else f"a schedule has {', '.join(FIELDS)}"
            words = f"{quote(field)} is a field of its job" if is_of_job else f"unknown field {quote(field)}{meant}"
            raise fail(str(field), words, hint)
    given = {field: each for field, each in value.items() if each is not None}
    if ("cron" in given) == ("every" in given):
        found = "both" if "cron" in given else "neither"
        raise fail(None, f'has either "cron" or "every"; this one has {found}', f"cron: {CRON}")
    for choice, choices in (("misfire", MISFIRE), ("overlap", OVERLAP)):
        if given.get(choice, choices[0]) not in choices:
            raise fail(choice, f"{choice} must be {_either(choices)}, not {quote(given[choice])}")
    _refuse_job(given.get("job"), fail)
    try:
        if "timezone" in given:
            zone_of(given["timezone"])
    except ValueError as error:
        raise fail(
            "timezone", f"timezone must be {error.args[0]}, not {quote(given['timezone'])}", error.args[1]
        ) from None
    try:
        return Schedule(name, given)
    except ValueError as error:
        timed = "cron" if "cron" in given else "every"
        words, hint = (error.args[0], *error.args[1:], None)[:2] if timed == "cron" else (EVERY, None)
        raise fail(timed, f"{timed} must be {words}, not {quote(given[timed])}", hint) from None


def check_name(name: str) -> None:
    """Raise InvalidSchedule for what cannot be the name of a schedule."""
    if not is_id(name) or "@" in name or len(name) > MOST_CHARS:
        raise InvalidSchedule((name,), f"{quote(name)} cannot be the name of a schedule: {NAME}")


def _either(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _refuse_job(job: object, fail: Callable[..., InvalidSchedule]) -> None:
    if not isinstance(job, dict):
        found = "this one has none" if job is None else f"not {quote(job)}"
        raise fail("job", f"job must be a mapping of the fields of a job; {found}", 'job: {command: "backup.sh"}')
    wrong = [
        fail("job", f"job cannot have {quote(field)}: {NOT_IN_JOBS[field]}") for field in job if field in NOT_IN_JOBS
    ]
    given = {field: value for field, value in job.items() if field not in NOT_IN_JOBS}
    try:
        checks = (refuse_misspelt, validate, partial(refuse_in_new, now=0.0, has_input=False))
        refuse_together(partial(check, given) for check in checks)
    except InvalidField as error:
        wrong += [fail("job", f"job: {each}", each.hint) for each in (error, *error.more)]
    if wrong:
        raise with_more(wrong)


def zone_of(name: object) -> Zone:
    """Return the offset of a time zone at an instant.

    Raises:
        ValueError: of words and a hint.
    """
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    words = 'the name of a time zone, for example "Europe/Berlin"'
    try:
        zone = ZoneInfo(name) if isinstance(name, str) else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        zone = None
    if zone is None:
        known = available_timezones()
        hint = "this machine has no data of time zones: install the system package tzdata, or pip install tzdata"
        if known:
            hint = (
                did_you_mean(str(name), sorted(known)).removeprefix("; ")
                or "they are listed by: timedatectl list-timezones"
            )
        raise ValueError(words, hint)

    from datetime import datetime

    def offset(instant: float) -> float:
        found = datetime.fromtimestamp(instant, zone).utcoffset()
        return 0.0 if found is None else found.total_seconds()

    return offset


def _local_offset(instant: float) -> float:
    """Return the offset of the machine's time zone: that of TZ, else of /etc/localtime."""
    return float(time.localtime(instant).tm_gmtoff)


def schedule_of(job_id: str, tags: object) -> dict[str, str | None] | None:
    """Return the name of the schedule that added a job, and the slot, null if it was run by hand; None when none did."""
    name = job_id.rpartition("@")[0]
    if not name or not isinstance(tags, (list, tuple)) or f"{TAG}{name}" not in tags:
        return None
    slot = slot_of(job_id)
    return {"name": name, "slot": None if slot is None else f"{spell(slot)[:19]}Z"}
