"""filters: which jobs, as people write it, made into a question to the index.

Owns:       the names of the filters and how their values are read; command line, page, API and Python read them here.
Guarantees: pure; an unknown name, an unknown state, an empty text or a value of the wrong type raises, so that a
            mistake never selects other jobs, or none, without a word.
Fails with: InvalidFilter, naming the filter and, where there is one, the likely spelling.
"""

from __future__ import annotations

from queuectl.client import arguments
from queuectl.client.arguments import is_series
from queuectl.errors import UsageError, did_you_mean
from queuectl.index.query import ORDERS, Query
from queuectl.job.job import STATES
from queuectl.units import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta
    from typing import Any

    from typing_extensions import TypedDict

    from queuectl.index.selection import Selected
    from queuectl.job.job import Job

    States = str | Iterable[str] | None
    When = str | float | datetime | timedelta | None
    Duration = str | float | timedelta | None

    class Choice(TypedDict, total=False):
        """Filters that choose jobs."""

        queue: str | None
        tag: str | None
        batch: str | None
        fingerprint: str | None
        error: str | None
        search: str | None
        since: When

    class Filters(Choice, total=False):
        """The same, with what else a list takes."""

        until: When
        sort: str | None
        limit: int | None


TEXTS = ("queue", "tag", "batch", "fingerprint", "error", "search")
CHOICE = ("state", *TEXTS, "since")
FILTERS = (*CHOICE, "until", "sort", "limit")

MEANT = {  # what other queues call these states
    **dict.fromkeys(("queued", "waiting", "scheduled", "delayed", "ready"), "pending"),
    **dict.fromkeys(("running", "active", "started"), "processing"),
    **dict.fromkeys(("done", "finished", "success", "succeeded", "successful"), "completed"),
    **dict.fromkeys(("error", "errored", "retrying"), "failed"),
    **dict.fromkeys(("killed", "died", "buried"), "dead"),
    "paused": "held",
}
ENDED = ("completed", "cancelled", "dead")
WAITING = ("pending", "held", "failed")
# By verb: the states of the jobs that a filter selects for it when it names no state, and those that it may name.
SELECTED_FOR: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "cancel": ((*WAITING, "processing"), (*WAITING, "processing")),
    "delete": (STATES, STATES),
    "edit": (WAITING, WAITING),
    "hold": (("pending", "failed"), ("pending", "failed")),
    "release": (("held",), ("held",)),
    "signal": (("processing",), ("processing",)),
    "retry": (("failed", "dead"), (*WAITING, *ENDED)),
}


