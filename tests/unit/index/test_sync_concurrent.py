"""Sync while jobs move on: none is missing and none is there twice."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from queuectl.index import sync
from queuectl.index.database import Database, IndexUnavailable
from queuectl.index.rows import row_of
from queuectl.index.sync import catch_up, refresh
from tests.unit.index.conftest import full_sync_happens

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.index.conftest import Home
from tests.unit.index.conftest import fill, run

# --- while others go on


def revive(home: Home) -> None:
    with home.spool.take("completed") as claim:
        claim.revive()


def run_to_the_end(home: Home) -> None:
    home.finish("waiting")


def put_back(home: Home) -> None:
    with home.spool.take_in("processing", "running") as claim:  # type: ignore[union-attr]
        claim.put_back()


def bury_and_revive(home: Home) -> None:
    with home.start("waiting") as claim:
        claim.move_to_dead("permanent_exit", {"exit_code": 1})
    with home.spool.take("waiting") as claim:
        claim.revive()
        home.spool.note_change("waiting")  # as Queue.retry does


def delete(home: Home) -> None:
    with home.spool.take("cancelled") as claim:
        claim.delete()


def drop_one_with_the_name_of_an_ended_job(home: Home) -> None:
    home.drop("dead.json", '{"command": "anew"}')


MOVES = (revive, run_to_the_end, put_back, bury_and_revive, delete, drop_one_with_the_name_of_an_ended_job)


@pytest.mark.parametrize("starts_empty", [True, False], ids=["new index", "known index"])
@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.__name__)
def test_a_job_that_moves_at_any_moment_of_the_comparison_is_neither_lost_nor_doubled(
    new_home: Callable[[], Home], move: Callable[[Home], None], starts_empty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what happens after the last look at a directory is left for the next comparison, which then finds it."""
    monkeypatch.setattr(sync, "STEP", 0)
    monkeypatch.setattr(sync, "LIST_BATCH", 1)
    outcomes = ""
    for at in range(200):
        home = new_home()
        fill(home)
        if not starts_empty:
            home.catch_up()
        home.let_time_pass()
        moved = False
        for piece, _ in enumerate(catch_up(home.spool, full=True)):
            if piece == at:
                move(home)
                moved = True
        if not moved:
            break
        outcomes += "later " if home.differences() else "at once "
        assert home.rows().keys() >= home.jobs().keys(), f"lost after piece {at}"
        home.catch_up()
        assert home.differences() == [], f"moved after piece {at}"
    print(outcomes)
    assert outcomes.startswith("at once " * 6), "the comparison was over before much could move"
    assert outcomes.count("later") <= 1, "only what moves after the last look is left for the next comparison"
    assert "later at once" not in outcomes


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.__name__)
def test_what_is_reported_while_the_comparison_goes_on_is_in_the_index_in_the_end(
    new_home: Callable[[], Home], move: Callable[[Home], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a supervisor: the move is told by events and reports, the comparison does not come back to it."""
    monkeypatch.setattr(sync, "STEP", 0)
    monkeypatch.setattr(sync, "LIST_BATCH", 1)
    tried = 0
    for at in range(200):
        home = new_home()
        fill(home)
        index = home.writer()
        moved = False
        for piece, _ in enumerate(sync.sync(home.spool, index, watched=True)):
            if piece == at:
                move(home)
                for job_id in ("waiting", "running", "completed", "cancelled", "dead"):
                    refresh(home.spool, index, job_id)
                moved = True
        index.close()
        if not moved:
            break
        tried += 1
        assert home.differences() == [], f"moved after piece {at}"
    print(f"{tried} moments")
    assert tried > 10


def test_directories_that_never_come_to_rest_end_the_comparison_all_the_same(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "STEP", 0)
    monkeypatch.setattr(sync, "LIST_BATCH", 1)
    fill(home)
    for pieces, _ in enumerate(catch_up(home.spool)):
        home.enqueue(id=f"j{pieces}")
        assert pieces < 5000
    home.catch_up()
    assert home.differences() == []


def test_a_comparison_does_not_go_on_in_an_index_that_was_opened_anew(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "STEP", 1)
    monkeypatch.setattr(sync, "LIST_BATCH", 1)
    fill(home)
    index = home.writer()
    pieces = sync.sync(home.spool, index)
    next(pieces)
    index.reopen(anew=True)
    with pytest.raises(IndexUnavailable):
        run(pieces)
    for _ in sync.sync(home.spool, index):
        continue
    index.close()
    assert home.differences() == []


def test_a_comparison_that_fails_leaves_no_mark_of_a_clean_close(
    settled: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = Database.change

    def fail(database: Database, *steps: Any) -> int:
        if steps[0][0] == "put":
            raise IndexUnavailable("out of luck")
        return change(database, *steps)

    settled.enqueue()
    with monkeypatch.context() as patch:
        patch.setattr(Database, "change", fail)
        with pytest.raises(IndexUnavailable):
            settled.catch_up()
    assert full_sync_happens(settled)


# --- live rows


def test_a_row_without_a_witness_is_read_again_once(home: Home) -> None:
    home.enqueue(id="a")
    index = home.writer()
    for _ in sync.sync(home.spool, index):
        continue
    with home.start("a") as claim:
        claim.finish({"exit_code": 0})
        index.put(row_of(claim.job))
    index.close()
    assert home.catch_up().read == 1
    home.let_time_pass()
    assert home.catch_up().read == 0
    assert home.differences() == []


def test_a_row_reported_with_its_witness_is_not_read_again(home: Home) -> None:
    home.enqueue(id="a")
    index = home.writer()
    for _ in sync.sync(home.spool, index):
        continue
    with home.start("a") as claim:
        claim.finish({"exit_code": 0})
        index.put(row_of(claim.job, os.stat(home.layout.job("done", "a"))))
    index.close()
    assert home.catch_up().read == 0
    assert home.differences() == []
