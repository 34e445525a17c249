"""The index of a running supervisor is taken away in part: it notices by itself, and those who read it are told no tale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.client.queue import Queue
from queuectl.index.database import IndexUnavailable
from queuectl.index.reader import Reader
from queuectl.spool.fs import Files
from tests.support.supervised import Supervised

Make = Callable[..., Supervised]


def put_directory(index: Path) -> None:
    """At once, for a supervisor makes again what has gone."""
    made = index.with_name("made")
    made.mkdir()
    (made / "note").write_text("mine")
    Files().exchange(str(made), str(index))


def remove(suffix: str) -> Callable[[Path], None]:
    return lambda index: Path(f"{index}{suffix}").unlink()


HARMS = {"file": remove(""), "wal": remove("-wal"), "shm": remove("-shm"), "directory": put_directory}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS.keys())
def test_what_is_taken_of_the_index_is_made_again(supervised: Make, harm: Callable[[Path], None]) -> None:
    s = supervised(durability="relaxed")
    index = Path(s.queue.layout.index)
    s.start(1)
    ids = [s.queue.enqueue("true") for _ in range(3)]
    for job_id in ids:
        s.wait_for(job_id, "completed")
    assert s.queue.counts()["completed"] == 3
    harm(index)

    def is_whole() -> bool:
        """Nobody asks the supervisor."""
        try:
            with Reader(str(index)) as reader:
                return reader.counts()["completed"] == 3
        except IndexUnavailable as error:
            assert "another version" not in str(error)
            return False

    s.wait_until(is_whole, "the index is whole again")
    ids.append(s.queue.enqueue("true"))
    s.wait_for(ids[-1], "completed")
    s.wait_until(lambda: s.queue.counts()["completed"] == 4, "it goes on")
    if harm is put_directory:
        assert (index.with_name("index.sqlite3.1") / "note").read_text() == "mine"


def test_a_directory_in_its_place_is_moved_away_by_a_command_too(home: Path) -> None:
    queue = Queue(home)
    queue.enqueue("true")
    queue.counts()
    put_directory(Path(queue.layout.index))
    assert queue.counts()["pending"] == 1
