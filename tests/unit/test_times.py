"""Points in time as people type them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from queuectl.clock import parse_instant, spell
from queuectl.times import read_duration, read_instant

NOW = parse_instant("2026-11-24T14:01:58Z")  # a Tuesday
Zone = Callable[[str], None]


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zone]:
    """Set the local time zone; UTC at first."""

    def use(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    use("UTC")
    yield use
    monkeypatch.undo()
    time.tzset()


def read(text: str, now: float | str = NOW, *, past: bool = False) -> str:
    found = read_instant(text, parse_instant(now) if isinstance(now, str) else now, past=past)
    return spell(found).removesuffix(".000000Z").removesuffix("000Z")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("90", "2026-11-24T14:03:28"),
        ("10m", "2026-11-24T14:11:58"),
        ("2h30m", "2026-11-24T16:31:58"),
        ("3d", "2026-11-27T14:01:58"),
        ("5min", "2026-11-24T14:06:58"),
        ("5 minutes", "2026-11-24T14:06:58"),
        ("1h30", "2026-11-24T15:31:58"),
        ("500ms", "2026-11-24T14:01:58.500"),
        ("now", "2026-11-24T14:01:58"),
        ("now + 5 minutes", "2026-11-24T14:06:58"),
        ("+5min", "2026-11-24T14:06:58"),
        ("in 2h", "2026-11-24T16:01:58"),
        ("14:30", "2026-11-24T14:30:00"),
        ("14:01", "2026-11-25T14:01:00"),
        ("02:00:30", "2026-11-25T02:00:30"),
        ("9:00", "2026-11-25T09:00:00"),
        ("2am", "2026-11-25T02:00:00"),
        ("2:30 PM", "2026-11-24T14:30:00"),
        ("12am", "2026-11-25T00:00:00"),
        ("12pm", "2026-11-25T12:00:00"),
        ("noon", "2026-11-25T12:00:00"),
        ("midnight", "2026-11-25T00:00:00"),
        ("today 18:00", "2026-11-24T18:00:00"),
        ("today", "2026-11-24T00:00:00"),
        ("tomorrow", "2026-11-25T00:00:00"),
        ("tomorrow 02:00", "2026-11-25T02:00:00"),
        ("2am tomorrow", "2026-11-25T02:00:00"),
        ("tomorrow at noon", "2026-11-25T12:00:00"),
        ("yesterday 10:00", "2026-11-23T10:00:00"),
        ("monday 9:00", "2026-11-30T09:00:00"),
        ("Mon 9am", "2026-11-30T09:00:00"),
        ("tuesday 16:00", "2026-11-24T16:00:00"),
        ("tuesday 9:00", "2026-12-01T09:00:00"),
        ("next tuesday", "2026-12-01T00:00:00"),
        ("2026-12-01", "2026-12-01T00:00:00"),
        ("2026-12-01 09:15", "2026-12-01T09:15:00"),
        ("2026-12-01T09:15", "2026-12-01T09:15:00"),
        ("2026-12-01T09:15:10", "2026-12-01T09:15:10"),
        ("2026-12-01T09:15:10+02:00", "2026-12-01T07:15:10"),
        ("2026-12-01T09:15:10Z", "2026-12-01T09:15:10"),
        ("2026-12-01T09:15Z", "2026-12-01T09:15:00"),
        ("2026-12-01T09:15:10+0100", "2026-12-01T08:15:10"),
        ("2026-12-01 09:15 +01:00", "2026-12-01T08:15:00"),
        ("2026-12-01 09:15 Europe/Berlin", "2026-12-01T08:15:00"),
        ("T10:00Z", "2026-11-25T10:00:00"),
        ("15:30+0100", "2026-11-24T14:30:00"),
        ("00:30 +01:00", "2026-11-24T23:30:00"),
        ("Nov 24 13:00", "2026-11-24T13:00:00"),
        ("Jan 3", "2027-01-03T00:00:00"),
        ("29 Feb", "2028-02-29T00:00:00"),
        ("@1800000000", "2027-01-15T08:00:00"),
        ("1800000000", "2027-01-15T08:00:00"),
        ("9999-12-31", "9999-12-31T00:00:00"),
        # What date, date -u, date -R, date -Iminutes, date -Iseconds, date -Ins and date --rfc-3339 write.
        ("Mon Nov 30 10:00:00 UTC 2026", "2026-11-30T10:00:00"),
        ("Mon 30 Nov 10:00:00 AM UTC 2026", "2026-11-30T10:00:00"),
        ("Mon, 30 Nov 2026 10:00:00 +0100", "2026-11-30T09:00:00"),
        ("2026-11-30T10:00+01:00", "2026-11-30T09:00:00"),
        ("2026-11-30T10:00:00+01:00", "2026-11-30T09:00:00"),
        ("2026-11-30T10:00:00,125000000+01:00", "2026-11-30T09:00:00.125"),
        ("2026-11-30 10:00:00+01:00", "2026-11-30T09:00:00"),
    ],
)
def test_a_time_to_come(text: str, at: str) -> None:
    assert read(text) == at


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2h", "2026-11-24T12:01:58"),
        ("-2h", "2026-11-24T12:01:58"),
        ("2h ago", "2026-11-24T12:01:58"),
        ("14:01", "2026-11-24T14:01:00"),
        ("14:30", "2026-11-23T14:30:00"),
        ("yesterday", "2026-11-23T00:00:00"),
        ("monday", "2026-11-23T00:00:00"),
        ("last monday", "2026-11-23T00:00:00"),
        ("tuesday 15:00", "2026-11-17T15:00:00"),
        ("Nov 22 14:01", "2026-11-22T14:01:00"),
        ("Nov 25", "2025-11-25T00:00:00"),
        ("2026-11-01", "2026-11-01T00:00:00"),
    ],
)
def test_a_time_gone_by(text: str, at: str) -> None:
    assert read(text, past=True) == at


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "1:2:3:4", "26-11-24", "tomorrow later", "20261201T10", "20261201T100000X"),
        *("-5", "\uff11\uff10:00", "2026-11-24 14", "tomorrowish 02:00", "10m ago", "2 months"),
        *("T", "Z", "@", "@1e5", "10:00 11:00", "monday tuesday", "next month", "Nov"),
        *("2026-11-30 +0100", "10:00 +2400", "10:00Z +0100", "2026-11-30 ../../etc/passwd"),
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r'^a time: "10m", "14:30", "tomorrow 02:00", "2026-11-24 14:30" or RFC 3339$'):
        read(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("999999999", 'a Unix time is written "@1800000000"'),
        ("1800000000000", 'a Unix time is written "@1800000000"'),  # milliseconds
        ("20261130", 'a date is written "2026-11-30", seconds "20261130s"'),
        ("@1800000000000", "in the years 0001 to 9999 (a Unix time is in seconds)"),
        ("99999999999d", "in the years 0001 to 9999"),
        ("9999-12-31 23:59 -1200", "in the years 0001 to 9999"),
        *((f"{text}", f"a time of day that exists (there is no {text})") for text in ("25:00", "12:60", "13pm", "0am")),
        ("24:00", 'a time of day that exists (there is no 24:00; the end of a day is "00:00" of the next)'),
        ("2026-11-30T24:00:00Z", "a time of day that exists (there is no 24:00:00"),
        ("2026-11-30T10:00:60Z", "a time of day that exists (there is no 10:00:60"),
        ("20261201T250000Z", "a time of day that exists (there is no 25:00:00"),
        *((text, f"a day that exists (there is no {text})") for text in ("2026-02-30", "2026-13-01")),
        ("2026-02-30T10:00:00Z", "a day that exists (there is no 2026-02-30)"),
        ("20260230T100000Z", "a day that exists (there is no 2026-02-30)"),
        ("30 Feb", "a day that exists (there is no 30 February)"),
        ("Feb 29 2027", "a day that exists (there is no 29 February 2027)"),
        ("17h30", 'the time of day is written "17:30", the duration "17h30m"'),
        ("09 h 05", 'the time of day is written "09:05", the duration "09h05m"'),
        ("Tue Nov 30 10:00:00 UTC 2026", "a date and its weekday (2026-11-30 is a Monday)"),
        ("Mon Nov 30 10:00:00 EST 2026", "a time whose zone is known here"),
        ("10:00 EST", "a time whose zone is known here"),
        ("10:00 Europe/Nowhere", "a time whose zone is known here"),
    ],
)
@pytest.mark.parametrize("past", [False, True])
def test_what_could_be_meant_otherwise_is_refused_with_the_way_to_write_it(
    text: str, words: str, *, past: bool
) -> None:
    with pytest.raises(ValueError, match=r"^(a time|in the years|a date|a day)") as refused:
        read(text, past=past)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("20261201T100000Z", "2026-12-01T10:00:00"),
        ("20261201t1000z", "2026-12-01T10:00:00"),
        ("20261201T100000+0100", "2026-12-01T09:00:00"),
        ("20261201T100000.5Z", "2026-12-01T10:00:00.500"),
        ("20261201T100000", "2026-12-01T10:00:00"),
        ("+17h30", "2026-11-25T07:31:58"),
        ("in 17h30", "2026-11-25T07:31:58"),
        ("17h30m", "2026-11-25T07:31:58"),
    ],
)
def test_iso_8601_without_separators_and_unambiguous_durations(text: str, at: str) -> None:
    assert read(text) == at


def test_local_times_are_of_the_local_zone(zone: Zone) -> None:
    zone("Europe/Berlin")
    assert read("18:00") == "2026-11-24T17:00:00"
    assert read("today") == "2026-11-23T23:00:00"
    assert read("Mon Nov 30 10:00:00 CET 2026") == "2026-11-30T09:00:00"


@pytest.mark.parametrize(
    ("name", "now", "text", "at"),
    [
        # Clocks go back: 02:00 to 03:00 occurs twice, in Lord Howe 01:30 to 02:00. The first of the two is meant.
        ("Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25 02:30", "2026-10-25T00:30:00"),
        ("Europe/Berlin", "2026-10-24T12:00:00Z", "tomorrow 02:30", "2026-10-25T00:30:00"),
        ("Europe/Berlin", "2026-10-24T12:00:00Z", "02:30", "2026-10-25T00:30:00"),
        ("Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25 03:00", "2026-10-25T02:00:00"),
        ("Australia/Lord_Howe", "2026-04-04T12:00:00Z", "2026-04-05 01:45", "2026-04-04T14:45:00"),
        ("Australia/Lord_Howe", "2026-04-04T12:00:00Z", "01:45", "2026-04-04T14:45:00"),
        ("UTC", "2026-10-24T12:00:00Z", "2026-10-25 02:30 Europe/Berlin", "2026-10-25T00:30:00"),
        # Unless the first has passed, or the zone is said, as date(1) does.
        ("Europe/Berlin", "2026-10-25T00:45:00Z", "02:30", "2026-10-25T01:30:00"),
        ("Europe/Berlin", "2026-10-24T12:00:00Z", "Sun Oct 25 02:30:00 CET 2026", "2026-10-25T01:30:00"),
        ("Australia/Lord_Howe", "2026-04-04T12:00:00Z", "Sun Apr  5 01:45:00 +1030 2026", "2026-04-04T15:15:00"),
        # Clocks go forward: 02:00 to 03:00 does not occur, in Lord Howe 02:00 to 02:30. The end of the gap is meant.
        ("Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29 02:30", "2026-03-29T01:00:00"),
        ("Europe/Berlin", "2026-03-28T12:00:00Z", "02:00", "2026-03-29T01:00:00"),
        ("Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29 01:59:59", "2026-03-29T00:59:59"),
        ("Australia/Lord_Howe", "2026-10-03T02:00:00Z", "2026-10-04 02:15", "2026-10-03T15:30:00"),
        ("Australia/Lord_Howe", "2026-10-03T02:00:00Z", "02:15", "2026-10-03T15:30:00"),
    ],
)
def test_a_local_time_in_the_hour_of_a_clock_change(zone: Zone, name: str, now: str, text: str, at: str) -> None:
    zone(name)
    assert read(text, now) == at


def test_the_last_such_time_of_day_may_be_the_second_of_two(zone: Zone) -> None:
    zone("Europe/Berlin")
    assert read("02:30", "2026-10-25T01:15:00Z", past=True) == "2026-10-25T00:30:00"
    assert read("02:30", "2026-10-25T01:45:00Z", past=True) == "2026-10-25T01:30:00"


@pytest.mark.parametrize("text", ["1M", "+1M", "in 1M", "now + 1M"])
@pytest.mark.parametrize("past", [False, True])
def test_a_capital_m_is_not_read_as_minutes(text: str, *, past: bool) -> None:
    with pytest.raises(ValueError, match=r"^a time: .*months are not supported: 30d"):
        read(text, past=past)


def test_a_capital_m_ago_is_not_read_as_minutes() -> None:
    with pytest.raises(ValueError, match="months are not supported"):
        read("1M ago", past=True)
    assert read("IN 2H", "2026-11-24T12:00:00Z") == "2026-11-24T14:00:00"
    assert read("2H AGO", "2026-11-24T12:00:00Z", past=True) == "2026-11-24T10:00:00"


def test_a_duration_is_at_most_ten_years() -> None:
    assert read_duration("5 minutes") == 300
    with pytest.raises(ValueError, match=r"^from 0 to 3650d \(ten years\)$"):
        read_duration("3650d 1s")
