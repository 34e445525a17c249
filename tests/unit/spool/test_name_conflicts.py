"""Ids: a promise and a wish; strangers that take a name while a job moves."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.job.job import DONE, PENDING, PROCESSING
from queuectl.spool.claim import Claim
from queuectl.spool.fs import Files
from queuectl.spool.intake import ClaimRefused
from tests.support.faulty_fs import Old
from tests.support.spools import Home
from tests.unit.spool.conftest import Answer, claim, look

GRACE = 5.0  # drop_grace
IS_ROOT = os.geteuid() == 0


# --- ids: a promise and a wish


@pytest.mark.parametrize("state", ["completed", "dead"])
def test_an_id_inside_is_a_promise(spool: Home, state: str) -> None:
    spool.put(state, id="taken")
    spool.drop("other.json", {"command": "true", "id": "taken"})
    reason, answer = look(spool, "other.json")
    assert isinstance(answer, ClaimRefused)
    assert reason == "rejected"
    assert "duplicate-of taken" in answer.detail
    spool.drop("taken.json", {"command": "true", "id": "taken"})
    assert claim(spool, "taken")[0] == "rejected"


def test_a_promise_that_waits_already_is_a_duplicate(spool: Home) -> None:
    spool.put("pending", id="taken")
    spool.drop("other.json", {"command": "false", "id": "taken"})
    assert look(spool, "other.json")[0] == "rejected"
    assert spool.job("taken").command == "true"


def test_a_promise_under_another_name_is_renamed(spool: Home) -> None:
    for ask in (look, claim):
        name = "drop.json" if ask is look else "drop"
        spool.drop("drop.json", {"command": "true", "id": f"real-{ask.__name__}"})
        reason, answer = ask(spool, name)
        assert isinstance(answer, ClaimRefused)
        assert (reason, answer.job_id, answer.again_s) == ("renamed", f"real-{ask.__name__}", 0.0)
        assert claim(spool, f"real-{ask.__name__}")[0] == "claimed"


@pytest.mark.parametrize("ask", [look, claim])
@pytest.mark.parametrize("state", ["completed", "dead", "processing"])
def test_a_name_is_a_wish(spool: Home, state: str, ask: Callable[[Home, str], tuple[str, Answer]]) -> None:
    """A nightly backup.json runs every night, and the jobs of earlier nights keep their id."""
    spool.drop("backup.json", {"command": "first"})
    running = spool.start("backup")
    if state != "processing":
        running.finish({}) if state == "completed" else running.move_to_dead("x", {})
    spool.drop("backup.json", {"command": "second"})
    reason, answer = ask(spool, "backup" if ask is claim else "backup.json")
    assert isinstance(answer, ClaimRefused)
    assert reason == "renamed"
    assert answer.job_id is not None
    assert answer.job_id.startswith("backup-")
    with spool.start(answer.job_id) as got:
        assert got.job.command == "second"
    assert spool.rejected() == {}
    running.close()


def test_the_longest_wish_can_be_renamed(spool: Home) -> None:
    name = "x" * 128
    for _ in range(2):
        spool.drop(f"{name}.json", {"command": "true"})
        _, answer = claim(spool, name)
        if isinstance(answer, Claim):
            answer.finish({})
            answer.close()
    assert isinstance(answer, ClaimRefused)
    assert answer.job_id is not None
    assert len(answer.job_id) == 128
    assert claim(spool, answer.job_id)[0] == "claimed"


# --- strangers that slip in


def test_a_stranger_that_takes_the_name_in_between_goes_back(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was locked and read is what runs, or nothing. Hole H20."""
    job_id = spool.put("pending")
    real = Files.move

    def slip_in(self: Files, source: str, target: str) -> None:
        monkeypatch.undo()
        os.rename(spool.drop(".new", '{"command":"evil"}'), source)
        real(self, source, target)

    monkeypatch.setattr(Files, "move", slip_in)
    assert claim(spool, job_id)[0] == "busy"
    assert spool.where(job_id) == [PENDING]
    assert spool.text(PENDING, job_id) == '{"command":"evil"}'


