"""The mark of the last close: when it is not to be believed."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from queuectl.index import clean_shutdown, sync
from tests.unit.index.conftest import full_sync_happens

if TYPE_CHECKING:
    from tests.unit.index.conftest import Home
from tests.unit.index.conftest import Watched


def hold_silently(home: Home, job_id: str) -> None:
    """As a supervisor does, which tells the index in another way."""
    home.spool.announce = False
    home.hold(job_id)
    home.spool.announce = True


def test_an_index_that_was_not_closed_is_compared_in_full(settled: Home) -> None:
    index = settled.writer()
    hold_silently(settled, "waiting")
    index._database.close()  # killed
    assert full_sync_happens(settled)


def test_an_index_that_was_killed_while_it_compared_is_compared_in_full(
    settled: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_silently(settled, "waiting")
    settled.enqueue()
    monkeypatch.setattr(sync, "STEP", 1)
    monkeypatch.setattr(sync, "LIST_BATCH", 1)
    for pieces in range(8):
        index = settled.writer()
        running = sync.sync(settled.spool, index)
        for _ in range(pieces):
            next(running)
        index._database.close()
    assert full_sync_happens(settled)


def test_an_older_copy_of_the_index_is_compared_in_full(settled: Home) -> None:
    """Proves G12."""
    shutil.copy(settled.index, settled.index + ".old")
    settled.hold("waiting")
    settled.catch_up()
    os.replace(settled.index + ".old", settled.index)
    assert full_sync_happens(settled)


def test_an_older_copy_is_compared_in_full_also_when_the_newer_was_never_closed(settled: Home) -> None:
    shutil.copy(settled.index, settled.index + ".old")
    index = settled.writer()
    next(sync.sync(settled.spool, index))
    hold_silently(settled, "waiting")
    index._database.close()
    for suffix in ("-wal", "-shm"):
        if os.path.exists(settled.index + suffix):
            os.unlink(settled.index + suffix)
    os.replace(settled.index + ".old", settled.index)
    assert full_sync_happens(settled)


def test_a_machine_started_anew_has_its_index_compared_in_full(
    settled: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "boot").write_text("another\n")
    monkeypatch.setattr(clean_shutdown, "BOOT_ID", str(tmp_path / "boot"))
    assert full_sync_happens(settled)
    assert not full_sync_happens(settled)


def test_where_the_system_does_not_say_when_it_was_started_nothing_is_believed(
    settled: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(clean_shutdown, "BOOT_ID", str(tmp_path / "none"))
    assert full_sync_happens(settled)
    assert full_sync_happens(settled)


def test_without_run_the_index_is_compared_in_full(settled: Home) -> None:
    shutil.rmtree(settled.layout.run)
    settled.layout.ensure()
    assert full_sync_happens(settled)


def test_a_seal_that_cannot_be_read_counts_for_nothing(settled: Home) -> None:
    for text in ("", "{}", "[]", "not json", '{"boot":1,"token":2,"marks":3}', '{"marks":{"a":[1]}}'):
        index = settled.writer()
        index.set_meta("seal", text)
        index._database.close()
        assert full_sync_happens(settled)


def test_a_directory_that_changed_within_the_last_second_is_looked_at_again(home: Home) -> None:
    """A change after the listing may leave it the same mtime, where clocks are coarse."""
    home.enqueue(id="a")
    home.catch_up()
    marks = clean_shutdown.marks_of(home.spool)
    os.unlink(home.layout.job("pending", "a"))
    os.utime(home.layout.directory("pending"), ns=(marks["pending"][1], marks["pending"][1]))
    home.catch_up()
    assert home.differences() == []


def test_a_deleted_index_comes_back_whole(settled: Home) -> None:
    """Proves G12."""
    os.unlink(settled.index)
    assert full_sync_happens(settled)


def test_the_index_says_itself_whether_it_is_current(settled: Home) -> None:
    def is_current() -> bool:
        with settled.reader() as reader:
            return clean_shutdown.is_current(settled.spool, reader)

    assert is_current()
    settled.hold("waiting")
    assert not is_current()
    settled.catch_up()
    assert is_current()
    settled.enqueue(id="new")
    assert not is_current()
    settled.catch_up()
    settled.let_time_pass()
    settled.catch_up()
    assert is_current()
    os.truncate(settled.layout.job("processing", "running"), 0)
    assert not is_current()


def test_an_index_that_is_open_for_writing_is_not_current(settled: Home) -> None:
    index = settled.writer()
    with settled.reader() as reader:
        assert not clean_shutdown.is_current(settled.spool, reader)
    index.close()


def test_a_sync_within_a_session_believes_what_the_session_knows(settled: Home) -> None:
    index = settled.writer()
    for _ in sync.sync(settled.spool, index):
        continue
    files = Watched()
    settled.spool.files = files
    settled.enqueue(id="new")
    for _ in sync.sync(settled.spool, index):
        continue
    assert set(files.listed) == {"pending", "processing"}
    index.close()
    assert settled.differences() == []
