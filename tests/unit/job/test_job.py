"""How a file folds into the job that everybody sees."""

from __future__ import annotations

from typing import Any

import pytest

from queuectl.clock import parse_instant, spell
from queuectl.errors import InvalidData
from queuectl.job.history import EVENTS, LEADS_TO, leads_to
from queuectl.job.job import DEAD, DONE, HOW_ENDED, OF_HISTORY, PENDING, PROCESSING, STATES, STATES_OF, Job
from queuectl.job.job_file import parse, render_new
from tests.support.clock import NOON

CREATED = spell(NOON - 100)


def job_of(*history: dict[str, Any], directory: str = PENDING, seen_at: float = NOON - 50, **fields: Any) -> Job:
    record = parse(render_new({"command": "true", **fields}))
    entries = [{"at": spell(NOON + number), **entry} for number, entry in enumerate(history)]
    for entry in entries:
        record = record.grown(entry, record.growth(entry))
    return Job("a", parse(record.body + record.tail), directory, seen_at)


def started(attempt: int = 1) -> dict[str, Any]:
    return {"event": "started", "attempt": attempt, "worker": f"worker-{attempt}"}


FAILED = {
    "event": "failed",
    "exit_code": 3,
    "error": "no",
    "cpu_s": 1.5,
    "max_rss_bytes": 4096,
    "run_at": spell(NOON + 9),
}


@pytest.mark.parametrize("event", ["", *EVENTS])
def test_the_state_follows_from_directory_and_last_event(event: str) -> None:
    """The table of FORMAT.md § States."""
    history: list[dict[str, Any]] = [] if event in ("", "compacted") else [{"event": event}]
    assert job_of(*history, directory=PROCESSING).state == "processing"
    assert job_of(*history, directory=DEAD).state == "dead"
    assert job_of(*history, directory=DONE).state == ("cancelled" if event == "cancelled" else "completed")
    assert job_of(*history).state == (event if event in ("failed", "held") else "pending")
    edited = {"event": "edited", "set": {"priority": 1}}
    assert job_of(*history, edited).state == job_of(*history).state


def test_every_state_belongs_to_one_directory() -> None:
    listed = [state for states in STATES_OF.values() for state in states] + ["processing", "dead"]
    assert sorted(listed) == sorted(STATES)
    assert set(LEADS_TO.values()) == {PENDING, DONE, DEAD}


def test_a_new_job_is_due_when_it_was_created() -> None:
    job = job_of(created_at=CREATED)
    assert (job.created_at, job.updated_at, job.run_at) == (NOON - 100,) * 3
    assert (job.attempts, job.failures, job.started_at, job.exit_code, job.worker) == (0, 0, None, None, None)
    assert (job.queue, job.priority, job.expires_at) == ("default", 0, None)


def test_a_job_is_not_due_before_its_author_wants_it() -> None:
    assert job_of(created_at=CREATED, run_at=spell(NOON + 500)).run_at == NOON + 500
    assert job_of(expires_at=spell(NOON + 7)).expires_at == NOON + 7


def test_a_dropped_file_was_created_when_it_was_first_seen() -> None:
    """Its mtime changes with every growth, so the first entry remembers what it was."""
    assert job_of(seen_at=NOON - 7).created_at == NOON - 7
    assert job_of({**started(), "created_at": spell(NOON - 30)}, seen_at=NOON + 99).created_at == NOON - 30
    assert job_of(started(), seen_at=NOON + 99).created_at == NOON


def test_an_attempt_that_runs() -> None:
    job = job_of(started(), directory=PROCESSING)
    assert (job.attempts, job.started_at, job.finished_at, job.worker) == (1, NOON, None, "worker-1")


def test_an_attempt_that_failed() -> None:
    job = job_of(started(), FAILED)
    assert (job.state, job.failures, job.exit_code, job.outcome, job.last_error) == ("failed", 1, 3, "exited", "no")
    assert (job.run_at, job.finished_at, job.cpu_s, job.max_rss_bytes) == (NOON + 9, NOON + 1, 1.5, 4096)


def test_an_attempt_that_succeeded_has_no_error_left() -> None:
    job = job_of(started(), FAILED, started(2), {"event": "completed", "exit_code": 0}, directory=DONE)
    assert (job.state, job.attempts, job.failures, job.exit_code, job.last_error) == ("completed", 2, 1, 0, None)


@pytest.mark.parametrize("how", HOW_ENDED)
def test_the_way_an_attempt_ended(how: str) -> None:
    value = "SIGKILL" if how == "signal" else True
    assert job_of(started(), {**FAILED, how: value}).outcome == how