def test_a_stranger_that_finds_his_name_taken_on_the_way_back_gets_another(
    spool: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = spool.put("pending")
    real = Files.move
    moves: list[str] = []

    def slip_in(self: Files, source: str, target: str, **how: bool) -> None:
        moves.append(target)
        if len(moves) <= 2:  # in place of ours, then in the place it came from
            os.rename(spool.drop(".new", f'{{"command":"echo {len(moves)}"}}'), spool.path(PENDING, job_id))
        real(self, source, target, **how)

    monkeypatch.setattr(Files, "move", slip_in)
    assert claim(spool, job_id)[0] == "busy"
    monkeypatch.undo()
    commands = sorted(spool.job(each).command for each in spool.ids(PENDING))
    assert commands == ["echo 1", "echo 2"]
    assert spool.where(job_id) == [PENDING]
    assert os.listdir(spool.layout.directory(PROCESSING)) == []


def test_a_job_that_vanishes_in_between_is_not_claimed(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = spool.put("pending")
    real = Files.move

    def vanish(self: Files, source: str, target: str) -> None:
        os.unlink(source)
        real(self, source, target)

    monkeypatch.setattr(Files, "move", vanish)
    assert claim(spool, job_id)[0] == "busy"
    assert spool.where(job_id) == []


def test_somebody_in_processing_under_our_name_makes_way(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody but a claim has business there; it was not there when we looked."""
    job_id = spool.put("pending")
    real = Files.move

    def appear(self: Files, source: str, target: str) -> None:
        monkeypatch.undo()
        spool.path(PROCESSING, job_id).write_text("x")
        real(self, source, target)

    monkeypatch.setattr(Files, "move", appear)
    assert claim(spool, job_id)[0] == "claimed"
    assert list(spool.rejected()) == [f"{job_id}.json"]


def test_the_memory_of_restless_files_is_bounded(spool: Home) -> None:
    for number in range(30):
        spool.quiet_timer.seconds_until_quiet(f"a{number}", spool.clock.now() + 10, (number,), spool.clock, 0.1)
    assert len(spool.quiet_timer._seen) == 30
    spool.quiet_timer.forget("a3")
    assert len(spool.quiet_timer._seen) == 29


# --- renaming where the system cannot do it at once


class Killed(BaseException):
    """The process dies here."""


class DiesBetween(Old):
    """Dies after the link of a move in two steps, before the unlink."""

    def unlink(self, path: str) -> None:
        raise Killed


def test_a_renaming_cut_short_leaves_one_job(tmp_path: Path) -> None:
    """The file has both names; under which it is looked at first does not matter."""
    for first, second in (("drop", "real"), ("real", "drop")):
        spool = Home(tmp_path / first, files=DiesBetween())
        spool.drop("drop.json", {"id": "real", "command": "true"})
        with pytest.raises(Killed):
            claim(spool, "drop")
        assert sorted(spool.ids(PENDING)) == ["drop", "real"]
        spool.files = Old()
        for _ in range(3):
            for job_id in (first, second):
                seen, answer = look(spool, f"{job_id}.json")
                assert seen in ("job", "gone", "renamed"), answer
        assert list(spool.ids(PENDING)) == ["real"]
        assert claim(spool, "real")[0] == "claimed"
        assert spool.rejected() == {}


def test_a_renaming_to_a_fresh_id_takes_one_step(tmp_path: Path) -> None:
    """A name that is a wish gets an id of its own; with two of them it would run twice."""
    spool = Home(tmp_path / "home", files=DiesBetween())
    spool.drop("backup.json", {"command": "true"})
    spool.path(DONE, "backup").write_text('{"command":"true","history":[]}')
    seen, answer = look(spool, "backup.json")
    assert isinstance(answer, ClaimRefused)
    assert (seen, list(spool.ids(PENDING))) == ("renamed", [answer.job_id])
