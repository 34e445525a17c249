"""The index built anew, and compared with the job files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from queuectl.index import clean_shutdown, sync
from queuectl.index import rebuild as verifying
from queuectl.index.database import discard
from queuectl.index.rebuild import build_or_catch_up, rebuild, verify
from queuectl.index.rows import row_of
from tests.unit.index.conftest import full_sync_happens

if TYPE_CHECKING:
    from queuectl.index.writer import Writer
    from tests.unit.index.conftest import Home
from tests.unit.index.conftest import run


def test_a_rebuilt_index_equals_the_spool_and_readers_notice_it(settled: Home) -> None:
    with settled.reader() as reader:
        assert reader.counts()["pending"] == 2
        settled.enqueue()
        run(rebuild(settled.spool, settled.index))
        assert reader.counts()["pending"] == 3
    assert settled.differences() == []
    assert not os.path.exists(settled.index + ".new")


def test_a_rebuilt_index_has_all_its_indexes_and_is_trusted(settled: Home) -> None:
    before = settled.writer()
    names = before._database.all("SELECT name, sql FROM sqlite_master ORDER BY name")
    before.close()
    run(rebuild(settled.spool, settled.index))
    with settled.reader() as reader:
        assert reader._database.all("SELECT name, sql FROM sqlite_master ORDER BY name") == names
        assert reader._database.all("PRAGMA integrity_check") == [("ok",)]
        assert reader._database.all("PRAGMA journal_mode") == [("wal",)]
        assert clean_shutdown.is_current(settled.spool, reader)
    assert not full_sync_happens(settled)


def test_a_rebuild_that_is_given_up_leaves_the_old_index(settled: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "STEP", 1)
    monkeypatch.setattr(sync, "LIST_BATCH", 1)
    pieces = rebuild(settled.spool, settled.index)
    next(pieces)
    next(pieces)
    del pieces
    assert not os.path.exists(settled.index + ".new")
    assert settled.differences() == []
    assert full_sync_happens(settled)


def test_what_a_killed_rebuild_left_is_thrown_away(settled: Home) -> None:
    with open(settled.index + ".new", "w", encoding="utf-8") as file:
        file.write("half an index")
    run(rebuild(settled.spool, settled.index))
    assert settled.differences() == []


def test_a_rebuild_replaces_an_index_that_is_damaged(settled: Home) -> None:
    with open(settled.index, "w", encoding="utf-8") as file:
        file.write("garbage")
    run(rebuild(settled.spool, settled.index))
    assert settled.differences() == []


@pytest.mark.parametrize(("many", "is_there", "is_rebuilt"), [(2, False, True), (2, True, False), (1000, False, False)])
def test_a_command_builds_the_index_of_many_jobs_beside_its_place(
    settled: Home, monkeypatch: pytest.MonkeyPatch, many: int, is_there: bool, is_rebuilt: bool
) -> None:
    monkeypatch.setattr(verifying, "MANY_JOBS", many)
    if not is_there:
        discard(settled.index)
    pieces = build_or_catch_up(settled.spool)
    next(pieces)
    assert os.path.exists(settled.index + ".new") == is_rebuilt
    run(pieces)
    assert settled.differences() == []
    assert not full_sync_happens(settled)


def test_verify_finds_nothing_where_nothing_differs(settled: Home) -> None:
    settled.drop("nightly.json", '{"command": "a file without created_at"}')
    settled.catch_up()
    with settled.reader() as reader:
        found = [*verify(settled.spool, reader)]
    assert found == [None] * 9


def test_verify_names_what_is_missing_stale_and_extra(settled: Home) -> None:
    index = settled.writer()
    index.remove("waiting")
    ghost = row_of(settled.spool.read("completed"))
    ghost[0] = "ghost"
    index.put(ghost)
    wrong = row_of(settled.spool.read("dead"))
    wrong[2] = "elsewhere"
    index.put(wrong)
    index.close()
    with settled.reader() as reader:
        found = {d.id: d for d in verify(settled.spool, reader) if d is not None}
    assert {job_id: d.kind for job_id, d in found.items()} == {"waiting": "missing", "ghost": "extra", "dead": "stale"}
    assert found["dead"].spool == {"queue": "default"}
    assert found["dead"].index == {"queue": "elsewhere"}
    assert str(found["dead"]) == "dead: stale: queue is 'default', not 'elsewhere'"
    assert found["waiting"].spool is not None
    assert found["waiting"].index is None
    assert found["ghost"].spool is None


def test_verify_changes_nothing(settled: Home) -> None:
    settled.drop("broken.json", "{")
    with settled.reader() as reader:
        run(verify(settled.spool, reader))
    assert os.path.exists(settled.path("pending", "broken.json"))
    assert os.listdir(settled.layout.rejected) == []


def test_a_writer_that_is_handed_rows_without_any_comparison_closes_unmarked(settled: Home) -> None:
    index: Writer = settled.writer()
    index.put(row_of(settled.spool.read("dead")))
    index.close()
    assert full_sync_happens(settled)
