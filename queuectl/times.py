"""times: points in time and durations as people type them; times without a zone are local.

Guarantees: the command line, Queue and the web read a time in the same way. A local time that a clock change repeats
            is the first of the two; one that a clock change skips is the first instant after the gap.
Fails with: ValueError, whose text completes the sentence "it must be ...".
Source:     at(1), systemd.time(7), date(1) and its output; RFC 3339; PEP 495 (fold).
"""

from __future__ import annotations

import re
import time
from datetime import date, datetime, timedelta, timezone, tzinfo
from datetime import time as time_of_day

from queuectl.clock import END_S, FIRST_S, parse_instant
from queuectl.units import LONGEST_S, NO_MONTHS, AmbiguousUnit, is_decimal, parse_duration

EXPECTED = 'a time: "10m", "14:30", "tomorrow 02:00", "2026-11-24 14:30" or RFC 3339'
UNIX_TIME = 'a time: a number is seconds from now, at most ten years; a Unix time is written "@1800000000"'
IN_CALENDAR = "in the years 0001 to 9999 (a Unix time is in seconds)"
UNIX_TIME_DIGITS = 10  # a bare number of so many digits: seconds since 1970, from the year 2001 to 2286

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
DAYS = {"today": 0, "tomorrow": 1, "yesterday": -1}
CLOCKS = {"noon": "12:00", "midnight": "00:00"}
FILLERS = ("at", "on")

CLOCK = r"(?P<{0}hour>\d{{1,2}})(?::(?P<{0}minute>\d\d)(?::(?P<{0}second>\d\d)(?:[.,](?P<{0}fraction>\d{{1,9}}))?)?)?"
WHOLE_CLOCK = re.compile(CLOCK.format("") + r"\s*(?P<half>[ap]m)?", re.ASCII | re.IGNORECASE)
TOKEN = re.compile(
    r"""[\s,]*(?:
      (?P<date>\d{4}-\d\d-\d\d) (?=[t\s]|$)
    | t?(?P<clock>\d{1,2}:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:\s*[ap]m)? | \d{1,2}\s*[ap]m) (?![\d:])
    | (?P<offset>[+-]\d\d(?::?\d\d)?) (?![\d:])
    | (?P<year>\d{4}) (?![\d:])
    | (?P<day>\d{1,2}) (?![\w:])
    | (?P<zone>[a-z_]+/[a-z0-9_/+-]+)
    | (?P<word>[a-z]+)
    )""",
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)

BASIC = re.compile(  # ISO 8601 without separators, as of: date -u +%Y%m%dT%H%M%SZ
    r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(?:(\d\d)(?:[.,](\d{1,9}))?)?(Z|[+-]\d\d(?::?\d\d)?)?", re.ASCII | re.IGNORECASE
)
# "17h30" is a time of day in French and a duration elsewhere; "1h30", with one digit, is a duration everywhere.
HOURS_MINUTES = re.compile(r"(\d\d)\s*h\s*(\d\d)", re.ASCII | re.IGNORECASE)

Parts = dict[str, str]


def read_duration(text: str) -> float:
    """Return the seconds of a duration ("90", "5 minutes", "1h30", "500ms"); none is longer than ten years.

    Raises:
        ValueError: the text says what was expected.
    """
    seconds = parse_duration(text)
    if seconds > LONGEST_S:
        raise ValueError(f"from 0 to {LONGEST_S / 86400:g}d (ten years)")
    return seconds


def read_instant(text: str, now: float, *, past: bool = False) -> float:
    """Return the point in time that `text` names, in seconds since 1970.

    Args:
        past: durations, times of day and weekdays lie before `now` (`--since 2h`) instead of after it (`--at 2h`).

    Raises:
        ValueError: the text says what was expected.
    """
    try:
        found = _read(text.strip(), now, past)
    except OverflowError:
        raise ValueError(IN_CALENDAR) from None
    if found is None:
        raise ValueError(EXPECTED)
    if not FIRST_S <= found < END_S:
        raise ValueError(IN_CALENDAR)
    return found


def _read(text: str, now: float, past: bool) -> float | None:
    if text[:1] == "@":
        return float(text[1:]) if is_decimal(text[1:]) else None
    if is_decimal(text):
        return _number(text, now, past)
    if (found := HOURS_MINUTES.fullmatch(text)) is not None and int(found[1]) < 24 and int(found[2]) < 60:
        raise ValueError(
            f'a time: the time of day is written "{found[1]}:{found[2]}", the duration "{found[1]}h{found[2]}m"'
        )
    text = _with_separators(text)
    try:
        return parse_instant(text)
    except ValueError:
        pass
    distance = _distance(text, past)
    if distance is not None:
        return now + distance
    parts = _parts(text)
    return None if parts is None else _resolve(parts, now, past)