def test_a_job_that_died_counts_its_last_failure() -> None:
    job = job_of(started(), {"event": "died", "reason": "retries_exhausted", "exit_code": 1}, directory=DEAD)
    assert (job.failures, job.dead_reason, job.finished_at) == (1, "retries_exhausted", NOON + 1)
    assert job_of({"event": "expired"}, directory=DEAD).dead_reason == "expired"


def test_a_revived_job_starts_afresh_but_counts_its_attempts_on() -> None:
    job = job_of(started(), {"event": "died", "reason": "x", "exit_code": 1}, {"event": "revived"})
    assert (job.attempts, job.failures, job.dead_reason, job.finished_at, job.run_at) == (1, 0, None, None, NOON + 2)
    assert job_of(started(), {"event": "revived"}, {"event": "started"}).attempts == 2


def test_interruptions_and_snoozes_count_in_a_row() -> None:
    interrupted, snoozed = {"event": "interrupted"}, {"event": "snoozed", "exit_code": 75}
    assert job_of(started(), interrupted, started(2), interrupted).interruptions == 2
    assert job_of(started(), interrupted, started(2), FAILED, started(3), interrupted).interruptions == 1
    assert job_of(started(), snoozed, started(2), snoozed).snoozes == 2
    assert job_of(started(), snoozed, started(2), FAILED).snoozes == 0
    assert job_of(started(), interrupted, snoozed, {"event": "revived"}).interruptions == 0


def test_a_graceful_stop_costs_nothing() -> None:
    job = job_of(started(), {"event": "requeued", "run_at": spell(NOON + 1)})
    assert (job.state, job.failures, job.interruptions, job.snoozes, job.attempts) == ("pending", 0, 0, 0, 1)


def test_an_edit_changes_what_the_author_said() -> None:
    job = job_of({"event": "edited", "set": {"priority": 7, "queue": "q", "command": "ls"}}, tags=["t"])
    assert (job.priority, job.queue, job.command, job.fields["tags"]) == (7, "q", "ls", ["t"])


def test_an_edit_moves_the_time_only_when_it_is_about_the_time() -> None:
    """A new priority must not take the delay of a failed job away."""
    later = spell(NOON + 500)
    run_at = spell(NOON - 400)
    assert job_of(started(), FAILED, {"event": "edited", "set": {"priority": 1}}, run_at=run_at).run_at == NOON + 9
    assert job_of(started(), FAILED, {"event": "edited", "set": {"run_at": later}}).run_at == NOON + 500
    assert job_of({"event": "edited", "set": {"run_at": None}}, run_at=later).run_at == NOON
    assert job_of({"event": "edited", "run_at": later}).run_at == NOON + 500


def test_no_retry_waits_longer_than_the_longest_backoff() -> None:
    """If it seems to, the clock was set back; only the author's own time is waited for, however far away."""
    failed = job_of(started(), {**FAILED, "run_at": spell(NOON + 3600)})
    assert failed.due_at(NOON, 3600) == NOON + 3600
    assert failed.due_at(NOON - 10, 3600) == NOON - 10
    assert job_of(started(), {**FAILED, "run_at": spell(NOON + 3600)}, backoff_max=60).due_at(NOON, 3600) == NOON
    assert job_of(run_at=spell(NOON + 10**8)).due_at(NOON, 3600) == NOON + 10**8


def test_a_job_that_is_to_run_as_soon_as_possible_does_not_wait_for_a_clock_that_was_set_back() -> None:
    job = job_of(created_at=spell(NOON + 10**8))
    assert (job.run_at, job.due_at(NOON, 3600)) == (NOON + 10**8, NOON)
    assert job_of(seen_at=NOON + 10**8).due_at(NOON, 3600) == NOON
    assert job_of(created_at=CREATED).due_at(NOON, 3600) == NOON - 100
    when = spell(NOON + 50)
    assert job_of(created_at=when, run_at=when).due_at(NOON, 3600) == NOON + 50


@pytest.mark.parametrize("event", ["revived", "requeued", "interrupted"])
def test_a_job_put_back_to_run_at_once_does_not_wait_for_a_clock_that_was_set_back(event: str) -> None:
    entry = {"event": event, **({} if event == "revived" else {"run_at": spell(NOON)})}
    edited = {"event": "edited", "set": {"priority": 1}}
    assert job_of(entry, edited, run_at=CREATED).due_at(NOON - 10**8, 3600) == NOON - 10**8
    assert job_of(edited, {"event": "snoozed", "run_at": spell(NOON)}).due_at(NOON - 10**8, 3600) == NOON
    assert job_of(FAILED, {"event": "held"}, {"event": "released"}).due_at(NOON - 10**8, 60) == NOON - 10**8


