"""units: how durations and sizes are spelled, and how a value is shown in a message.

Guarantees: pure; `parse_duration` reads what `spell_duration` writes, `parse_size` what `spell_size` writes
            (as precisely as it was written).
Fails with: ValueError, whose text says what was expected.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_S = 10 * 365 * 86400.0  # no duration may be longer: ten years
SHOWN_CHARACTERS = 60
UNITS_S = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
SPELLINGS = {
    "w": ("w", "week", "weeks"),
    "d": ("d", "day", "days"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "m": ("m", "min", "mins", "minute", "minutes"),
    "s": ("s", "sec", "secs", "second", "seconds"),
    "ms": ("ms", "msec", "msecs", "millisecond", "milliseconds"),
}
UNIT_OF = {spelling: unit for unit, spellings in SPELLINGS.items() for spelling in spellings}
AMBIGUOUS = ("M", "MS", "Ms")
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
NEXT_UNIT = {"h": "m", "m": "s"}  # 1h30 is 1h30m, 2m30 is 2m30s
# Units of sizes are powers of 1024 everywhere: KiB is what is shown; K, KB and KiB mean the same where a size is typed.
UNITS_BYTES = {"": 1, "b": 1} | {unit + end: 1 << 10 * n for n, unit in enumerate("kmgt", 1) for end in ("", "b", "ib")}


EXPECTED = 'a duration: seconds, or as "90s", "10m", "2h30m", "3d"'
NO_MONTHS = "m is minutes; months are not supported: 30d"


class AmbiguousUnit(ValueError):
    """A duration whose unit has another meaning elsewhere: M is a month, Ms a megasecond."""


def parse_duration(text: str) -> float:
    """Read a duration: seconds ("90", "0.5") or units from the greatest down ("2h30m", "1h30", "5 minutes", "500ms").

    Capital letters mean the same, except that a capital M is refused, unless hours before it show that it is minutes.

    Raises:
        ValueError: not such a duration; the text says what was expected.
    """
    rest, total, allowed = text.strip(), 0.0, list(UNITS_S)
    if is_decimal(rest):
        return float(rest)
    last = ""
    while rest:
        number, rest = _split(rest, "0123456789.")
        name, rest = _split(rest.lstrip(), LETTERS)
        unit = UNIT_OF.get(name.lower())
        if not name and not rest and number.isdigit() and int(number) < 60:
            unit = NEXT_UNIT.get(last)
        if not is_decimal(number) or unit not in allowed:
            break
        if name in AMBIGUOUS and last != "h":
            raise AmbiguousUnit(f"{EXPECTED} ({NO_MONTHS})")
        total += float(number) * UNITS_S[unit]
        allowed = allowed[allowed.index(unit) + 1 :]
        last, rest = unit, rest.lstrip()
        if not rest:
            return total
    raise ValueError(EXPECTED)


def _split(text: str, characters: str) -> tuple[str, str]:
    """Cut a text after the last of its leading characters that are among `characters`."""
    end = next((i for i, c in enumerate(text) if c not in characters), len(text))
    return text[:end], text[end:]


def parse_size(text: str) -> int:
    """Read a size: bytes ("4096") or with a unit ("64MiB", "1.5 GB", "10M"); units are powers of 1024.

    Raises:
        ValueError: not such a size; the text says what was expected.
    """
    rest = text.strip().lower()
    number, unit = _split(rest, "0123456789.")
    unit = unit.strip()
    if not is_decimal(number) or unit not in UNITS_BYTES:
        raise ValueError('a size: bytes, or as "64MiB", "1GiB"')
    # Whole numbers stay integers: a float could not hold every one of them.
    return int(number) * UNITS_BYTES[unit] if number.isdigit() else round(float(number) * UNITS_BYTES[unit])


def spell_duration(seconds: float) -> str:
    """Write a duration for people, in at most two units: "0.3s", "42s", "1m 02s", "2h 05m", "3d 4h"."""
    if seconds < 0:
        return "-" + spell_duration(-seconds)
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02}m"
    return f"{whole // 86400}d {whole % 86400 // 3600}h"


def spell_size(size_bytes: float) -> str:
    """Write a size for people, units being powers of 1024: "512 B", "1.5 KiB", "212 MiB"."""
    value, units = float(size_bytes), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1024
        del units[0]
    number = f"{value:.1f}".removesuffix(".0") if value < 9.95 else f"{value:.0f}"
    return f"{number} {units[0]}"


def spell_exact_size(size_bytes: int) -> str:
    """Write a size so that it reads back exactly: "64MiB" when it comes out even, else bytes."""
    for unit, factor in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes and size_bytes % factor == 0:
            return f"{size_bytes // factor}{unit}"
    return str(size_bytes)


def quote(value: object) -> str:
    """Show a value in a message: text in quotes, control characters escaped, cut to 60 characters."""
    text = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else repr(value)
    text = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return f'"{shown}"' if isinstance(value, str) else shown


def is_decimal(text: str) -> bool:
    """Tell whether `text` is digits with at most one point; `float` would also take "inf", "1_0" and Arabic digits."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    return digits.isascii() and digits.isdigit() and len(digits) <= SHOWN_CHARACTERS


def listed(names: Sequence[str], most: int) -> str:
    """Return "a, b, c"; of more than `most` the first ones and how many more there are: "a, b and 1,284 more"."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def plural(count: int, noun: str) -> str:
    """Return "1 job", "1,284 jobs"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
