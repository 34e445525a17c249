"""Schedules that once failed, each by the string that the search printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.interleave.actors import CANCEL, FINISH, VERBS, dropping_in_place, examining, nothing, put
from tests.interleave.explore import Exploration, spelled, state_of

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_that_is_completed_while_it_is_judged_is_not_rejected(tmp_path: Path) -> None:
    """The writer closed it between the comparison with what was read and the look for a writer."""
    exploration = Exploration(tmp_path, nothing, dropping_in_place(), examining(), bound=0)
    scheduler = exploration.replay("A2 B6 A2 B7")
    assert scheduler.schedule().startswith("A2 B6 A2")
    assert spelled(scheduler.results[1][0][1]) == "being written"
    exploration = Exploration(tmp_path / "claim", nothing, FINISH, dropping_in_place(), bound=0)
    scheduler = exploration.replay("B2 A12 B2 A7")
    assert spelled(scheduler.results[0][0][1]) == "being written"


def test_a_verb_on_an_id_does_not_change_a_dropped_file_of_that_name(tmp_path: Path) -> None:
    """The file was cancelled, and the finished job whose id it is was moved to rejected/."""
    exploration = Exploration(tmp_path, put("completed"), CANCEL, VERBS["drop by link"], bound=0)
    scheduler = exploration.replay("B5 A30")
    assert spelled(scheduler.results[0][0][1]) == "'completed'"
    # `replay` has examined the file: it got an id of its own
    assert sorted(state_of(tmp_path / "home")) == ["spool/done/a.json", "spool/pending/a-ULID.json"]


def test_resume_says_that_it_ended_a_pause_which_began_meanwhile(tmp_path: Path) -> None:
    """It had looked for the pause before it was there, and answered that nothing was paused."""
    exploration = Exploration(tmp_path, put("pending"), VERBS["pause"], VERBS["resume"], bound=0)
    scheduler = exploration.replay("A1 B1 A3 B1")
    assert spelled(scheduler.results[1][0][1]) == "True"
    assert "state/paused/default" not in state_of(tmp_path / "home")
