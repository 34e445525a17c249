"""recurrence: at which instants a schedule makes jobs, and which of those that have passed it still makes.

Guarantees: pure; the zone is a function that is given. Slots are whole seconds, and strictly ascending. Clock changes as
            Debian's cron: a fixed time that is skipped comes right after the gap, and one that is repeated comes once;
            with a wildcard in minutes or hours, and for intervals, elapsed time counts.
Fails with: ValueError(words, hint), whose words go on after "must be".
Source:     crontab(5) and cron(8) of Debian; cronsim, which is asked about local times only, because its own handling of
            clock changes assumes whole hours (Lord Howe has half an hour).
"""

from __future__ import annotations

from queuectl.clock import END_S, spell
from queuectl.units import LONGEST_S, parse_duration, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cronsim import CronSim

    Zone = Callable[[float], float]  # the offset of local time from UTC, in seconds, at an instant

MOST_AT_ONCE = 1000  # slots that are caught up with, `misfire: all`
ON_TIME_S = 60.0  # a slot whose job is made later has been missed
DAY_S = 86400.0
NEAR_S = 2 * DAY_S  # longer than any change of a clock: Samoa skipped a day
LONGEST_EXPRESSION = 120
LAST_S = END_S - 366 * DAY_S
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
PARTS = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31",
    "month": "1 to 12 or JAN to DEC",
    "day-of-week": "0 to 7 or SUN to SAT",
}
CRON = 'a cron expression with five fields, minute hour day month weekday, for example "30 2 * * *", or @daily'
EVERY = 'a duration of whole seconds, at most ten years, for example "15m"'


