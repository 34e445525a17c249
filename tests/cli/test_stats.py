"""stats: what happened over time, right at the edges of hours, days and of what is kept, and of jobs that are gone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from queuectl.client.queue import Queue
from queuectl.index.statistics import KEPT_MINUTES
from tests.cli.support import Jobs, Ran, Run

Golden = Callable[[str, str], None]
Passes = Callable[[float], None]
HOUR, DAY = 3600, 86400


def some(jobs: Jobs, now: Passes) -> None:
    """Two hours ago a failure and a death, an hour ago three jobs of half a second, now one that waits."""
    now(-2 * HOUR)
    jobs.failed("f", queue="night")
    jobs.dead("d", queue="night")
    now(HOUR)
    for number in range(3):
        with jobs.running(f"done-{number}") as claim:
            now(0.5)
            claim.finish({"exit_code": 0})
    assert Queue().counts()["completed"] == 3  # the index has seen them
    now(HOUR)
    jobs.pending("waits")
    now(90)


def told(ran: Ran) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads(ran.out)
    return found


def test_the_table(cli: Run, jobs: Jobs, now: Passes, golden: Golden) -> None:
    some(jobs, now)
    ran = cli("stats")
    assert (ran.code, ran.err) == (0, "")
    golden("stats", ran.out)
    golden("stats-queue", cli("stats", "--by", "queue").out)


@pytest.mark.parametrize("columns", [60, 80])
def test_the_table_fits(
    cli: Run, jobs: Jobs, now: Passes, golden: Golden, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    some(jobs, now)
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = cli("stats").out
    golden(f"stats-{columns}", shown)
    assert max(map(len, shown.splitlines())) <= columns


def test_nothing_happened(cli: Run) -> None:
    ran = cli("stats")
    assert "0 enqueued, 0 done, 0 dead, 0 failed attempts\n0.0 done/min" in ran.out
    assert "FROM" not in ran.out
    assert json.loads(cli("stats", "--json").out)["rows"] == []
    assert cli("stats", "-o", "jsonl").out == ""


def test_the_rate_is_of_jobs_done_in_the_time_that_the_queue_has_existed(cli: Run, jobs: Jobs, now: Passes) -> None:
    """Not of failures, nor over hours in which there was no queue; `status` says the same."""
    now(2)  # to the full minute
    for name in "abcdefgh":
        jobs.completed(name)
    jobs.dead("died")
    jobs.failed("fails")
    now(120)
    made = json.loads(cli("stats", "--json").out)
    assert (made["totals"]["per_minute"], made["totals"]["failed_attempts"]) == (4, 2)
    assert [row["per_minute"] for row in made["rows"]] == [4]
    assert json.loads(cli("stats", "--json", "--by", "queue").out)["rows"][0]["per_minute"] == 4
    hour = json.loads(cli("status", "--json").out)["last_hour"]
    assert (hour["done"], hour["failed_attempts"], hour["per_minute"]) == (8, 2, 4)
    now(2 * HOUR)
    jobs.completed("later")
    hour = json.loads(cli("status", "--json").out)["last_hour"]
    assert (hour["done"], round(hour["per_minute"], 3)) == (1, round(1 / 59, 3))


def test_300_jobs_in_a_home_that_is_20_seconds_old_have_one_rate(cli: Run, jobs: Jobs, now: Passes) -> None:
    """Less than a minute counts as one, in every view."""
    now(2)  # to the full minute
    for number in range(300):
        jobs.completed(f"j{number}")
    now(20)
    made = json.loads(cli("stats", "--json").out)
    minutes = json.loads(cli("stats", "--by", "minute", "--json").out)
    hour = json.loads(cli("status", "--json").out)["last_hour"]
    rates = [made["totals"], *made["rows"], minutes["totals"], *minutes["rows"], hour]
    assert [each["per_minute"] for each in rates] == [300.0] * 5
    for command in ("status", "stats"):
        shown = cli(command).out
        assert "300 done, 0 dead, 0 failed attempts" in shown, command
        assert "300.0 done/min" in shown, command


def test_a_share_is_of_jobs_and_attempts_are_counted_apart(cli: Run, jobs: Jobs, now: Passes) -> None:
    """Seven jobs completed, one was tried three times and is dead: one of eight jobs, not three of ten."""
    for name in "abcdefg":
        jobs.completed(name)
    jobs.failed("h", delay_s=1)
    for settle in ("fail", "bury"):
        cli("list")  # the index counts an attempt when it sees it
        now(2)
        with jobs.start("h") as claim:
            if settle == "fail":
                claim.reschedule("failed", jobs.spool.clock.now() + 1, {"exit_code": 1})
            else:
                claim.move_to_dead("retries_exhausted", {"exit_code": 1})
    expected = {"completed": 7, "dead": 1, "dead_share": 0.125, "failed_attempts": 3}
    made = json.loads(cli("stats", "--json").out)
    for figures in (made["totals"], *made["rows"]):
        assert {name: figures[name] for name in expected} == expected
    hour = json.loads(cli("status", "--json").out)["last_hour"]
    assert (hour["done"], hour["dead"], hour["dead_share"], hour["failed_attempts"]) == (7, 1, 0.125, 3)
    for command in ("stats", "status"):
        assert "7 done, 1 dead (12.5%), 3 failed attempts" in cli(command).out, command
    heads, cells = cli("stats").out.splitlines()[-2:]
    row = dict(zip(heads.replace("FAILED ATTEMPTS", "FAILED_ATTEMPTS").split(), cells.split(), strict=False))
    assert (row["DONE"], row["DEAD"], row["DEAD%"], row["FAILED_ATTEMPTS"]) == ("7", "1", "12.5%", "3")


def test_a_job_that_expired_made_no_attempt(cli: Run, jobs: Jobs, now: Passes) -> None:
    job_id = jobs.pending("late", expires_at="2026-11-24T14:02:30Z")
    now(60)
    jobs.spool.claim(job_id, "worker-1")
    totals = json.loads(cli("stats", "--json").out)["totals"]
    assert (totals["dead"], totals["failed_attempts"], totals["dead_share"]) == (1, 0, 1)


def test_a_job_that_was_retried_by_hand_is_one_job_with_several_attempts(cli: Run, jobs: Jobs, now: Passes) -> None:
    """Its five deaths are five attempts that failed, and one dead job of two."""
    jobs.completed("c")
    jobs.dead("d")
    for _ in range(4):
        now(120)
        jobs.queue.retry("d")
        with jobs.start("d") as claim:
            claim.move_to_dead("retries_exhausted", {"exit_code": 1})
        jobs.spool.note_change("d")
    total = json.loads(cli("stats", "--json").out)["totals"]
    assert (total["completed"], total["dead"], total["dead_share"], total["failed_attempts"]) == (1, 1, 0.5, 5)
    hour = json.loads(cli("status", "--json").out)["last_hour"]
    assert (hour["done"], hour["dead"], hour["dead_share"], hour["failed_attempts"]) == (1, 1, 0.5, 5)
    metrics = cli("metrics").out.splitlines()
    assert 'queuectl_jobs_finished_total{outcome="dead"} 5' in metrics
    assert 'queuectl_job_attempts_total{result="failure"} 5' in metrics
    assert "queuectl_job_wait_seconds_count 6" in metrics
    assert "queuectl_job_duration_seconds_count 6" in metrics


def test_what_is_deleted_still_counts(cli: Run, jobs: Jobs, now: Passes) -> None:
    some(jobs, now)
    before = told(cli("stats", "--json"))
    for job_id in ("d", "done-0", "done-1", "done-2"):
        assert cli("delete", job_id).code == 0
    after = told(cli("stats", "--json"))
    assert after["totals"] == before["totals"]
    assert after["rows"] == before["rows"]


def test_the_rows_add_up_whatever_they_are_by(cli: Run, jobs: Jobs, now: Passes) -> None:
    some(jobs, now)
    for by in ("queue", "minute", "hour", "day"):
        made = told(cli("stats", "--json", "--by", by))
        assert sum(int(str(row["completed"])) for row in made["rows"]) == 3, by
        assert made["totals"]["enqueued"] == 6, by  # type: ignore[call-overload]


def test_one_queue(cli: Run, jobs: Jobs, now: Passes) -> None:
    some(jobs, now)
    made = json.loads(cli("stats", "--json", "--queue", "night").out)
    assert (made["totals"]["completed"], made["totals"]["dead"]) == (0, 1)
    assert made["oldest_waiting_s"] == pytest.approx(2 * HOUR + 91.5 - 38)
    assert made["totals"]["dead_share"] == 1
    made = json.loads(cli("stats", "--json", "--queue", "default").out)
    assert made["oldest_waiting_s"] == pytest.approx(90)


def test_since_begins_with_the_hour_or_the_day_it_falls_in(cli: Run, jobs: Jobs, now: Passes) -> None:
    some(jobs, now)  # it is 14:03:29
    assert json.loads(cli("stats", "--json", "--since", "50m").out)["from"] == "2026-11-24T13:00:00.000000Z"
    assert json.loads(cli("stats", "--json", "--since", "50m", "--by", "day").out)["from"][:19] == "2026-11-24T00:00:00"
    assert json.loads(cli("stats", "--json", "--since", "50m", "--by", "minute").out)["from"][11:16] == "13:13"


def test_days_are_local_ones_also_where_the_clocks_change(
    cli: Run, jobs: Jobs, now: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Berlin 2026-10-25 had 25 hours: a job of its last hour is not one of the 26th."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    there = time.mktime((2026, 10, 25, 23, 30, 0, 0, 0, -1))
    now(there - jobs.spool.clock.now())
    jobs.completed("last-hour")
    jobs.queue.counts()
    now(2 * HOUR)
    jobs.completed("next-day")
    rows = told(cli("stats", "--json", "--by", "day", "--since", "2026-10-24"))["rows"]
    assert [(row["at"], row["completed"]) for row in rows] == [
        ("2026-10-24T22:00:00.000000Z", 1),
        ("2026-10-25T23:00:00.000000Z", 1),
    ]
    monkeypatch.undo()
    time.tzset()


def test_what_is_old_is_kept_by_the_hour_and_still_found(cli: Run, jobs: Jobs, now: Passes) -> None:
    """A job of 14:01, 49 hours ago, after the minutes of then were put together."""
    jobs.completed("a")
    jobs.queue.counts()
    now(KEPT_MINUTES * 60 + HOUR)
    jobs.pending("puts-old-minutes-together")
    jobs.queue.counts()
    assert [
        row["at"][11:16] for row in json.loads(cli("stats", "--json", "--by", "minute", "--since", "50h").out)["rows"]
    ] == ["14:00", "15:01"]
    for by in ("minute", "hour", "queue", "day"):
        ran = cli("stats", "--json", "--by", by, "--since", "49h")
        assert json.loads(ran.out)["totals"]["completed"] == 1, by
        assert ("by the minute are kept for 48 hours" in ran.err) is (by == "minute")


def test_more_than_is_kept_is_cut_and_said(cli: Run, jobs: Jobs, now: Passes) -> None:
    ran = cli("stats", "--since", "60d", "--json")
    assert "by time are kept for 31 days" in ran.err
    assert json.loads(ran.out)["from"] == "2026-10-24T14:00:00.000000Z"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--since", "soon"], '--since must be a time: "10m"'),
        (["--since", "2030-01-01"], "--since must lie in the past"),
        (["--by", "week"], '--by must be one of queue, minute, hour, day, not "week"'),
        (["--by", "queue", "--queue", "a"], "cannot be used together"),
    ],
)
def test_mistakes_are_told(cli: Run, words: list[str], says: str) -> None:
    ran = cli("stats", *words)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
