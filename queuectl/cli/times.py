"""times: instants as people type and read them, in the local time zone.

Guarantees: pure but for the local time zone; every form of the help (`90`, `10m`, RFC 3339, `HH:MM`, `tomorrow 02:00`)
            is read the same way wherever a time is asked for.
Fails with: UsageError, naming the option.
"""

from __future__ import annotations

import time

from queuectl.clock import END_S, FIRST_S, parse_instant
from queuectl.errors import UsageError
from queuectl.fields import LONGEST_S
from queuectl.units import parse_duration, quote, spell_duration

EXPECTED = 'a time: "10m", "14:30", "tomorrow 02:00", "2026-11-24 14:30" or RFC 3339'
DAYS = {"today": 0, "tomorrow": 1, "yesterday": -1}


def duration(option: str, text: str) -> float:
    """Read a duration: `90`, `10m`, `2h30m`, `3d`; none is longer than ten years."""
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option} must be {error}, not {quote(text)}") from None
    if found > LONGEST_S:
        raise UsageError(f"{option} must be from 0 to {LONGEST_S / 86400:g}d (ten years), not {quote(text)}")
    return found


def instant(option: str, text: str, now: float, *, past: bool = False) -> float:
    """Read a point in time.

    Args:
        past: durations and bare times of day lie before `now` (`--since 2h`) instead of after it (`--at 2h`).
    """
    found = _read(text.strip(), now, past)
    if found is None:
        raise UsageError(f"{option} must be {EXPECTED}, not {quote(text)}")
    if not FIRST_S <= found < END_S:
        raise UsageError(f"{option} must lie in the years 0001 to 9999, not {quote(text)}")
    return found


def _read(text: str, now: float, past: bool) -> float | None:
    try:
        return parse_instant(text)
    except ValueError:
        pass
    try:
        away = parse_duration(text)
        return now - away if past else now + away
    except ValueError:
        pass
    today = time.localtime(now)[:3]
    day, _, clock = text.replace("T", " ").partition(" ")
    if day == "now" and not clock:
        return now
    if day in DAYS:
        return _local((today[0], today[1], today[2] + DAYS[day]), clock or "00:00")
    if ":" in day and not clock:
        found = _local(today, day)
        if found is not None and (found > now) == past:  # the next such time of day, or the last
            found = _local((today[0], today[1], today[2] + (-1 if past else 1)), day)
        return found
    parts = day.split("-")
    if [len(part) for part in parts] != [4, 2, 2] or not all(_is_digits(part) for part in parts):
        return None
    year, month, number = map(int, parts)
    found = _local((year, month, number), clock or "00:00")
    return found if found is not None and time.localtime(found)[1:3] == (month, number) else None


def _local(date: tuple[int, ...], clock: str) -> float | None:
    """Return the instant of a local date and time of day; days may run over the end of a month."""
    parts = clock.split(":")
    if len(parts) not in (2, 3) or not all(_is_digits(part) and len(part) <= 2 for part in parts):
        return None
    hour, minute, second = [*map(int, parts), 0][:3]
    if hour > 23 or minute > 59 or second > 59:
        return None
    try:
        return time.mktime((*date, hour, minute, second, 0, 0, -1))  # type: ignore[arg-type]
    except (OverflowError, ValueError):
        return None


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def ago(instant: float, now: float) -> str:
    """Say how far away an instant is: "in 38s", "2m 05s ago"."""
    away = spell_duration(abs(instant - now))
    return f"in {away}" if instant > now else f"{away} ago"


def short(instant: float, now: float) -> str:
    """Write an instant as briefly as it is clear: "14:01:58" today, "Nov 22 14:01" this year, else the date."""
    then, today = time.localtime(instant), time.localtime(now)
    if then[:3] == today[:3]:
        return time.strftime("%H:%M:%S", then)
    if then.tm_year == today.tm_year:
        return f"{MONTHS[then.tm_mon - 1]} {then.tm_mday:2} {time.strftime('%H:%M', then)}"
    return time.strftime("%Y-%m-%d", then)


def full(instant: float) -> str:
    """Write an instant with date and zone: "2026-11-24 14:01:58 +0100"."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(instant))


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
