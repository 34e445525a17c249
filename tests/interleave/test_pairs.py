"""Two processes at once: every pair of verbs, in every schedule with few switches."""

from __future__ import annotations

import os
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import pytest

from tests.interleave.actors import CANCEL, CONTENTIONS, DISPLACED, FINISH, STATES, VERBS, put
from tests.interleave.explore import Exploration, check, jobs_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.spools import Home

IS_FULL = os.environ.get("QUEUECTL_SWEEP") == "full"
BOUND = 3 if IS_FULL else 1
PAIRS = [*combinations_with_replacement(VERBS, 2)]


@pytest.mark.parametrize("pair", PAIRS, ids=["+".join(pair).replace(" ", "-") for pair in PAIRS])
def test_two_verbs_on_one_job(tmp_path: Path, pair: tuple[str, str]) -> None:
    for state in STATES:
        actors = [VERBS[name] for name in pair]
        exploration = Exploration(
            tmp_path / state, put(state), *actors, bound=BOUND, is_linear=not DISPLACED.issuperset(pair)
        )
        exploration.explore()
        assert exploration.schedules >= 2
        if not IS_FULL and state not in ("pending", "dead"):
            continue  # in the size of CI, deaths are tried in two of the states
        # A bulk enqueue is many. Whoever only looks may see a job in pending/ whose revival is undone.
        exploration.explore_deaths(is_linear="enqueue many" not in pair and pair != ("revive", "examine"))
        print(exploration)


@pytest.mark.parametrize("drop", ["drop by link", "drop by rename"])
def test_a_file_that_takes_the_name_of_a_job_is_moved_and_not_lost(tmp_path: Path, drop: str) -> None:
    def both_are_there(home: Home) -> None:
        check(home)
        assert len(jobs_of(home)) + len(os.listdir(home.layout.tmp)) == 2  # in tmp/ if it did not get the name

    for state in ("completed", "dead"):
        exploration = Exploration(
            tmp_path / state, put(state), VERBS["revive"], VERBS[drop], bound=2, is_linear=False, audit=both_are_there
        )
        exploration.explore()
        print(exploration)
        assert exploration.ends >= 2


@pytest.mark.parametrize("name", CONTENTIONS)
def test_two_verbs_that_contend_for_something(tmp_path: Path, name: str) -> None:
    """One name, one lock, one unit of a resource, one parent, one pause."""
    contention = CONTENTIONS[name]
    exploration = Exploration(
        tmp_path,
        contention.prepare,
        *contention.actors,
        bound=BOUND + 1,
        is_linear=contention.is_linear,
        **contention.settings,
    )
    exploration.explore()
    exploration.explore_deaths(is_linear="bulk" not in name)
    print(exploration)
    assert exploration.ends >= 2


def test_leaving_out_schedules_changes_nothing(tmp_path: Path) -> None:
    """The same ends are seen without it, in more schedules."""
    ends = []
    for prune in (True, False):
        exploration = Exploration(tmp_path / str(prune), put("pending"), FINISH, CANCEL, bound=2, prune=prune)
        exploration.explore()
        ends.append((exploration.judged, exploration.schedules))
    (with_pruning, few), (without, many) = ends
    assert with_pruning == without
    assert few < many / 5
