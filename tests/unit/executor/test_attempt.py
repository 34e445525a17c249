"""The deadline of an attempt: its clock stands while the attempt is stopped."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from queuectl.executor import attempt
from queuectl.executor.attempt import NEVER, RunningAttempt
from queuectl.executor.limits import Used
from queuectl.job.outcome import TimedOut
from tests.support.spools import Home

STARTED = 1000.0


class Scene:
    def __init__(self, path: Path) -> None:
        self.home = Home(path / "home")
        self.sent: list[int] = []

    def run(self, *stops: str, **fields: object) -> RunningAttempt:
        """An attempt of a job, whose history has these signals, a minute apart."""
        with self.home.start(self.home.put("pending", **fields)) as claim:
            for name in stops:
                claim.note_signal(name)
                self.home.clock.advance(60)
            return RunningAttempt(
                *(claim.job, 4711, self.home.settings, "/nowhere", STARTED, list),
                lambda: self.is_alive,
                lambda _: Used(0, 0.0),
            )

    is_alive = True


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene(tmp_path)
    monkeypatch.setattr(attempt, "signal_group", lambda pid, number: pid == 4711 and not made.sent.append(number))
    return made


def has_timed_out(run: RunningAttempt) -> bool:
    return isinstance(run._early, TimedOut)


def test_no_time_passes_while_it_is_stopped(scene: Scene) -> None:
    run = scene.run(timeout=10)
    run.step(STARTED + 8)
    assert run.send(signal.SIGSTOP, STARTED + 8, "pause")
    assert (run.stopped_since, run.stopped_by) == (STARTED + 8, "pause")
    assert run.step(STARTED + 100) == NEVER
    assert run.send(signal.SIGSTOP, STARTED + 150)  # it is stopped already
    assert run.send(signal.SIGCONT, STARTED + 200)
    assert run.stopped_since is None
    run.step(STARTED + 201.5)
    assert not has_timed_out(run)
    run.step(STARTED + 202)
    assert has_timed_out(run)
    assert scene.sent == [signal.SIGSTOP, signal.SIGSTOP, signal.SIGCONT]


def test_the_time_that_another_process_had_it_stopped_does_not_count_either(scene: Scene) -> None:
    """After its worker died, the supervisor has the history only."""
    run = scene.run("SIGSTOP", "SIGCONT", timeout=10)
    run.step(STARTED + 69)
    assert not has_timed_out(run)
    run.step(STARTED + 70)
    assert has_timed_out(run)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGHUP])
def test_what_is_being_ended_is_sent_nothing_else(scene: Scene, number: int) -> None:
    run = scene.run(timeout=10)
    run.end("cancelled", STARTED + 1)
    assert not run.send(number, STARTED + 2)
    assert (scene.sent, run.stopped_since) == ([], None)
