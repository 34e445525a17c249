"""What becomes of a job after an attempt."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.config.settings import Settings
from queuectl.job.outcome import Exited, FailedToStart, Outcome, OutputLimit, Signaled, TimedOut
from queuectl.job.retry import (
    MAX_SNOOZES,
    STOPPED_BY_WORKER,
    Finish,
    MoveToDead,
    RetryAt,
    SnoozeUntil,
    Verdict,
    delay_s,
    stops_in_a_row,
    verdict,
)

NOW = 1_800_000_000.0
FAILURES: list[Outcome] = [Exited(1), Exited(127), Signaled(9), TimedOut(5.0), OutputLimit(10), FailedToStart("no")]


def judge(
    outcome: Outcome, *, failures: int = 0, snoozes: int = 0, chance: float = 0.5, fields: Any = None, **settings: Any
) -> Verdict:
    return verdict(fields or {}, failures, snoozes, outcome, Settings.from_dict(settings), NOW, chance)


def test_exit_code_0_finishes_the_job() -> None:
    assert judge(Exited(0), failures=99) == Finish()


@pytest.mark.parametrize("outcome", FAILURES)
def test_everything_else_is_tried_again(outcome: Outcome) -> None:
    assert judge(outcome) == RetryAt(NOW + 2)
    assert judge(outcome, failures=2) == RetryAt(NOW + 8)
    assert judge(outcome, failures=3) == MoveToDead("retries_exhausted")


@given(st.integers(0, 20))
def test_a_job_runs_at_most_once_more_than_its_retries(retries: int) -> None:
    """Following the verdicts of a job that always fails, there are 1 + max_retries attempts. Proves G6."""
    attempts = 0
    while True:
        attempts += 1
        decided = judge(Exited(1), failures=attempts - 1, fields={"max_retries": retries})
        if decided == MoveToDead("retries_exhausted"):
            break
    assert attempts == 1 + retries


def test_what_the_job_says_wins_over_the_configuration() -> None:
    fields = {"max_retries": 0}
    assert judge(Exited(1), fields=fields, max_retries_default=5) == MoveToDead("retries_exhausted")
    assert judge(Exited(1), fields={"backoff_base": 10, "backoff_max": 4}) == RetryAt(NOW + 4)
    assert judge(Exited(1), backoff_base=3) == RetryAt(NOW + 3)


def test_a_program_that_does_not_exist_is_given_up_at_once_unless_the_job_says_how_often_to_try() -> None:
    missing, not_executable, argv = FailedToStart("no such program", 127), FailedToStart("no", 126), {"argv": ["x"]}
    assert judge(missing, fields=argv) == MoveToDead("program_not_found")
    assert judge(missing, fields={**argv, "max_retries": 3}) == RetryAt(NOW + 2)
    assert judge(missing, fields={"command": "x"}) == RetryAt(NOW + 2)
    assert judge(not_executable, fields=argv) == judge(Exited(127), fields=argv) == RetryAt(NOW + 2)


def test_a_permanent_exit_code_buries_at_once() -> None:
    assert judge(Exited(64), permanent_exit_codes=[64, 65]) == MoveToDead("permanent_exit")
    assert judge(Exited(66), permanent_exit_codes=[64, 65]) == RetryAt(NOW + 2)
    assert judge(Signaled(64), permanent_exit_codes=[64]) == RetryAt(NOW + 2)


def test_a_snooze_costs_no_retry_but_does_not_go_on_for_ever() -> None:
    """Proves G6."""
    settings = {"snooze_exit_code": 75, "snooze_delay": 30}
    assert judge(Exited(75), failures=3, **settings) == SnoozeUntil(NOW + 30)
    assert judge(Exited(75), snoozes=MAX_SNOOZES - 1, **settings) == SnoozeUntil(NOW + 30)
    assert judge(Exited(75), snoozes=MAX_SNOOZES, **settings) == RetryAt(NOW + 2)
    assert judge(Exited(75)) == RetryAt(NOW + 2)


@given(
    st.floats(1e-3, 1e6),
    st.floats(1e-3, 1e6),
    st.floats(0, 1),
    st.integers(1, 10**6),
    st.floats(0, 1, exclude_max=True),
)
def test_a_delay_is_never_longer_than_the_longest_backoff(
    base: float, longest: float, jitter: float, failures: int, chance: float
) -> None:
    fields = {"backoff_base": base, "backoff_max": longest, "backoff_jitter": jitter}
    assert 0 <= delay_s(fields, failures, Settings(), chance) <= longest


def test_jitter_spreads_the_delay_to_both_sides() -> None:
    fields = {"backoff_jitter": 0.5}
    assert [delay_s(fields, 2, Settings(), chance) for chance in (0, 0.5, 0.75)] == [2, 4, 5]


def test_delays_are_powers_of_the_base() -> None:
    assert [delay_s({}, n, Settings(), 0.5) for n in range(1, 5)] == [2, 4, 8, 16]
    assert delay_s({}, 12, Settings(), 0.5) == 3600
    assert delay_s({"backoff_base": 1e300}, 1000, Settings(), 0.5) == 3600


def test_stops_in_a_row_are_counted_back_to_anything_else() -> None:
    """A job that could not be started, or that a person had run at once, was put back for another reason."""
    stop = [{"event": "started"}, {"event": "requeued", **STOPPED_BY_WORKER}]
    assert stops_in_a_row([]) == 0
    assert stops_in_a_row([*stop * 3, {"event": "started"}]) == 3
    assert stops_in_a_row([*stop, {"event": "failed"}, *stop * 2, {"event": "started"}]) == 2
    assert stops_in_a_row([*stop, {"event": "requeued", "reason": "could not be started"}, *stop]) == 1
    assert stops_in_a_row([*stop, {"event": "requeued"}, {"event": "started"}]) == 0