def _with_separators(text: str) -> str:
    """Return "20261201T100000Z" as "2026-12-01T10:00:00Z"; any other text as it is."""
    found = BASIC.fullmatch(text)
    if found is None:
        return text
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    seconds = "" if second is None else f":{second}" + ("" if fraction is None else f".{fraction}")
    return f"{year}-{month}-{day}T{hour}:{minute}{seconds}{zone or ''}"


def _number(text: str, now: float, past: bool) -> float:
    """Read a number without a unit: seconds from now, or a Unix time if no duration can be that long."""
    number = float(text)
    if len(text) == 8 and text[:2] in ("19", "20"):  # date(1) takes it for a day: nobody means seconds
        raise ValueError(f'a time: a date is written "{text[:4]}-{text[4:6]}-{text[6:]}", seconds "{text}s"')
    if number <= LONGEST_S:
        return now - number if past else now + number
    if len(text.partition(".")[0]) != UNIX_TIME_DIGITS:
        raise ValueError(UNIX_TIME)
    return number


def _distance(text: str, past: bool) -> float | None:
    """Return the seconds from now that "2h", "+2h", "in 2h", "now + 2h", "-2h" or "2h ago" names."""
    if not text.isascii():
        return None
    lower, sign = text.lower(), -1 if past else 1
    if lower == "now":
        return 0.0
    if lower.startswith("now"):
        text = text[3:].lstrip()
        lower = text.lower()
    if text[:1] == "+":
        text, sign = text[1:], 1
    elif lower.startswith("in "):
        text, sign = text[3:], 1
    elif past and text[:1] == "-":
        text = text[1:]
    elif past and lower.endswith(" ago"):
        text = text[:-4]
    try:
        return sign * parse_duration(text)
    except AmbiguousUnit:
        raise ValueError(f"{EXPECTED} ({NO_MONTHS})") from None
    except ValueError:
        return None


# --- dates and times of day


def _parts(text: str) -> Parts | None:
    """Return the parts of a date and time of day by kind; None for text that holds anything else, or a part twice."""
    parts: Parts = {}
    at = 0
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            return None
        kind, value = found.lastgroup, found[found.lastgroup]
        if kind == "word":
            kind, value = _kind_of(value)
        if kind in parts:
            return None
        if kind != "filler":
            parts[kind] = value
        at = found.end()
    return parts


def _kind_of(word: str) -> tuple[str, str]:
    lower = word.lower()
    if lower in CLOCKS:
        return "clock", CLOCKS[lower]
    if lower in FILLERS:
        return "filler", lower
    if lower in DAYS:
        return "relative", lower
    if lower in ("next", "last"):
        return "which", lower
    for kind, names in (("weekday", WEEKDAYS), ("month", MONTHS)):
        for number, name in enumerate(names):
            if len(lower) >= 3 and name.startswith(lower):
                return kind, str(number)
    return "zone", word


def _resolve(parts: Parts, now: float, past: bool) -> float | None:
    kinds = set(parts) - {"clock", "zone", "offset"}
    if {"zone", "offset"} <= set(parts):
        return None
    clock = _clock(parts.get("clock", "00:00"))
    if "clock" not in parts and (not kinds or kinds != set(parts)):  # nothing, or a zone without a time of day
        return None
    zone, abbreviation = _zone(parts)
    today = datetime.fromtimestamp(now, zone).date()
    if not kinds or kinds in ({"weekday"}, {"weekday", "which"}):
        if "which" in parts:
            past = parts["which"] == "last"
        near = [today + timedelta(days) for days in range(-8, 9)]
        fitting = [day for day in near if "weekday" not in parts or day.weekday() == int(parts["weekday"])]
        return _nearest([_instant(day, clock, zone, fold) for day in fitting for fold in (0, 1)], now, past)
    day = _date(parts, kinds - {"weekday"}, today, past)
    if day is None:
        return None
    if "weekday" in parts and day.weekday() != int(parts["weekday"]):
        raise ValueError(f"a date and its weekday ({day} is a {WEEKDAYS[day.weekday()].capitalize()})")
    if not abbreviation:
        return _instant(day, clock, zone, 0)
    for fold in (0, 1):
        found = _instant(day, clock, zone, fold)
        if time.localtime(found).tm_zone == abbreviation:
            return found
    raise _unknown_zone(abbreviation)