def test_a_compaction_changes_nothing_but_the_history() -> None:
    """Hole H8."""
    snoozed = {"event": "snoozed", "exit_code": 75, "run_at": spell(NOON + 60)}
    died = {"event": "died", "reason": "interrupted", "error": "gone"}
    entries = [
        {**started(), "units": {"gpu": [0, 3]}},
        {**FAILED, "signal": "SIGKILL"},
        {"event": "edited", "set": {"queue": "q", "run_at": spell(NOON + 77.25)}},
        started(2),
        {"event": "interrupted", "error": "the worker died"},
        started(3),
        snoozed,
        {"event": "held"},
        {"event": "released"},
        died,
        {"event": "revived"},
        started(4),
        {"event": "completed", "exit_code": 0},
    ]
    for length in range(1, len(entries) + 1):
        job = job_of(*entries[:length], seen_at=NOON - 5)
        record = parse(render_new({"command": "true"}))
        for number, entry in enumerate(entries[:length]):
            record = record.grown(entry, record.growth({"at": spell(NOON + number), **entry}))
            record.history[-1].setdefault("at", spell(NOON + number))
        compact = record.compacted(job.compacted(NOON + 1000))
        again = Job("a", parse(compact.body + compact.tail), PENDING, NOON + 2000)
        assert [entry["event"] for entry in again.history] == ["compacted"]
        assert again.state == job.state
        for name in (*Job.__slots__, "run_s"):
            if name not in (*OF_HISTORY, "fields", "updated_at"):
                assert getattr(again, name) == getattr(job, name), (name, length)


def test_a_job_that_follows_its_file_is_the_job_that_is_read_anew() -> None:
    record = parse(render_new({"command": "true", "created_at": CREATED}))
    job = Job("a", record, PENDING, NOON)
    for entry in (started(), dict(FAILED), {"event": "edited", "set": {"priority": 3}}, {"event": "held"}):
        entry["at"] = spell(NOON)
        record = record.grown(entry, record.growth(entry))
        job.follow(record)
        fresh = Job("a", parse(record.body + record.tail), PENDING, NOON)
        assert {n: getattr(job, n) for n in Job.__slots__} == {n: getattr(fresh, n) for n in Job.__slots__}


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_an_instant_that_has_no_spelling_in_utc_is_refused(instant: str) -> None:
    """We write UTC: in a history entry it would make a file that nobody can read."""
    with pytest.raises(InvalidData, match="in the years 0001 to 9999 of UTC"):
        job_of(run_at=instant)


@pytest.mark.parametrize("mtime", [-1e15, 1e15, 253402300800.5, 1795513794.8766787])
def test_a_job_without_created_at_keeps_what_its_file_told_when_that_is_written(mtime: float) -> None:
    job = Job("a", parse(b'{"command":"true"}'), PENDING, mtime)
    assert parse_instant(spell(job.created_at)) == job.created_at == job.run_at


def test_argv_is_shown_as_a_command() -> None:
    record = parse(render_new({"argv": ["echo", "a b"]}))
    assert Job("a", record, PENDING, NOON).command == "echo 'a b'"


def test_a_signal_changes_no_state_and_the_time_that_a_stop_takes_is_counted() -> None:
    def signalled(name: str, at: str, **more: str) -> dict[str, str]:
        return {"event": "signalled", "at": at, "signal": name, **more}

    stop = signalled("SIGSTOP", "2026-11-24T14:00:10Z", reason="pause")
    job = job_of(started(), signalled("SIGHUP", "2026-11-24T14:00:09Z"), stop, directory=PROCESSING)
    assert (job.last_event, job.state, job.stopped_by, job.stopped_s) == ("started", "processing", "pause", 0.0)
    assert leads_to(job.history) is None
    again = [signalled("SIGSTOP", "2026-11-24T14:00:12Z"), signalled("SIGCONT", "2026-11-24T14:00:15Z")]
    job = job_of(started(), stop, *again, *again, directory=PROCESSING)
    assert (job.stopped_at, job.stopped_by, job.stopped_s) == (None, None, 8.0)
    kept = job_of(job.compacted(job.updated_at), directory=PROCESSING)
    assert (kept.stopped_at, kept.stopped_by, kept.stopped_s) == (None, None, 8.0)
    job = job_of(started(), stop, started(), directory=PROCESSING)
    assert (job.stopped_at, job.stopped_s) == (None, 0.0)