class Every:
    """Slots at all multiples of an interval since 1970-01-01T00:00:00Z, so that every program finds the same ones."""

    __slots__ = ("seconds",)

    def __init__(self, value: object) -> None:
        """Read the interval.

        Raises:
            ValueError.
        """
        seconds = parse_duration(value) if isinstance(value, str) else value
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise ValueError(EVERY)
        if not 1 <= seconds <= LONGEST_S or seconds != int(seconds):
            raise ValueError(EVERY)
        self.seconds = int(seconds)

    def after(self, instant: float) -> float | None:
        """Return the first slot later than an instant."""
        found = (int(instant // self.seconds) + 1) * self.seconds
        return float(found) if found < LAST_S else None


class Cron:
    """Slots by a cron expression in a time zone."""

    __slots__ = ("_is_fixed", "_sim", "_text", "_zone")

    def __init__(self, expression: object, zone: Zone) -> None:
        """Read the expression.

        Raises:
            ValueError.
        """
        self._text = _expression_of(expression)
        self._zone = zone
        minute, hour = self._text.split()[:2]
        self._is_fixed = not minute.startswith("*") and not hour.startswith("*")
        self._sim: CronSim | None = None
        self._local_after(0.0)

    def after(self, instant: float) -> float | None:
        """Return the first slot later than an instant; None when the expression never matches."""
        at, local = instant, instant + self._zone(instant)
        if self._is_fixed:  # in a repeated hour what it repeats is over
            change = self._change(at - DAY_S, at)
            back = 0.0 if change is None else self._zone(change - 1) - self._zone(change)
            if change is not None and at < change + back:
                at = change + back
                local = at + self._zone(at) - 1
        while at < LAST_S:
            offset = self._zone(at)
            match = self._local_after(local)
            if match is None:
                return None
            found = match - offset
            near = min(found, at + NEAR_S)
            change = self._change(at, near)
            if change is None and found <= near:
                return found
            if change is None:  # no clock change before that repeats a local time which matches
                at = found - NEAR_S / 2
                local = at + self._zone(at)
                continue
            ahead = self._zone(change) - offset
            if self._is_fixed and ahead > 0 and match < change + self._zone(change):
                return change
            at = change if not self._is_fixed or ahead > 0 else change - ahead
            local = at + self._zone(at) - 1
        return None

    def _change(self, start: float, end: float) -> float | None:
        """Return the first instant in (start, end] at which the offset is not that at `start`; None when it stays.

        At most one change is looked for: NEAR_S has no two.
        """
        offset = self._zone(start)
        if end <= start or self._zone(end) == offset:
            return None
        low, high = int(start), int(-(-end // 1))
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._zone(middle) == offset else (low, middle)
        return float(high)

    def _local_after(self, local: float) -> float | None:
        """Return the first local time later than this that the expression matches; both in seconds since 1970."""
        from datetime import datetime, timedelta

        from cronsim import CronSim, CronSimError

        start = datetime(1970, 1, 1) + timedelta(seconds=int(local // 1))  # noqa: DTZ001  # a local time
        try:
            if self._sim is None:
                self._sim = CronSim(self._text, start)
            self._sim.dt = start
            found = next(self._sim)
        except CronSimError as error:
            raise ValueError(CRON, _hint_of(str(error), self._text)) from None
        except (StopIteration, OverflowError):
            return None
        return (found - datetime(1970, 1, 1)).total_seconds()  # noqa: DTZ001


def _expression_of(value: object) -> str:
    if not isinstance(value, str) or not value.isascii() or len(value) > LONGEST_EXPRESSION:
        raise ValueError(CRON)
    text = value.strip()
    if text.startswith("@"):
        if text.lower() not in NICKNAMES:
            raise ValueError(CRON, f"the words are {', '.join(NICKNAMES)}")
        return NICKNAMES[text.lower()]
    fields = text.split()
    if len(fields) == 6:
        raise ValueError(CRON, "it has six; cron has no field for seconds: give an interval instead, as every: 30s")
    if len(fields) != 5:
        raise ValueError(CRON)
    return " ".join(fields)


def _hint_of(message: str, text: str) -> str | None:
    """Return what is wrong with an expression; `message` is "Bad hour"."""
    for number, (part, values) in enumerate(PARTS.items()):
        if message.endswith(part):
            day, month = text.split()[2:4]
            if part == "day-of-month" and day in ("30", "31"):
                return f"month {month} has no day {day}"
            return f"{quote(text.split()[number])} is not a valid {part}: {values}"
    return None


def due(recurrence: Every | Cron, last: float, now: float, most: int) -> list[float]:
    """Return the slots later than `last` and not later than `now`, in order; of more than `most`, the newest.

    Cost: the time since `last` does not matter, for it is searched from its end.
    """
    width = ON_TIME_S
    while True:
        start = max(last, now - width)
        found: list[float] = []
        at = recurrence.after(start)
        while at is not None and at <= now:
            found.append(at)
            at = recurrence.after(at)
        if len(found) >= most or start <= last:
            return found[-most:]
        width *= 4


def to_make(misfire: str, slots: list[float], now: float) -> list[float]:
    """Return those of the due slots whose jobs are made; the others are missed.

    The newest is on time until ON_TIME_S after it. All before it have been missed.
    """
    if misfire == "all":
        return slots[-MOST_AT_ONCE:]
    newest = slots[-1:]
    return newest if misfire == "once" else [slot for slot in newest if now - slot <= ON_TIME_S]


# --- the id of a slot's job


def id_of(name: str, slot: float) -> str:
    """Return the id of the job of a slot: NAME@20261130T013000Z."""
    return f"{name}@{spell(slot)[:19].replace('-', '').replace(':', '')}Z"


def slot_of(job_id: str) -> float | None:
    """Return the slot of the job that has this id; None when it is not the id of one."""
    from queuectl.clock import parse_instant

    text = job_id.rpartition("@")[2]
    if len(text) != 16 or text[8] != "T" or text[15] != "Z" or not (text[:8] + text[9:15]).isdigit():
        return None
    date = f"{text[:4]}-{text[4:6]}-{text[6:8]}"
    try:
        return parse_instant(f"{date}T{text[9:11]}:{text[11:13]}:{text[13:15]}Z")
    except ValueError:
        return None
