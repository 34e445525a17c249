"""Slots of cron expressions and intervals, compared with a model that looks at every minute."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from queuectl.scheduling.recurrence import Cron, Every, due, id_of, slot_of, to_make
from queuectl.scheduling.schedules import zone_of

BERLIN, LORD_HOWE = "Europe/Berlin", "Australia/Lord_Howe"
# Around each: the clock is set forward, or back.
CHANGES = {
    (BERLIN, "spring"): "2026-03-29T01:00:00+00:00",
    (BERLIN, "autumn"): "2026-10-25T01:00:00+00:00",
    (LORD_HOWE, "spring"): "2026-10-03T15:30:00+00:00",
    (LORD_HOWE, "autumn"): "2026-04-04T15:00:00+00:00",
}
HOUR, DAY = 3600, 86400
MINUTE = "2026-11-24T10:00:00+00:00"


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def local(slot: float, zone: str) -> str:
    return datetime.fromtimestamp(slot, ZoneInfo(zone)).isoformat()


def slots(expression: str, zone: str, start: float, end: float) -> list[float]:
    return due(Cron(expression, zone_of(zone)), start, end, 100_000)


# --- the model


def values(text: str, low: int, high: int) -> set[int]:
    """The numbers that a field matches."""
    found = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        found |= {*range(int(first), int(last or (high if step else first)) + 1, int(step or 1))}
    return found


def matcher(expression: str) -> Callable[[int], bool]:
    """Whether a local time, in seconds since 1970, is matched."""
    minute, hour, day, month, weekday = expression.split()
    minutes, hours = values(minute, 0, 59), values(hour, 0, 23)
    days, months = values(day, 1, 31), values(month, 1, 12)
    weekdays = {number % 7 for number in values(weekday, 0, 7)}
    both = day.startswith("*") or weekday.startswith("*")

    def matches(seconds: int) -> bool:
        when = datetime.fromtimestamp(seconds, timezone.utc)
        of_month, of_week = when.day in days, when.isoweekday() % 7 in weekdays
        is_day = (of_month and of_week) if both else (of_month or of_week)
        return when.minute in minutes and when.hour in hours and is_day and when.month in months

    return matches


def model(expression: str, zone: str, start: int, end: int) -> list[float]:
    """Every slot in (start, end], found by looking at every minute as Debian's cron does."""
    offset, matches = zone_of(zone), matcher(expression)
    is_fixed = not any(field.startswith("*") for field in expression.split()[:2])
    begun = start - 2 * DAY
    seen, found = set(), []
    last = begun - 60 + int(offset(begun - 60))
    for instant in range(begun, end + 1, 60):
        now = instant + int(offset(instant))
        new = now not in seen
        skipped = range(last + 60, now, 60) if is_fixed else ()
        if (matches(now) and (new or not is_fixed)) or any(map(matches, skipped)):
            found.append(float(instant))
        seen.add(now)
        last = now if not is_fixed else max(last, now)
    return [slot for slot in found if slot > start]


numbers = st.integers(0, 59).map(str)
minutes = st.one_of(numbers, st.sampled_from(["*", "*/7", "*/20", "0,30", "5-50/15", "59", "10/25"]))
hours = st.one_of(st.integers(0, 4).map(str), st.sampled_from(["*", "*/2", "1,2", "1-3", "0-6/2"]))
days = st.sampled_from(["*", "*", "*", "1-31", "*/2", "4,5,24-30"])
weekdays = st.sampled_from(["*", "*", "*", "0", "7", "6,0", "1-5"])
expressions = st.builds(
    lambda *fields: " ".join(fields), minutes, hours, days, st.sampled_from(["*", "3,4,10"]), weekdays
)


