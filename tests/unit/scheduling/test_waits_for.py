"""Why a job does not run now."""

from __future__ import annotations

import json
from typing import Any

import pytest

from queuectl.clock import parse_instant, spell
from queuectl.job.job import Job
from queuectl.job.job_file import parse
from queuectl.scheduling.waits_for import OWN, Supervision, Why, waits_for

NOW = parse_instant("2026-11-24T14:00:00.000000Z")
STARTED = {"event": "started", "attempt": 1, "at": spell(NOW - 10), "worker": "worker-1"}
HELD = {"event": "held", "at": spell(NOW - 5)}
FAILED = {"event": "failed", "at": spell(NOW - 5), "exit_code": 1, "run_at": spell(NOW + 38)}
SNOOZED = {"event": "snoozed", "at": spell(NOW - 5), "exit_code": 75, "run_at": spell(NOW + 60)}


def job(*history: dict[str, Any], directory: str = "pending", **fields: Any) -> Job:
    body = {"id": "a", "command": "true", "created_at": spell(NOW - 60), **fields}
    return Job("a", parse(json.dumps({**body, "history": [*history]} if history else body).encode()), directory, NOW)


def worker(state: str, job_id: str | None = None) -> dict[str, Any]:
    return {"name": "worker-1", "state": state, "job_id": job_id}


def answering(*workers: dict[str, Any], **said: Any) -> Supervision:
    caller = said.pop("caller", "")
    return Supervision({"draining": False, "full": None, "workers": [*workers], **said}, caller=caller)


IDLE = answering(worker("idle"))
NONE = Supervision(None)


def reasons(of: Job, supervision: Supervision) -> list[tuple[Why, str]]:
    return [(reason.why, reason.words(NOW)) for reason in waits_for(of, supervision, NOW, 3600)]


@pytest.mark.parametrize(
    ("of", "supervision"),
    [
        (job(), IDLE),
        (job(), answering(worker("busy", "b"), worker("starting"))),
        (job(STARTED, directory="processing"), answering(worker("busy", "a"))),
        (job(STARTED, directory="processing"), Supervision(None, is_silent=True)),
        (job(STARTED, directory="processing"), Supervision(None, orphaned=["a"])),
        (job(STARTED, {"event": "completed", "at": spell(NOW)}, directory="done"), NONE),
        (job(STARTED, {"event": "died", "at": spell(NOW)}, directory="dead"), NONE),
    ],
)
def test_a_job_that_runs_has_ended_or_is_about_to_start_waits_for_nothing(of: Job, supervision: Supervision) -> None:
    assert reasons(of, supervision) == []


@pytest.mark.parametrize(
    ("supervision", "why", "words"),
    [
        (NONE, Why.NO_SUPERVISOR, "no supervisor is running"),
        (Supervision(None, is_silent=True, pid=12), Why.NO_ANSWER, "the supervisor (pid 12) does not answer"),
        (answering(worker("busy", "b"), draining=True), Why.STOPPING, "the supervisor is stopping"),
        (answering(draining=True, restarting=True), Why.STOPPING, "the supervisor is restarting"),
        (answering(), Why.NO_WORKER, "no worker is running"),
        (answering(worker("stopping", "b")), Why.NO_WORKER, "no worker is running"),
        (
            *(answering(worker("backoff")), Why.NO_WORKER),
            "no worker is running: 1 worker died and will be started again",
        ),
        (answering(worker("idle"), full="the disk of /q is full"), Why.DISK, "the disk of /q is full"),
        (answering(worker("busy", "b")), Why.WORKERS_BUSY, "the only worker is busy"),
        (answering(*[worker("busy", "b")] * 3), Why.WORKERS_BUSY, "all 3 workers are busy"),
        (
            *(answering(worker("busy", "b"), caller="b"), Why.WORKERS_BUSY),
            "the only worker runs the very job that is waiting here",
        ),
        (
            *(answering(worker("busy", "b"), worker("busy", "c"), caller="c"), Why.WORKERS_BUSY),
            "all 2 workers are busy, one of them with the job that is waiting here",
        ),
    ],
)
def test_what_holds_every_job_up(supervision: Supervision, why: Why, words: str) -> None:
    assert reasons(job(), supervision) == [(why, words)]


@pytest.mark.parametrize(
    ("of", "why", "words"),
    [
        (job(HELD), Why.HELD, "it is held"),
        (job(run_at=spell(NOW + 7500)), Why.SCHEDULED, "it is scheduled to run in 2h 05m"),
        (job(STARTED, FAILED), Why.RETRY, "attempt 1 failed, the next one is in 38s"),
        (job(STARTED, SNOOZED), Why.SNOOZED, "it asked to run again in 1m 00s"),
    ],
)
def test_what_the_job_itself_waits_for(of: Job, why: Why, words: str) -> None:
    """With nobody to run it later, that too; what may be over by then is left out."""
    assert why in OWN
    assert reasons(of, IDLE) == [(why, words)]
    assert reasons(of, answering(worker("busy", "b"), full="the disk is full")) == [(why, words)]
    assert reasons(of, NONE) == [(why, words), (Why.NO_SUPERVISOR, "no supervisor is running")]


def test_a_running_job_without_a_supervisor_is_not_known_to_go_on() -> None:
    assert reasons(job(STARTED, directory="processing"), NONE) == [(Why.NO_SUPERVISOR, "no supervisor is running")]


def test_json_has_the_kind_the_words_the_instant_and_what_helps() -> None:
    held, none = waits_for(job(HELD), NONE, NOW, 3600)
    assert held.as_dict("a") == {
        "reason": "held",
        "text": "it is held",
        "until": None,
        "jobs": [],
        "limit": None,
        "hint": "queuectl release a",
    }
    assert none.as_dict("a")["hint"] == "queuectl worker start --count 2"
    (later,) = waits_for(job(run_at=spell(NOW + 60)), IDLE, NOW, 3600)
    assert later.as_dict("a")["until"] == "2026-11-24T14:01:00.000000Z"
    assert later.as_dict("a")["text"] == "it is scheduled to run at 2026-11-24T14:01:00Z"
