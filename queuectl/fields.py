"""fields: what an author may say about a job, and the ids of jobs.

Owns:       FIELDS, the table of everything an author may write, and the grammar of ids.
Guarantees: `validate` accepts a job only when nothing in it can surprise the program later; what depends on
            the running system (a missing directory, a too long argument list) is left to the attempt.
Fails with: InvalidData, naming the field, what was expected and what was found.
"""

from __future__ import annotations

import os
import time

from queuectl.clock import parse_instant
from queuectl.errors import InvalidData

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Fields = dict[str, Any]
    Check = Callable[[object], str | None]  # what was expected, or None when the value is fine

ID_START = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
ID_CHARS = ID_START | frozenset("._-")
ID_MAX = 128
ID_GRAMMAR = "letters, digits, '.', '_' and '-', starting with a letter or digit, at most 128 characters"
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LONGEST_S = 10 * 365 * 86400.0  # no duration may be longer: ten years


def is_id(text: object) -> bool:
    """Tell whether `text` may name a job, queue, batch or tag; the only place that decides it."""
    return isinstance(text, str) and 0 < len(text) <= ID_MAX and text[0] in ID_START and ID_CHARS.issuperset(text)


class _Ids:
    """Time-ordered ids: 10 characters of milliseconds, 6 of randomness that counts up within one millisecond."""

    __slots__ = ("last_ms", "low")

    def __init__(self) -> None:
        self.last_ms = 0
        self.low = 0

    def next(self) -> str:
        ms = int(time.time() * 1000)
        if ms > self.last_ms:
            self.last_ms, self.low = ms, int.from_bytes(os.urandom(4), "big") >> 3
        else:
            self.low += 1
        value = (self.last_ms << 30) + self.low
        digits = []
        for _ in range(16):
            value, digit = divmod(value, 32)
            digits.append(CROCKFORD[digit])
        return "".join(reversed(digits))


_ids = _Ids()
if hasattr(os, "register_at_fork"):  # a forked child must not repeat its parent's sequence
    os.register_at_fork(after_in_child=_ids.__init__)  # type: ignore[misc]


def new_id() -> str:
    """Return a fresh id of 16 characters; ids made by one process sort by creation."""
    return _ids.next()


# --- one check a kind of value: None when fine, else the words for "must be ..."


def _integer(low: int, high: int) -> Check:
    def check(value: object) -> str | None:
        fine = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if fine else f"an integer from {low} to {high}"

    return check


def _number(low: float, high: float, words: str, *, above: bool = False) -> Check:
    def check(value: object) -> str | None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return words
        return None if low <= value <= high and not (above and value == low) else words

    return check


def _text(limit: int | None = None) -> Check:
    words = "a non-empty string" if limit is None else f"a non-empty string of at most {limit} characters"

    def check(value: object) -> str | None:
        return None if isinstance(value, str) and value.strip() and (limit is None or len(value) <= limit) else words

    return check


def _label(value: object) -> str | None:
    return None if is_id(value) else ID_GRAMMAR


def _one_of(*choices: str) -> Check:
    def check(value: object) -> str | None:
        return None if value in choices and isinstance(value, str) else " or ".join(f'"{c}"' for c in choices)

    return check


def _argv(value: object) -> str | None:
    fine = isinstance(value, list) and value and all(isinstance(a, str) for a in value) and value[0]
    return None if fine else "a non-empty list of strings whose first is not empty"


def _strings(value: object) -> str | None:
    fine = isinstance(value, list) and all(isinstance(a, str) and a for a in value)
    return None if fine else "a list of non-empty strings"


def _environment(value: object) -> str | None:
    fine = isinstance(value, dict) and all(isinstance(v, str) and k and "=" not in k for k, v in value.items())
    return None if fine else "an object of strings whose names are not empty and hold no '='"


def _absolute_path(value: object) -> str | None:
    return None if isinstance(value, str) and value.startswith("/") else "an absolute path"


def _instant(value: object) -> str | None:
    if not isinstance(value, str):
        return 'an RFC 3339 instant with a zone, as "2026-11-24T14:01:58Z"'
    try:
        parse_instant(value)
    except ValueError as error:
        return str(error)
    return None


def _exactly(wanted: object) -> Check:
    def check(value: object) -> str | None:
        fine = value == wanted and type(value) is type(wanted)
        return None if fine else f"{wanted!r} in a new job".replace("'", '"')

    return check


def _not_yet(_value: object) -> str | None:
    return "left out: this version of QueueCTL does not support it yet, and running the job without it would be wrong"


_seconds = _number(0, LONGEST_S, "a number of seconds above 0", above=True)

FIELDS: dict[str, Check] = {
    "id": _label,
    "command": _text(),
    "argv": _argv,
    "queue": _label,
    "name": _label,
    "batch": _label,
    "priority": _integer(-1000, 1000),
    "tags": _strings,
    "max_retries": _integer(0, 1000),
    "timeout": _number(0, LONGEST_S, "a number of seconds, 0 for none"),
    "kill_after": _seconds,
    "backoff_base": _number(0, LONGEST_S, "a number above 0", above=True),
    "backoff_max": _seconds,
    "backoff_jitter": _number(0, 1, "a number from 0 to 1"),
    "run_at": _instant,
    "expires_at": _instant,
    "cwd": _absolute_path,
    "env": _environment,
    "unique_key": _text(256),
    "leftovers": _one_of("end", "leave"),
    "on_interrupt": _one_of("requeue", "bury"),
    "after": _not_yet,
    "after_policy": _not_yet,
    "lock": _not_yet,
    "state": _exactly("pending"),
    "attempts": _exactly(0),
    "created_at": _instant,
    "updated_at": _instant,
}
EDITABLE = frozenset(FIELDS) - {"id", "state", "attempts", "created_at", "updated_at", "unique_key"}


class InvalidField(InvalidData):
    """A field of the job does not hold what it may hold; `field` lets the caller find its line."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def validate(fields: Mapping[str, object]) -> None:
    """Check what an author wrote; fields outside FIELDS are none of our business and are kept.

    Raises:
        InvalidField: the first field that does not hold.
    """
    for field, value in fields.items():
        check = FIELDS.get(field)
        expected = check(value) if check is not None else None
        if expected is not None:
            raise InvalidField(field, f'"{field}" must be {expected}, not {spell_value(value)}')
    if ("command" in fields) == ("argv" in fields):
        found = "both" if "command" in fields else "neither"
        raise InvalidField("argv", f'a job has exactly one of "command" and "argv"; this one has {found}')


def spell_value(value: object) -> str:
    """Show a rejected value as its author wrote it, cut to 60 characters."""
    import json

    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 60 else text[:57] + "..."


def misspelt(fields: Mapping[str, object]) -> dict[str, str]:
    """Return unknown fields that look like a misspelt known one, each with the likely spelling."""
    unknown = [field for field in fields if field not in FIELDS and field != "history"]
    if not unknown:
        return {}
    from difflib import get_close_matches

    near = {field: get_close_matches(field.lower(), FIELDS, 1, 0.8) for field in unknown}
    return {field: matches[0] for field, matches in near.items() if matches}


def command_line(fields: Mapping[str, Any]) -> str:
    """Return the command as a person would type it."""
    if "command" in fields:
        return str(fields["command"])
    from shlex import join

    return join(fields["argv"])