def _nearest(instants: list[float], now: float, past: bool) -> float:
    return max(at for at in instants if at <= now) if past else min(at for at in instants if at > now)


def _date(parts: Parts, kinds: set[str], today: date, past: bool) -> date | None:
    try:
        if kinds == {"date"}:
            return date.fromisoformat(parts["date"])
        if kinds == {"relative"}:
            return today + timedelta(DAYS[parts["relative"]])
        if kinds == {"month", "day", "year"}:
            return date(int(parts["year"]), int(parts["month"]) + 1, int(parts["day"]))
        if kinds == {"month", "day"}:  # the next such day, or the last; today is both
            years = range(today.year, today.year + (-9 if past else 9), -1 if past else 1)
            days = [_day_of(year, int(parts["month"]) + 1, int(parts["day"])) for year in years]
            fitting = [day for day in days if day is not None and (day <= today if past else day >= today)]
            if not fitting:
                raise ValueError
            return fitting[0]
    except ValueError:
        named = parts.get("date") or " ".join(parts[kind] for kind in ("day", "month", "year") if kind in parts)
        if "month" in parts:
            named = named.replace(f" {parts['month']}", f" {MONTHS[int(parts['month'])].capitalize()}", 1)
        raise ValueError(f"a day that exists (there is no {named})") from None
    return None


def _day_of(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _clock(text: str) -> time_of_day:
    found = WHOLE_CLOCK.fullmatch(text)
    if found is None:
        raise ValueError(EXPECTED)
    hour, minute, second = int(found["hour"]), int(found["minute"] or 0), int(found["second"] or 0)
    micros = int(f"{found['fraction'] or '':0<6}"[:6])
    if found["half"]:
        if not 1 <= hour <= 12:
            raise ValueError(f"a time of day that exists (there is no {text})")
        hour = hour % 12 + (12 if found["half"].lower() == "pm" else 0)
    try:
        return time_of_day(hour, minute, second, micros)
    except ValueError:
        midnight = '; the end of a day is "00:00" of the next' if hour == 24 else ""
        raise ValueError(f"a time of day that exists (there is no {text}{midnight})") from None


# --- zones and clock changes


def _zone(parts: Parts) -> tuple[tzinfo | None, str]:
    """Return the time zone, None for the local one; with it the abbreviation of a local zone that was named."""
    if "offset" in parts:
        sign, digits = parts["offset"][0], parts["offset"][1:].replace(":", "")
        hours, minutes = int(digits[:2]), int(digits[2:] or 0)
        if hours > 23 or minutes > 59:
            raise ValueError(EXPECTED)
        return timezone(timedelta(minutes=(hours * 60 + minutes) * (-1 if sign == "-" else 1))), ""
    name = parts.get("zone", "")
    if name.upper() in ("Z", "UTC", "GMT"):
        return timezone.utc, ""
    if "/" not in name:
        if name and name not in time.tzname:
            raise _unknown_zone(name) if name.isupper() else ValueError(EXPECTED)
        return None, name
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name), ""
    except (KeyError, ValueError, OSError):
        raise _unknown_zone(name) from None


def _unknown_zone(name: str) -> ValueError:
    return ValueError(f'a time whose zone is known here, as "+01:00", "UTC" or "Europe/Berlin" (not {name})')


def _instant(day: date, clock: time_of_day, zone: tzinfo | None, fold: int) -> float:
    """Return the instant at which the clocks of a zone show this; `fold` is 1 for the second of two."""
    shown = datetime.combine(day, clock, zone)
    try:
        first, second = shown.replace(fold=0).timestamp(), shown.replace(fold=1).timestamp()
    except (ValueError, OverflowError):  # at the ends of the calendar, where datetime cannot look for clock changes
        if zone is not None:
            raise OverflowError from None
        return time.mktime(shown.timetuple())
    if first <= second:
        return second if fold else first
    # The clocks skip it. `second` lies before the change, `first` after it: search the first second after.
    before, low, high = _offset(second, zone), int(second), int(first)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
    return float(high)


def _offset(instant: float, zone: tzinfo | None) -> timedelta | None:
    return datetime.fromtimestamp(instant, timezone.utc).astimezone(zone).utcoffset()
