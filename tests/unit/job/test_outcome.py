"""How an attempt ended, in numbers, words and the history."""

from __future__ import annotations

import pytest

from queuectl.job.history import wrong_with
from queuectl.job.outcome import (
    CpuLimit,
    Exited,
    FailedToStart,
    MemoryLimit,
    Outcome,
    OutputLimit,
    Signaled,
    TimedOut,
    Usage,
    describe,
    entry_details,
    exit_code,
    signal_name,
    succeeded,
)

CASES: list[tuple[Outcome, int, str, dict[str, object]]] = [
    (Exited(0), 0, "exit code 0", {}),
    (Exited(3), 3, "exit code 3", {}),
    (Signaled(9), 137, "killed by SIGKILL", {"signal": "SIGKILL"}),
    (Signaled(15), 143, "killed by SIGTERM", {"signal": "SIGTERM"}),
    (TimedOut(2.5), 124, "timed out after 2.5s", {"timed_out": True}),
    (OutputLimit(1024), 137, "wrote more than max_output (1024 bytes)", {"output_limit": True}),
    (
        MemoryLimit(612 << 20, 500 << 20),
        137,
        "out of memory: used 612 MiB of the job's 500 MiB",
        {"memory_limit": True},
    ),
    (CpuLimit(1.5), 152, "used more than the job's cpu_time of 1.5s", {"cpu_limit": True}),
    (
        Signaled(9, memory_was_short=True),
        137,
        "killed by SIGKILL, probably because the machine ran out of memory",
        {"signal": "SIGKILL"},
    ),
    (FailedToStart("no such program", 127), 127, "no such program", {"failed_to_start": True}),
    (FailedToStart("no such directory"), 126, "no such directory", {"failed_to_start": True}),
]


@pytest.mark.parametrize(("outcome", "code", "words", "members"), CASES)
def test_an_outcome_in_numbers_words_and_history(
    outcome: Outcome, code: int, words: str, members: dict[str, object]
) -> None:
    assert exit_code(outcome) == code
    assert describe(outcome) == words
    assert entry_details(outcome, None) == {"exit_code": code, **members}
    assert succeeded(outcome) == (outcome == Exited(0))


def test_usage_is_recorded_as_far_as_it_is_known() -> None:
    assert entry_details(Exited(0), Usage(1.23456, 4096)) == {"exit_code": 0, "cpu_s": 1.235, "max_rss_bytes": 4096}
    assert entry_details(Exited(0), Usage(0.0, None)) == {"exit_code": 0, "cpu_s": 0.0}


@pytest.mark.parametrize("outcome", [case[0] for case in CASES])
def test_every_outcome_can_stand_in_a_history(outcome: Outcome) -> None:
    """The members that `entry_details` writes are those that `history` accepts."""
    entry = {"event": "failed", "at": "2026-11-24T14:01:58Z", **entry_details(outcome, Usage(0.1, 1))}
    assert wrong_with(entry) is None


def test_a_signal_without_a_name_is_a_number() -> None:
    assert signal_name(9) == "SIGKILL"
    assert signal_name(200) == "signal 200"
