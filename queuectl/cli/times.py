"""times: the options of a command line that hold a time, and instants as people read them, in the local time zone.

Fails with: UsageError, naming the option.
"""

from __future__ import annotations

import time

from queuectl.errors import UsageError
from queuectl.units import LONGEST_S, is_decimal, quote, spell_duration


def duration(option: str, text: str) -> float:
    """Read a duration: `90`, `10m`, `2h30m`, `3d`; none is longer than ten years."""
    from queuectl.times import read_duration

    try:
        return read_duration(text)
    except ValueError as error:
        raise UsageError(f"{option} must be {error}, not {quote(text)}") from None


def instant(option: str, text: str, now: float, *, past: bool = False) -> float:
    """Read a point in time.

    Args:
        past: durations and bare times of day lie before `now` (`--since 2h`) instead of after it (`--at 2h`).
    """
    from queuectl.times import read_instant

    try:
        return read_instant(text, now, past=past)
    except ValueError as error:
        raise UsageError(f"{option} must be {error}, not {quote(text)}") from None


def refuse_bare_number(option: str, text: str) -> None:
    """Refuse "30", which is 30 seconds, where a command deletes or changes what lies before that time; 0 and dates are clear.

    Raises:
        UsageError.
    """
    if is_decimal(text.strip()) and 0 < float(text) <= LONGEST_S:
        number = text.strip()
        hint = f"{number}d is days, {number}h hours, {number}s seconds"
        raise UsageError(f'{option} "{number}" has no unit', hint)


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
