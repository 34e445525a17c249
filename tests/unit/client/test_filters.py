"""Filters as people write them: every form of a value, and every mistake with its name and the likely spelling."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from queuectl.client.filters import InvalidFilter, query_of, states_of
from queuectl.errors import UsageError
from queuectl.job.job import STATES

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("given", "states"),
    [
        (None, ()),
        ("all", ()),
        ("dead, ALL", ()),
        ("dead", ("dead",)),
        (" Dead,failed,dead ", ("dead", "failed")),
        (["dead", "failed,held"], ("dead", "failed", "held")),
        ("pending", ("pending",)),
    ],
)
def test_states_are_read(given: Any, states: tuple[str, ...]) -> None:
    assert states_of(given) == states


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("ded", 'no state "ded"; did you mean "dead"?'),
        ("dead;failed", 'no state "dead;failed"'),
        ("", 'no state ""'),
        ("dead,", 'no state ""'),
        ([], '"state" must not be empty'),
        ([3], '"state" must be text, not 3'),
        (5, '"state" must be text or several texts, not 5'),
        (b"dead", '"state" must be text or several texts, not b'),
        ("running", 'no state "running"; did you mean "processing"?'),
        ("done", 'no state "done"; did you mean "completed"?'),
    ],
)
def test_what_is_no_state_is_refused(given: Any, words: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        states_of(given)
    assert str(caught.value).startswith(words)
    assert caught.value.hint == f"states are {', '.join(STATES)}"


@pytest.mark.parametrize(
    ("given", "instant"),
    [
        ("1h", NOW - 3600),
        ("2027-01-15T08:00:00Z", NOW),
        (NOW, NOW),
        (1_800_000_000, NOW),
        (timedelta(minutes=2), NOW - 120),
        (datetime(2027, 1, 15, 9, tzinfo=timezone(timedelta(hours=1))), NOW),
        (datetime.fromtimestamp(NOW), NOW),  # noqa: DTZ006 - without a zone it is local time
    ],
)
def test_instants_are_read(given: Any, instant: float) -> None:
    assert query_of({"since": given}, NOW).since == instant
    assert query_of({"until": given}, NOW).until == instant


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"stat": "dead"}, 'unknown filter "stat"; did you mean "state"?'),
        ({"quue": "x"}, 'unknown filter "quue"; did you mean "queue"?'),
        ({"colour": "red"}, 'unknown filter "colour"'),
        ({"since": "soon"}, '"since" must be a time'),
        ({"since": True}, '"since" must be a time'),
        (
            {"since": 3600},
            '"since" must be a time: a datetime, a timedelta ago, text as on the command line, or seconds',
        ),
        ({"since": -1}, '"since" must be a time'),
        ({"since": float("nan")}, '"since" must be a time'),
        ({"until": 1e18}, '"until" must be a time'),
        ({"until": ["1h"]}, '"until" must be a time'),
        ({"since": "1h", "until": "2h"}, '"since" must lie before "until"'),
        ({"sort": "udpated"}, 'cannot sort by "udpated"; did you mean "updated"?'),
        ({"sort": 3}, "cannot sort by 3"),
        ({"limit": 0}, '"limit" must be 1 or more, not 0'),
        ({"limit": "10"}, '"limit" must be 1 or more, not "10"'),
        ({"limit": True}, '"limit" must be 1 or more, not true'),
        ({"queue": 7}, '"queue" must be text, not 7'),
        ({"tag": ["a"]}, '"tag" must be text'),
        ({"search": ""}, '"search" must not be empty'),
        ({"error": "\udcff"}, '"error" contains bytes that are not UTF-8'),
    ],
)
def test_a_mistake_names_the_filter(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        query_of(given, NOW)
    assert str(caught.value).startswith(words)


def test_a_command_line_is_told_of_its_options() -> None:
    with pytest.raises(InvalidFilter, match=r"^--since must lie before --until"):
        query_of({"since": NOW, "until": NOW - 1}, NOW, label=lambda name: f"--{name}")


def test_no_limit_is_another_thing_than_none_given() -> None:
    assert query_of({"limit": None}, NOW).limit is None
    assert query_of({}, NOW).limit == 50
    assert query_of({"queue": None}, NOW).queue is None


def test_a_duration_is_the_same_list_a_second_later() -> None:
    """Cursors go with the filters as they were written."""
    assert query_of({"since": "1h"}, NOW).window == query_of({"since": "1h"}, NOW + 1).window
