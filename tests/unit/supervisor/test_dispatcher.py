"""What is known of a job that a worker has in hand, when somebody does something to its file meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.index.reader import Reader
from queuectl.index.rows import row_of
from queuectl.job.job import DONE, PENDING
from queuectl.log import Log
from queuectl.supervisor.dispatcher import RETURNED, Dispatcher
from tests.support.spools import Home


class Scene:
    def __init__(self, path: Path) -> None:
        self.spool = Home(path / "home")
        self.dispatch = Dispatcher(self.spool, Log(str(path / "log"), "supervisor"), lambda _: None, lambda _: None)

    def in_the_index(self, job_id: str) -> bool:
        self.dispatch.commit()
        with Reader(self.spool.layout.index) as reader:
            return reader.row(job_id) is not None


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.dispatch.close()


def test_a_job_that_was_deleted_before_its_end_was_reported_does_not_come_back(scene: Scene) -> None:
    """A worker tells of several ends at once, and who sees a job in done/ may delete it at once."""
    job_id = scene.spool.put("completed")
    scene.dispatch.order.assign(job_id)
    row = row_of(scene.spool.job(job_id))
    scene.spool.path(DONE, job_id).unlink()
    scene.dispatch.left(f"{job_id}.json", had_ended=True)
    assert scene.dispatch.touched == {job_id}
    scene.dispatch.released(job_id)
    scene.dispatch.report(row)
    assert scene.in_the_index(job_id)
    scene.dispatch.refresh(job_id)
    assert not scene.in_the_index(job_id)


def test_a_claim_is_no_news_of_a_job_in_hand(scene: Scene) -> None:
    job_id = scene.spool.put("pending")
    scene.dispatch.order.assign(job_id)
    scene.dispatch.left(f"{job_id}.json", had_ended=False)
    assert scene.dispatch.touched == set()


def test_what_was_taken_from_a_worker_that_does_not_answer_is_offered_again(scene: Scene) -> None:
    job_id = scene.spool.put("pending")
    scene.dispatch.arrived(f"{job_id}.json")
    assert scene.dispatch.next() == job_id
    assert scene.dispatch.next() is None
    scene.dispatch.released(job_id, {"reason": "unanswered"})
    assert scene.dispatch.next() == job_id


def test_a_job_that_was_returned_is_offered_again_without_reading_its_file(scene: Scene) -> None:
    job_id = scene.spool.put("pending")
    scene.dispatch.arrived(f"{job_id}.json")
    assert scene.dispatch.next() == job_id
    scene.spool.path(PENDING, job_id).unlink()
    scene.dispatch.released(job_id, {"reason": RETURNED})
    assert scene.dispatch.next() == job_id


def test_a_job_that_changed_before_it_was_returned_is_read_again(scene: Scene) -> None:
    job_id = scene.spool.put("pending")
    scene.dispatch.arrived(f"{job_id}.json")
    assert scene.dispatch.next() == job_id
    scene.spool.path(PENDING, job_id).unlink()
    scene.dispatch.refresh(job_id)
    scene.dispatch.released(job_id, {"reason": RETURNED})
    assert scene.dispatch.next() is None


@pytest.mark.parametrize("how", ["an event", "a comparison"])
def test_a_dropped_file_that_is_no_valid_job_is_rejected_or_gets_the_id_that_it_has(scene: Scene, how: str) -> None:
    pending = Path(scene.spool.layout.directory(PENDING))
    (pending / "broken.json").write_text("{]")
    (pending / "bad name.json").write_text("{}")
    (pending / "other.json").write_text('{"id": "real", "command": "true"}')
    for path in pending.iterdir():
        os.utime(path, (1e9, 1e9))
        if how == "an event":
            scene.dispatch.arrived(path.name)
    if how == "a comparison":
        scene.dispatch.begin_sync(watched=True)
    while (now := scene.spool.clock.monotonic()) >= scene.dispatch.next_step(now):
        scene.dispatch.step(now)
    rejected = [name for name in os.listdir(scene.spool.layout.rejected) if not name.endswith(".reason")]
    assert sorted(rejected) == ["bad name.json", "broken.json"]
    assert [path.name for path in pending.iterdir()] == ["real.json"]
    assert scene.in_the_index("real")
    assert not scene.in_the_index("other")
    assert scene.dispatch.next() == "real"