@given(st.sampled_from([*CHANGES]), expressions, st.integers(-3 * HOUR, 3 * HOUR).map(lambda s: s // 60 * 60))
@example((LORD_HOWE, "autumn"), "*/10 2 * * *", -2 * HOUR)
@example((BERLIN, "autumn"), "30 2 * * *", 15 * 60)
@example((BERLIN, "spring"), "0,30 2,3 * * *", -HOUR)
def test_slots_around_a_clock_change_are_those_of_the_model(
    change: tuple[str, str], expression: str, start: int
) -> None:
    """From any instant before, in and after the repeated or skipped time."""
    zone, begun = change[0], int(at(CHANGES[change])) + start
    assert slots(expression, zone, begun, begun + 2 * DAY) == model(expression, zone, begun, begun + 2 * DAY)


@pytest.mark.parametrize(
    ("zone", "season", "expression", "expected"),
    [
        (BERLIN, "spring", "30 2 * * *", ["2026-03-29T03:00:00+02:00"]),
        (BERLIN, "autumn", "30 2 * * *", ["2026-10-25T02:30:00+02:00"]),
        (LORD_HOWE, "spring", "15 2 * * *", ["2026-10-04T02:30:00+11:00"]),
        (LORD_HOWE, "autumn", "45 1 * * *", ["2026-04-05T01:45:00+11:00"]),
    ],
)
def test_a_fixed_time_comes_once_on_the_day_of_a_clock_change(
    zone: str, season: str, expression: str, expected: list[str]
) -> None:
    """A skipped one right after the gap, a repeated one the first time."""
    begun = at(CHANGES[(zone, season)]) - 6 * HOUR
    assert [local(slot, zone) for slot in slots(expression, zone, begun, begun + 12 * HOUR)] == expected


@pytest.mark.parametrize("change", CHANGES)
def test_wildcards_and_intervals_follow_elapsed_time(change: tuple[str, str]) -> None:
    begun = at(CHANGES[change]) - 3 * HOUR
    expected = [begun + 600 * n for n in range(1, 37)]
    assert slots("*/10 * * * *", change[0], begun, begun + 6 * HOUR) == expected
    assert due(Every("10m"), begun, begun + 6 * HOUR, 1000) == expected


def test_a_leap_day_is_found_years_ahead() -> None:
    found = slots("0 0 29 2 *", BERLIN, at("2026-01-01T00:00:00+00:00"), at("2040-01-01T00:00:00+00:00"))
    assert [local(slot, BERLIN)[:10] for slot in found] == ["2028-02-29", "2032-02-29", "2036-02-29"]


@pytest.mark.parametrize(
    ("nickname", "expected"),
    [
        ("@hourly", "2026-11-24T11:00:00"),
        ("@daily", "2026-11-25T00:00:00"),
        ("@midnight", "2026-11-25T00:00:00"),
        ("@weekly", "2026-11-29T00:00:00"),
        ("@monthly", "2026-12-01T00:00:00"),
        ("@yearly", "2027-01-01T00:00:00"),
        ("@Annually", "2027-01-01T00:00:00"),
        ("0 9 * jan mon-fri", "2027-01-01T09:00:00"),
        ("0 9 13 * 5", "2026-11-27T09:00:00"),  # one of the two days
        ("0 9 */14 * 5", "2027-01-01T09:00:00"),  # both, as Debian's cron has it for a star
    ],
)
def test_words_and_names_are_those_of_cron(nickname: str, expected: str) -> None:
    found = Cron(nickname, zone_of("UTC")).after(at(MINUTE))
    assert found is not None
    assert local(found, "UTC") == f"{expected}+00:00"


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("0 30 2 * * *", "no field for seconds"),
        ("60 * * * *", '"60" is not a valid minute: 0 to 59'),
        ("* 24 * * *", '"24" is not a valid hour'),
        ("0 0 0 * *", '"0" is not a valid day-of-month'),
        ("0 0 * 13 *", '"13" is not a valid month'),
        ("0 0 * * 8", '"8" is not a valid day-of-week'),
        ("0 0 30 2 *", "month 2 has no day 30"),
        ("@reboot", "the words are @yearly"),
    ],
)
def test_what_is_wrong_with_an_expression_is_said(expression: str, hint: str) -> None:
    with pytest.raises(ValueError, match="a cron expression with five fields") as caught:
        Cron(expression, zone_of("UTC"))
    assert hint in caught.value.args[1]


@pytest.mark.parametrize("expression", ["", "x", "* * * *", "é * * * *", "* " * 200, 5, None, "1" * 5000 + " * * * *"])
def test_no_other_text_is_an_expression(expression: object) -> None:
    with pytest.raises(ValueError, match="a cron expression"):
        Cron(expression, zone_of("UTC"))


@pytest.mark.parametrize(
    "interval", [0, -1, 0.5, 1.5, True, None, "", "x", "1M", "11y", [1], float("nan"), float("inf")]
)
def test_an_interval_is_whole_seconds(interval: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        Every(interval)


# --- which slots are due, and which of them are made


@given(st.integers(0, 500), st.integers(1, 40), st.integers(1, 50))
def test_the_newest_slots_are_due(ago: int, interval: int, most: int) -> None:
    now = 1_800_000_000 + ago
    every = Every(interval)
    expected = [float(second) for second in range(now - ago + 1, now + 1) if second % interval == 0]
    assert due(every, now - ago, now, most) == expected[-most:]


def test_a_clock_that_was_set_back_has_no_slot() -> None:
    assert due(Every("1m"), at(MINUTE), at(MINUTE) - 90 * DAY, 10) == []


def test_the_cost_of_what_is_due_does_not_grow_with_the_past() -> None:
    """A hundred years of minutes: only so many are looked at."""

    class Counted(Every):
        asked = 0

        def after(self, instant: float) -> float | None:
            Counted.asked += 1
            return super().after(instant)

    assert len(due(Counted("1m"), 0, at(MINUTE), 10)) == 10
    assert Counted.asked < 200


def test_missed_slots_are_made_once_or_all_or_not() -> None:
    """Two hours of minutes: the newest is on time until a minute after it."""
    missed = [at(MINUTE) + 60 * n for n in range(1, 121)]
    soon, late = missed[-1] + 59, missed[-1] + 61
    assert to_make("once", missed, late) == missed[-1:]
    assert to_make("all", missed, late) == missed
    assert to_make("skip", missed, late) == []
    assert to_make("skip", missed, soon) == missed[-1:]
    assert len(to_make("all", [float(n) for n in range(5000)], late)) == 1000
    assert to_make("once", [], late) == []


# --- ids


@given(st.integers(0, 250_000_000_000))
def test_the_id_of_a_job_gives_its_slot(slot: int) -> None:
    assert slot_of(id_of("a@b.c", slot)) == slot


@pytest.mark.parametrize(
    "job_id", ["nightly", "nightly@done", "a@20261330T000000Z", "a@1MCC5RM003N0Q8HP", "a@20261130T013000z"]
)
def test_other_ids_have_no_slot(job_id: str) -> None:
    assert slot_of(job_id) is None


def test_the_id_is_the_slot_in_utc() -> None:
    assert id_of("nightly-backup", at("2026-11-30T02:30:00+01:00")) == "nightly-backup@20261130T013000Z"
