"""Times as people type and read them."""

from __future__ import annotations

import time

import pytest

from queuectl.cli.times import ago, duration, full, instant, short
from queuectl.clock import parse_instant, spell
from queuectl.errors import UsageError
from tests.cli.support import NOW  # 2026-11-24 14:01:58 UTC, a Tuesday


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("90", "2026-11-24T14:03:28"),
        ("10m", "2026-11-24T14:11:58"),
        ("2h30m", "2026-11-24T16:31:58"),
        ("3d", "2026-11-27T14:01:58"),
        ("now", "2026-11-24T14:01:58"),
        ("14:30", "2026-11-24T14:30:00"),
        ("14:01", "2026-11-25T14:01:00"),
        ("02:00:30", "2026-11-25T02:00:30"),
        ("today 18:00", "2026-11-24T18:00:00"),
        ("tomorrow", "2026-11-25T00:00:00"),
        ("tomorrow 02:00", "2026-11-25T02:00:00"),
        ("yesterday 10:00", "2026-11-23T10:00:00"),
        ("2026-12-01", "2026-12-01T00:00:00"),
        ("2026-12-01 09:15", "2026-12-01T09:15:00"),
        ("2026-12-01T09:15:10", "2026-12-01T09:15:10"),
        ("2026-12-01T09:15:10+02:00", "2026-12-01T07:15:10"),
        ("2026-12-01T09:15:10Z", "2026-12-01T09:15:10"),
    ],
)
def test_a_time_to_come(text: str, at: str) -> None:
    assert spell(instant("--at", text, NOW)) == f"{at}.000000Z"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2h", "2026-11-24T12:01:58"),
        ("14:01", "2026-11-24T14:01:00"),
        ("14:30", "2026-11-23T14:30:00"),
        ("yesterday", "2026-11-23T00:00:00"),
        ("2026-11-01", "2026-11-01T00:00:00"),
    ],
)
def test_a_time_gone_by(text: str, at: str) -> None:
    assert spell(instant("--since", text, NOW, past=True)) == f"{at}.000000Z"


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "25:00", "12:60", "1:2:3:4", "2026-02-30", "2026-13-01", "26-11-24", "tomorrow later"),
        *("-5", "１０:00", "2026-11-24 14", "tomorrowish 02:00", "10m ago"),
    ],
)
def test_what_is_no_time_is_refused_by_the_option_that_got_it(text: str) -> None:
    with pytest.raises(UsageError, match="--at must be a time"):
        instant("--at", text, NOW)


def test_local_times_are_of_the_local_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    assert spell(instant("--at", "18:00", NOW)) == "2026-11-24T17:00:00.000000Z"
    assert full(NOW) == "2026-11-24 15:01:58 +0100"
    before_the_leap = parse_instant("2026-03-28T12:00:00Z")
    assert spell(instant("--at", "2026-03-29 02:30", before_the_leap)) == "2026-03-29T01:30:00.000000Z"


def test_a_duration_names_its_option() -> None:
    assert duration("--timeout", "2m") == 120
    with pytest.raises(UsageError, match=r'--timeout must be a duration.*not "2 months"'):
        duration("--timeout", "2 months")


def test_how_far_away() -> None:
    assert ago(NOW + 38, NOW) == "in 38s"
    assert ago(NOW - 125, NOW) == "2m 05s ago"
    assert ago(NOW, NOW) == "0s ago"


def test_short_instants_are_as_short_as_they_are_clear() -> None:
    assert short(NOW, NOW + 60) == "14:01:58"
    assert short(NOW, NOW + 86400) == "Nov 24 14:01"
    assert short(NOW, NOW + 366 * 86400) == "2026-11-24"


@pytest.mark.parametrize("text", ["3650d 1s", "99999999999d", "1" + "0" * 59])
def test_a_duration_of_more_than_ten_years_is_a_slip(text: str) -> None:
    with pytest.raises(UsageError, match=r"--delay must be from 0 to 3650d \(ten years\), not "):
        duration("--delay", text)
    assert duration("--delay", "3650d") == 315_360_000


@pytest.mark.parametrize("text", ["99999999999d", "1" + "0" * 40])
@pytest.mark.parametrize("past", [False, True])
def test_a_time_outside_the_calendar_is_a_slip(text: str, *, past: bool) -> None:
    with pytest.raises(UsageError, match=r"--at must lie in the years 0001 to 9999, not "):
        instant("--at", text, NOW, past=past)