class InvalidFilter(UsageError, ValueError):
    """A filter that does not exist, or a value that it cannot have; `name` lets the caller find it."""

    def __init__(self, name: str, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.name = name


def states_for(verb: str, named: Sequence[str]) -> tuple[str, ...]:
    """Return the states of the jobs that a filter selects for a verb; `named` are the states in the filter, if any.

    A retry runs again what has failed; what has completed, or was cancelled, only if that state is named.
    """
    usual, possible = SELECTED_FOR[verb]
    return tuple(state for state in named if state in possible) if named else usual


def is_as_selected(verb: str, states: Sequence[str], selected: Selected, job: Job) -> bool:
    """Return whether a job would still be selected for a verb, so that who confirmed the selection meant it too.

    A deletion ends the command of a job that runs. Whoever confirmed it for a waiting job did not mean that: a job that
    has started since is left.

    Args:
        states: those of the selection.
        selected: the job as it was then.
        job: as it is now.
    """
    if job.state not in states or (selected.state in ENDED and job.updated_at != selected.updated_at):
        return False
    if verb == "delete":
        return job.attempts == selected.attempts
    return verb != "retry" or job.state != "completed" or selected.state == "completed"


def query_of(
    given: Mapping[str, Any],
    now: float,
    *,
    label: Callable[[str], str] = quote,
    instant_of: Callable[[str, str], float] | None = None,
    **more: Any,
) -> Query:
    """Return the question that filters ask.

    Args:
        given: filters by name (FILTERS); one that is None is not there.
        now: durations are how long before it.
        label: how a filter is called in messages: `--since`, `"since"`.
        instant_of: reads the name and the text of an instant instead of `instant`.
        more: further parameters of Query.

    Raises:
        InvalidFilter.
    """
    check_names(given, label)
    wanted: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    states = states_of(wanted.pop("state", None), label("state"))
    for name in TEXTS:
        if name in wanted:
            wanted[name] = _text(name, wanted[name], label)
    window = tuple(str(wanted[name]) if name in wanted else None for name in ("since", "until"))
    for name in ("since", "until"):
        value = wanted.get(name)
        if isinstance(value, str) and instant_of is not None:
            wanted[name] = instant_of(name, value)
        elif value is not None:
            wanted[name] = instant(name, value, now, label)
    if "since" in wanted and wanted["since"] >= wanted.get("until", float("inf")):
        raise InvalidFilter("since", f"{label('since')} must lie before {label('until')}: no job can match")
    if "sort" in wanted:
        check_order(wanted["sort"], label)
    if "limit" in given:  # None means no limit
        wanted["limit"] = limit_of(given["limit"], label("limit"))
    return Query(states, **{"window": window, **wanted, **more})


def check_names(names: Iterable[str], label: Callable[[str], str] = quote, known: Sequence[str] = FILTERS) -> None:
    """Raise InvalidFilter for a filter that does not exist."""
    for name in names:
        if name not in known:
            hint = f"filters are {', '.join(known)}"
            raise InvalidFilter(name, f"unknown filter {label(name)}{did_you_mean(name, known)}", hint)


def states_of(given: States, label: str = '"state"') -> tuple[str, ...]:
    """Return states: one, a comma list, or several of these; `all` and None are ().

    Raises:
        InvalidFilter: there is no such state.
    """
    if given is not None and not isinstance(given, str) and not is_series(given):
        raise InvalidFilter("state", f"{label} must be text or several texts, not {quote(given)}", _STATES)
    texts = [given] if isinstance(given, str) else [*(given or ())]
    if given is not None and not texts:
        raise InvalidFilter("state", f"{label} must not be empty", _STATES)
    found: list[str] = []
    is_all = False
    for text in texts:
        if not isinstance(text, str):
            raise InvalidFilter("state", f"{label} must be text, not {quote(text)}", _STATES)
        for word in (word.strip().lower() for word in text.split(",")):
            if word == "all":
                is_all = True
            elif word not in STATES:
                near = MEANT.get(word)
                meant = f'; did you mean "{near}"?' if near else did_you_mean(word, (*STATES, "all"))
                shown = f"no state {quote(word)}{meant}"
                raise InvalidFilter("state", shown, _STATES)
            else:
                found.append(word)
    return () if is_all else tuple(dict.fromkeys(found))


_STATES = f"states are {', '.join(STATES)}"


def instant(name: str, value: object, now: float, label: Callable[[str], str] = quote) -> float:
    """Return seconds since 1970 for an instant, or for how long ago it was."""
    try:
        return arguments.instant(value, now, past=True)
    except ValueError as error:
        raise InvalidFilter(name, f"{label(name)} must be {error}, not {quote(value)}") from None


def age(name: str, value: object, now: float) -> float:
    """Return since when a job must not have changed, for how long it must not have, or since when.

    Raises:
        InvalidFilter.
    """
    from datetime import datetime

    if isinstance(value, (datetime, str)):
        return min(now, instant(name, value, now))
    try:
        age_s = arguments.seconds(value)
    except ValueError as error:
        raise InvalidFilter(name, f"{quote(name)} must be {error}, or a datetime, not {quote(value)}") from None
    if age_s < 0:
        raise InvalidFilter(name, f"{quote(name)} must be 0 or more, not {quote(value)}")
    return now - age_s


def check_order(value: object, label: Callable[[str], str] = quote) -> None:
    """Raise InvalidFilter for an order that does not exist."""
    if not isinstance(value, str) or value.removeprefix("-") not in ORDERS:
        meant = did_you_mean(value.removeprefix("-"), ORDERS) if isinstance(value, str) else ""
        hint = f"choose from {', '.join(ORDERS)}; a leading - reverses the order"
        raise InvalidFilter("sort", f"cannot sort by {quote(value)}{meant}", hint)


def limit_of(value: object, label: str = '"limit"') -> int | None:
    """Return how many jobs at most; None for all."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidFilter("limit", f"{label} must be 1 or more, not {quote(value)}")
    return value


def _text(name: str, value: object, label: Callable[[str], str]) -> str:
    if not isinstance(value, str):
        raise InvalidFilter(name, f"{label(name)} must be text, not {quote(value)}")
    if not value:
        raise InvalidFilter(name, f"{label(name)} must not be empty", "is a variable empty? omit the filter")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidFilter(
            name, f"{label(name)} contains bytes that are not UTF-8; no job contains such bytes"
        ) from None
    return value
