"""Which hooks an event calls, and whose command is used."""

from __future__ import annotations

import pytest

from queuectl.config.settings import Settings
from queuectl.job.fields import HOOKS
from queuectl.job.history import EVENTS
from queuectl.job.hooks import called_by, command_of

SETTINGS = Settings.from_dict({"on_dead": "of all", "queues": {"mail": {"on_dead": "of the queue", "on_cancel": "c"}}})


@pytest.mark.parametrize("event", EVENTS)
def test_what_each_event_calls(event: str) -> None:
    expected = {
        "completed": ["on_success"],
        "failed": ["on_failure"],
        "cancelled": ["on_cancel"],
        "died": ["on_dead"],
        "expired": ["on_dead"],
    }
    assert [*called_by({"event": event})] == expected.get(event, [])


def test_a_death_of_a_failed_attempt_is_a_failure_too() -> None:
    assert called_by({"event": "died", "exit_code": 1}) == ("on_failure", "on_dead")
    assert called_by({"event": "died", "reason": "interrupted"}) == ("on_dead",)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "of all"),
        ({"queue": "other"}, "of all"),
        ({"queue": "mail"}, "of the queue"),
        ({"queue": "mail", "on_dead": "of the job"}, "of the job"),
    ],
)
def test_the_most_specific_command_is_used(fields: dict[str, str], expected: str) -> None:
    assert command_of("on_dead", fields, SETTINGS) == expected


def test_without_a_command_there_is_none() -> None:
    assert [command_of(hook, {}, Settings()) for hook in HOOKS] == [None] * 4
    assert command_of("on_cancel", {"queue": "mail"}, SETTINGS) == "c"
