"""capacities: the settings that limit what runs at once: `queues` and `resources`.

Guarantees: pure. What `spell` writes, `parse` reads back; it is JSON, which is YAML too.
Fails with: ValueError, whose text goes on after the setting's name.
"""

from __future__ import annotations

from queuectl.ids import is_id
from queuectl.units import parse_duration, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST_UNITS = 1_000_000
RESOURCES = 'names with how many units there are, for example {"gpu": 2}'
QUEUES = 'names with "concurrency" and "rate", for example {"encode": {"concurrency": 2, "rate": "10/1m"}}'
EXPECTED = {"resources": RESOURCES, "queues": QUEUES}
RATE = 'how many starts in which time, for example "10/1m" or "2/1s"'


def parse(kind: str, text: str) -> dict[str, Any]:
    """Read JSON, or for resources also "gpu=2,license=5"; nothing means none."""
    import json

    if text.lower() in ("", "none", "null", "~"):
        return {}
    if kind == "resources" and "=" in text and not text.startswith("{"):
        pairs = (part.partition("=") for part in text.split(","))
        return check(kind, {name.strip(): _number(units.strip()) for name, _, units in pairs})
    try:
        return check(kind, json.loads(text))
    except json.JSONDecodeError:
        raise ValueError(f"must be {EXPECTED[kind]}, not {quote(text)}") from None


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text


def check(kind: str, value: object) -> dict[str, Any]:
    """Return the value of a setting as JSON or YAML gave it."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"must be {EXPECTED[kind]}, not {quote(value)}")
    for name in value:
        if not is_id(name):
            raise ValueError(f"has {quote(name)}, which cannot be a name")
    if kind == "resources":
        return {name: _units(name, units, 0) for name, units in value.items()}
    return {name: _queue(name, limits) for name, limits in value.items()}


def _units(name: str, value: object, low: int) -> int:
    if type(value) is not int or not low <= value <= MOST_UNITS:
        raise ValueError(f'has "{name}", which must be an integer from {low} to {MOST_UNITS:,}, not {quote(value)}')
    return value


def _queue(name: str, value: object) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f'has "{name}", which must be an object with "concurrency" and "rate", not {quote(value)}')
    made: dict[str, Any] = {}
    for key, limit in value.items():
        if limit is None:
            continue
        if key == "concurrency":
            made[key] = _units(f"{name}.concurrency", limit, 1)
        elif key == "rate":
            rate_of(limit, name)
            made[key] = limit
        else:
            raise ValueError(f'has "{name}.{key}"; a queue has "concurrency" and "rate"')
    return made


def rate_of(text: object, name: str = "rate") -> tuple[int, float]:
    """Return how many jobs may start in how many seconds, from "10/1m"."""
    count, slash, period = text.partition("/") if isinstance(text, str) else ("", "", "")
    number = _number(count.strip())
    try:
        seconds = parse_duration(period.strip() if period.strip()[:1].isdigit() else f"1{period.strip()}")
    except ValueError:
        seconds = 0.0
    if not slash or not isinstance(number, int) or number < 1 or seconds <= 0:
        raise ValueError(f'has "{name}.rate", which must be {RATE}, not {quote(text)}')
    return number, seconds


def spell(value: dict[str, Any]) -> str:
    """Write a value on one line."""
    import json

    return json.dumps(value, ensure_ascii=False)
