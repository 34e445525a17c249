"""history: the events of a job, their members and the directory each one leads to.

Owns:       the table of events, the members of an entry, and the directories that events lead to.
Guarantees: pure; an entry that `wrong_with` passes can be folded, shown and counted without an error.
Source:     spool/FORMAT.md § History.
"""

from __future__ import annotations

from queuectl.clock import instant_of
from queuectl.job.checks import flag, instant, integer, number, one_of, or_null, string
from queuectl.job.fields import EDITABLE, FIELDS, spell_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from queuectl.job.checks import Check
    from queuectl.job.fields import Fields

    Entry = dict[str, Any]

PENDING, PROCESSING, DONE, DEAD = "pending", "processing", "done", "dead"
DIRECTORIES = (PENDING, PROCESSING, DONE, DEAD)

LEADS_TO = {
    "completed": DONE,
    "cancelled": DONE,
    "died": DEAD,
    "expired": DEAD,
    "failed": PENDING,
    "interrupted": PENDING,
    "requeued": PENDING,
    "snoozed": PENDING,
    "revived": PENDING,
    "held": PENDING,
    "released": PENDING,
    "edited": PENDING,
}
EVENTS = ("started", *LEADS_TO, "signalled", "compacted")
CHANGING = frozenset(("edited", "revived", "released", "requeued"))  # `set` of their entries changes the job
VERDICTS = frozenset(("completed", "cancelled", "failed", "died", "snoozed"))  # an attempt ran to its end
MAX_ATTEMPTS = 1_000_000  # bounds what it may cost to delete the output of every attempt
MAX_INTEGER = (1 << 63) - 1  # what the index can hold

_count, _whole = integer(0, MAX_ATTEMPTS), integer(0, MAX_INTEGER)
_maybe_instant, _maybe_text = or_null(instant), or_null(string)
_maybe_integer, _maybe_seconds = or_null(integer(-MAX_INTEGER, MAX_INTEGER)), or_null(number(0, 1e12, "seconds"))


# Everything the view of a job is folded from, as one entry carries it after a compaction.
def _units(value: object) -> str | None:
    """Accept {"gpu": [0, 1], ...}."""
    fine = isinstance(value, dict) and all(
        isinstance(units, list) and all(_count(unit) is None for unit in units) for units in value.values()
    )
    return None if fine else "an object with the numbers of the units of each resource"


KEPT: dict[str, Check] = {
    "attempts": _count,
    "failures": _count,
    "interruptions": _count,
    "snoozes": _count,
    "created_at": instant,
    "run_at": instant,
    "updated_at": instant,
    "waits": or_null(one_of("nobody", "author", "retry", "snooze")),
    "started_at": _maybe_instant,
    "finished_at": _maybe_instant,
    "exit_code": _maybe_integer,
    "outcome": _maybe_text,
    "last_error": _maybe_text,
    "dead_reason": _maybe_text,
    "worker": _maybe_text,
    "cpu_s": _maybe_seconds,
    "max_rss_bytes": _maybe_integer,
    "ready_at": _maybe_instant,
    "wait_s": _maybe_seconds,
    "run_s": _maybe_seconds,
    "units": or_null(_units),
    "stopped_at": _maybe_instant,
    "stopped_by": _maybe_text,
    "stopped_s": _maybe_seconds,
}


def _kept(value: object) -> str | None:
    if not isinstance(value, dict):
        return "an object"
    for key, check in KEPT.items():
        expected = check(value.get(key))
        if expected is not None:
            return f'an object whose "{key}" is {expected}'
    return None


def _changes(value: object) -> str | None:
    if not isinstance(value, dict):
        return "an object of members"
    fixed = next((key for key in value if key == "history" or (key in FIELDS and key not in EDITABLE)), None)
    return None if fixed is None else f'without "{fixed}", which cannot be edited'


def _leftovers(value: object) -> str | None:
    """Accept {"count": 2, "processes": [{"pid": 4711, "command": "sleep 600"}, ...]}."""
    words = 'an object with "count" and "processes", each with "pid" and "command"'
    if not isinstance(value, dict) or _whole(value.get("count")) is not None:
        return words
    processes = value.get("processes")
    is_fine = isinstance(processes, list) and all(
        isinstance(each, dict) and _whole(each.get("pid")) is None and string(each.get("command")) is None
        for each in processes
    )
    return None if is_fine else words


ENTRY_MEMBERS: dict[str, Check] = {
    "event": one_of(*EVENTS),
    "at": instant,
    "created_at": instant,
    "attempt": integer(1, MAX_ATTEMPTS),
    "worker": string,
    "units": _units,
    "ready_at": instant,
    "run_at": instant,
    "reason": string,
    "error": string,
    "exit_code": integer(-MAX_INTEGER, MAX_INTEGER),
    "signal": string,
    "timed_out": flag,
    "output_limit": flag,
    "memory_limit": flag,
    "cpu_limit": flag,
    "failed_to_start": flag,
    "cpu_s": number(0, 1e12, "seconds"),
    "max_rss_bytes": integer(0, MAX_INTEGER),
    "leftovers": _leftovers,
    "set": _changes,
    "kept": _kept,
    "last_event": one_of("", "started", *LEADS_TO),
}
_REQUIRED = {"compacted": ("event", "at", "kept", "last_event")}


def wrong_with(entry: object) -> str | None:
    """Say what is wrong with a history entry; None when nothing is. Members that we do not know are kept."""
    if not isinstance(entry, dict):
        return "expected an object"
    for key in _REQUIRED.get(str(entry.get("event")), ("event", "at")):
        if key not in entry:
            return f'"{key}" is missing'
    for key, value in entry.items():
        check = ENTRY_MEMBERS.get(key)
        expected = check(value) if check is not None else None
        if expected is not None:
            return f'"{key}" must be {expected}, not {spell_value(value)}'
    return None


def last_event(history: list[Entry]) -> str:
    """Return the name of the last event that is not a signal, seen through a compaction; "" before the first."""
    last = next((entry for entry in reversed(history) if entry["event"] != "signalled"), None)
    if last is None:
        return ""
    return str(last["last_event"] if last["event"] == "compacted" else last["event"])


def leads_to(history: list[Entry]) -> str | None:
    """Return the directory that the last event leads to; None when there is none, or it is `started`."""
    return LEADS_TO.get(last_event(history))


def ready_after(entry: Mapping[str, Any], at: float, ready_at: float) -> float:
    """Return since when a job may start, or will be allowed to, after an entry of its history.

    A job waits only while it may start. Time before it was enqueued, before its `run_at` and while it was held is not
    part of it.

    Args:
        at: when the entry was written.
        ready_at: since when it might start before.
    """
    event = entry["event"]
    if event == "compacted":
        kept = entry["kept"]
        return instant_of(kept.get("ready_at") or kept["run_at"])
    changes = entry["set"] if "set" in entry and event in CHANGING else {}
    wanted = entry.get("run_at") or changes.get("run_at")
    if wanted is not None:
        return max(at, instant_of(wanted))
    if event == "revived" or "run_at" in changes:
        return at
    return max(at, ready_at) if event == "released" else ready_at


def edited(fields: Fields, history: list[Entry]) -> Fields:
    """Return the author's members as the changes in `history` left them."""
    for entry in history:
        if "set" in entry and entry["event"] in CHANGING:
            fields = with_changes(fields, entry["set"])
    return fields


def with_changes(fields: Fields, changes: Mapping[str, Any]) -> Fields:
    """Return the members with one edit made; a member set to None is taken away."""
    return {key: value for key, value in {**fields, **changes}.items() if value is not None or key not in changes}
