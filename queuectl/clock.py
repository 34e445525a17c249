"""clock: wall and monotonic time, and how instants are spelled.

Owns:       `time`; nothing else in the project asks for the current time except through a Clock.
Guarantees: instants are seconds since 1970 as float, UTC; spelled RFC 3339 with `Z` and microseconds. What `spell`
            writes, `parse_instant` reads: there are no instants outside the years 0001 to 9999.
Source:     RFC 3339 §5.6.
"""

from __future__ import annotations

import time

FIRST_S, END_S = -62135596800.0, 253402300800.0  # the years 0001 to 9999: RFC 3339 has four digits for them
SPELLED_CHARS = 27  # of an instant as `spell` writes it
SECONDS_MAX = 1024
_seconds: dict[str, int] = {}  # the beginnings of spelled instants: many jobs name the same second
_instants: dict[str, float] = {}  # those of one job are asked for several times while it is read, judged and shown
INSTANTS_MAX = 1024
_second = (-1, "")
EXPECTED = 'an RFC 3339 instant with a zone, as "2026-11-24T14:01:58Z"'


class Clock:
    """The real time. Tests hand in a clock of their own."""

    __slots__ = ()

    def now(self) -> float:
        """Return wall time: seconds since 1970, UTC. May jump."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds on a clock that never jumps; only differences mean something."""
        return time.monotonic()


def spell(instant: float) -> str:
    """Write an instant as RFC 3339: `2026-11-24T14:01:58.120000Z`; one that has no spelling as the nearest that has."""
    micros = _micros(instant)
    seconds, fraction = divmod(micros, 1_000_000)
    year, month, day, hour, minute, second = time.gmtime(seconds)[:6]
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z"


def as_spelled(instant: float) -> float:
    """Return the instant that is read where this one was written: a file's mtime is finer, and may be out of reach."""
    return _micros(instant) / 1_000_000


def _micros(instant: float) -> int:
    return round(max(FIRST_S, min(instant, END_S - 1)) * 1_000_000)


def parse_instant(text: str) -> float:
    """Read an RFC 3339 instant with a zone.

    Raises:
        ValueError: not such an instant; the text says what was expected.
    """
    if (
        len(text) == SPELLED_CHARS
        and text[19] == "."
        and text[26] == "Z"
        and text[20:26].isdecimal()
        and text.isascii()
    ):
        second = _seconds.get(text[:19])
        if second is not None:
            return (second * 1_000_000 + int(text[20:26])) / 1_000_000
    instant = _parse(text)
    if (
        len(text) == SPELLED_CHARS and text[26] == "Z" and instant < END_S - 1
    ):  # a fraction can round the last second up
        if len(_seconds) >= SECONDS_MAX:
            _seconds.clear()
        _seconds[text[:19]] = int(_parse(f"{text[:19]}Z"))
    return instant


def _parse(text: str) -> float:
    from datetime import datetime

    if not text.isascii() or len(text) < 20 or text[10] not in "Tt ":
        raise ValueError(EXPECTED)
    date, rest = text[:10], text[11:]
    zone_at = next((i for i, c in enumerate(rest) if c in "Zz+-"), -1)
    if zone_at < 8:
        raise ValueError(EXPECTED)
    clock, zone = rest[:zone_at], rest[zone_at:]
    whole, _, fraction = clock.partition(".")
    if fraction and not fraction.isdigit():
        raise ValueError(EXPECTED)
    zone = "+00:00" if zone in "Zz" else zone
    if len(whole) != 8 or len(zone) != 6 or zone[4] > "5" or (len(clock) > 8 and not fraction):
        raise ValueError(EXPECTED)
    if not (date[:4] + date[5:7] + date[8:]).isdigit():  # some versions of Python read weeks too: 2026-W47-2
        raise ValueError(EXPECTED)
    micros = f".{fraction[:6]:0<6}" if fraction else ""
    try:
        instant = datetime.fromisoformat(f"{date}T{whole}{micros}{zone}").timestamp()
    except (ValueError, OverflowError):
        is_leap = whole.endswith(":60")
        raise ValueError(f"{EXPECTED}, and not a leap second" if is_leap else EXPECTED) from None
    if not FIRST_S <= instant < END_S:
        raise ValueError(f"{EXPECTED}, in the years 0001 to 9999 of UTC")
    return instant


def instant_of(text: str) -> float:
    """Return an RFC 3339 instant as seconds since 1970; raises ValueError."""
    at = _instants.get(text)
    if at is None:
        at = parse_instant(text)
        _remember(text, at)
    return at


def stamp(now: float) -> str:
    """Spell the present instant; most come in a second that has been spelled just before."""
    global _second  # noqa: PLW0603 - a cache of one
    micros = round(now * 1_000_000)
    second, fraction = divmod(micros, 1_000_000)
    if second != _second[0]:
        _second = (second, spell(second).partition(".")[0])
    text = f"{_second[1]}.{fraction:06}Z"
    _remember(text, micros / 1_000_000)
    return text


def _remember(text: str, at: float) -> None:
    if len(_instants) >= INSTANTS_MAX:
        _instants.clear()
    _instants[text] = at
