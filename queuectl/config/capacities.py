"""capacities: the settings that are mappings: `queues` (limits and hooks of each), `resources` and `schedules`.

Each schedule is checked where it is used (scheduling/schedules), so that one that is not valid stops nothing else.

Guarantees: pure. What `spell` writes, `parse` reads back; it is JSON, which is YAML too.
Fails with: ValueError, whose text goes on after the setting's name.
"""

from __future__ import annotations

from queuectl.errors import did_you_mean
from queuectl.ids import is_id
from queuectl.units import listed, parse_duration, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

MOST_UNITS = 1_000_000
RESOURCES = 'names with how many units there are, for example {"gpu": 2}'
QUEUES = 'names with "concurrency" and "rate", for example {"encode": {"concurrency": 2, "rate": "10/1m"}}'
LIMITS = ("concurrency", "rate")
HOOKS = (
    "on_success",
    "on_failure",
    "on_dead",
    "on_cancel",
)  # of a job, its queue or the configuration: queuectl.job.hooks
OF_A_QUEUE = (*LIMITS, *HOOKS)
SCHEDULES = 'names with "cron" or "every", and "job", for example {"nightly": {"cron": "30 2 * * *", "job": {"command": "backup"}}}'
EXPECTED = {"resources": RESOURCES, "queues": QUEUES, "schedules": SCHEDULES}
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
    if kind == "schedules":
        return {str(name): each for name, each in value.items()}
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
            rate_of(limit, f"{name}.rate")
            made[key] = limit
        elif key in HOOKS:
            if not isinstance(limit, str) or not limit.strip() or "\0" in limit:
                raise ValueError(f'has "{name}.{key}", which must be a shell command, not {quote(limit)}')
            made[key] = limit
        else:
            raise ValueError(f'has "{name}.{key}"; a queue has {listed([*map(quote, OF_A_QUEUE)], len(OF_A_QUEUE))}')
    return made


def rate_of(text: object, name: str | None = "rate") -> tuple[int, float]:
    """Return how many starts are allowed in how many seconds, from "10/1m"; `name`: of a member that has this value."""
    count, slash, period = text.partition("/") if isinstance(text, str) else ("", "", "")
    number = _number(count.strip())
    try:
        seconds = parse_duration(period.strip() if period.strip()[:1].isdigit() else f"1{period.strip()}")
    except ValueError:
        seconds = 0.0
    if not slash or not isinstance(number, int) or number < 1 or seconds <= 0:
        has = "" if name is None else f'has "{name}", which '
        raise ValueError(f"{has}must be {RATE}, not {quote(text)}")
    return number, seconds


def path_of(name: str) -> tuple[str, ...] | None:
    """Return which member of a setting a dotted name means: "resources.gpu", "queues.encode.rate"; None for no member.

    Raises:
        ValueError: it is the name of no member; the text says what was perhaps meant.
    """
    kind, dot, rest = name.partition(".")
    if kind not in EXPECTED or not dot:
        return None
    if kind == "schedules":
        raise ValueError("; schedules are changed by queuectl schedule add, pause and remove, or in the file")
    if kind == "resources":
        path: tuple[str, ...] = (rest,)
    else:
        queue, dot, limit = rest.rpartition(".")  # the name of a queue may hold dots
        if dot and limit not in OF_A_QUEUE:
            raise ValueError(did_you_mean(limit, OF_A_QUEUE).replace('"', f'"queues.{queue}.', 1))
        path = (queue, limit) if dot else (rest,)
    if not is_id(path[0]):
        raise ValueError(f"; {quote(path[0])} cannot be a name")
    return path


def member(value: dict[str, Any], path: Sequence[str]) -> Any:
    """Return a member of a setting; None where it is not set."""
    found: Any = value
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def with_member(kind: str, value: dict[str, Any], path: Sequence[str], text: str) -> dict[str, Any]:
    """Return a setting with one other member; "none" removes it, and what is then empty."""
    first, *rest = path
    if text.lower() in ("none", "null", "~", ""):
        new: Any = None
    elif kind == "queues" and not rest:
        new = parse(kind, text if text[:1] != "{" else f'{{"{first}": {text}}}')[first]
    else:
        new = text if rest and rest[0] in HOOKS else _number(text)
    if rest:
        new = {**value.get(first, {}), rest[0]: new}
        new = {name: limit for name, limit in new.items() if limit is not None} or None
    others = {name: each for name, each in value.items() if name != first}
    return check(kind, others if new is None else {**value, first: new})


def spell_member(value: Any) -> str:
    """Write a member as `with_member` reads it."""
    return "none" if value is None else spell(value) if isinstance(value, dict) else str(value)


def quoted(text: str) -> str:
    """Write a text in quotes, as JSON and YAML read it."""
    import json

    return json.dumps(text, ensure_ascii=False)


def spell(value: dict[str, Any]) -> str:
    """Write a value on one line."""
    import json

    return json.dumps(value, ensure_ascii=False)
