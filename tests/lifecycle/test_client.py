"""The Python API, with and without a supervisor: what was put in is seen at once, what is asked for is done."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import queuectl
from queuectl import Queue, QueueError
from queuectl.errors import Conflict, InvalidData, JobFailed, NotFound, TimedOut, UsageError
from queuectl.spool.claim import Claim
from queuectl.spool.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]


@pytest.fixture(params=[False, True], ids=["alone", "with a supervisor"])
def queue(request: pytest.FixtureRequest, home: Path, supervised: Make) -> Queue:
    """A queue whose jobs do not run: nobody works, or all workers have been scaled away but one that is busy."""
    if request.param:
        s = supervised(backoff_base=0.1)
        s.start(1)
        gate = home / "gate"
        blocker = s.queue.enqueue(f"mkfifo {gate}; read x < {gate}")
        s.wait_for(blocker, "processing")
        s.queue.list()
    return Queue(home)


def _waiting(queue: Queue) -> list[str]:
    return sorted(job["id"] for job in queue.list(state="pending"))


def test_what_was_enqueued_is_in_the_next_list(queue: Queue) -> None:
    """Read your writes: shell commands, argument lists and mappings, one and many."""
    one = queue.enqueue("true", priority=3, tags=["a"])
    two = queue.enqueue(["echo", "x y"])
    three = queue.enqueue({"command": "true", "id": "three"}, queue="night")
    many = list(queue.enqueue_many(["true", {"command": "true", "id": "three"}, {"command": ""}, ["ls"]]))
    assert isinstance(many[1], Conflict)
    assert isinstance(many[2], InvalidData)
    assert _waiting(queue) == sorted([one, two, three, str(many[0]), str(many[3])])
    assert [job["id"] for job in queue.list(queue="night")] == ["three"]
    assert [job["id"] for job in queue.list(tag="a")] == [one]
    assert queue.get(two).command == "echo 'x y'"


def test_list_takes_what_the_command_line_takes(home: Path) -> None:
    """States as a comma list, times as text, datetime and timedelta; what does not exist raises."""
    queue = Queue(home)
    one, two = queue.enqueue("true"), queue.enqueue("true", name="nightly")
    queue.cancel(two)
    assert [job["id"] for job in queue.list("dead,cancelled")] == [two]
    assert [job["id"] for job in queue.list(["pending"], since="1h")] == [one]
    assert queue.list(until=timedelta(hours=1)) == []
    assert len(queue.list("all", since=datetime.now(timezone.utc) - timedelta(minutes=5))) == 2
    assert len(queue.list(sort="-created", limit=1)) == 1
    for wrong, words in (
        ({"state": "ded"}, 'no state "ded"; did you mean "dead"?'),
        ({"stat": "dead"}, 'unknown filter "stat"; did you mean "state"?'),
        ({"since": "sometime"}, '"since" must be a time'),
        ({"limit": 0}, '"limit" must be 1 or more'),
    ):
        with pytest.raises(UsageError) as caught:
            queue.list(**wrong)
        assert words in str(caught.value)


def test_a_job_that_would_expire_before_it_can_start_is_refused(queue: Queue) -> None:
    there = len(queue.list())
    late = {"command": "true", "run_at": "2099-01-02T00:00:00Z", "expires_at": "2099-01-01T00:00:00Z"}
    for fields in late, {**late, "unique_key": "k"}, {"command": "true", "expires_at": "2020-01-01T00:00:00Z"}:
        with pytest.raises(InvalidData, match=r'"expires_at" must be .*the job could never start'):
            queue.enqueue(fields)
    good, bad = queue.enqueue_many(["true", late])
    assert isinstance(good, str)
    assert isinstance(bad, InvalidData)
    with pytest.raises(InvalidData, match="the job could never start"), queue.spool.take(good) as claim:
        claim.edit({"expires_at": "2020-01-01T00:00:00Z"})
    assert len(queue.list()) == there + 1


def test_changes_are_in_the_next_list(queue: Queue) -> None:
    """Cancel, delete, revive: each is seen at once."""
    one, two = queue.enqueue("true"), queue.enqueue("true")
    assert queue.cancel(one).state == "cancelled"
    assert _waiting(queue) == [two]
    queue.delete(two)
    assert _waiting(queue) == []
    assert queue.retry(one).state == "pending"
    assert _waiting(queue) == [one]
    with pytest.raises(NotFound):
        queue.get(two)
    with pytest.raises(NotFound):
        queue.delete(two)


def test_jobs_changed_by_hand_are_seen(queue: Queue, home: Path) -> None:
    """A dropped file is in the next list and can be abbreviated; one that a person removed is gone."""
    queue.layout.ensure()
    dropped = home / "spool/pending/dropped.json"
    dropped.write_text('{"command": "true", "run_at": "2999-01-01T00:00:00Z"}')
    assert "dropped" in _waiting(queue)
    assert queue.resolve("drop") == "dropped"
    dropped.unlink()
    with pytest.raises(NotFound):
        queue.get("dropped")


def test_an_id_may_be_abbreviated_and_a_wrong_one_gets_a_proposal(queue: Queue) -> None:
    """An unambiguous beginning is enough; several are a conflict; none tells what is near."""
    queue.enqueue("true", id="backup-monday")
    queue.enqueue("true", id="backup-tuesday")
    assert queue.resolve("backup-m") == "backup-monday"
    with pytest.raises(Conflict, match="beginning of several ids"):
        queue.resolve("backup")
    with pytest.raises(NotFound, match="Did you mean backup-monday"):
        queue.resolve("backup-munday")


def test_a_unique_key_is_held_until_its_job_has_ended(queue: Queue) -> None:
    """The second job is refused with the holder's id, alone and in bulk, until the first has ended."""
    first = queue.enqueue("true", unique_key="nightly")
    with pytest.raises(Conflict, match=first):
        queue.enqueue("true", unique_key="nightly")
    [refused, plain] = queue.enqueue_many([{"command": "true", "unique_key": "nightly"}, "true"])
    assert isinstance(refused, Conflict)
    assert isinstance(plain, str)
    queue.cancel(first)
    assert queue.enqueue("true", unique_key="nightly") != first


def test_one_unique_key_many_at_once(home: Path) -> None:
    """Of twelve processes that enqueue the same key together, one succeeds. Hole H18."""
    script = (
        "from queuectl import Queue, QueueError\n"
        "try: print(Queue().enqueue('true', unique_key='k'))\n"
        "except QueueError as error: print('refused', error.exit_code)\n"
    )
    racers = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(12)]
    said = [process.communicate(timeout=90)[0].strip() for process in racers]
    assert said.count("refused 4") == 11, said
    assert len(Queue(home).list()) == 1


def test_a_unique_key_is_checked_and_published_under_one_lock(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the publishing nobody else can look. Hole H18."""
    queue, real = Queue(home), Spool.enqueue
    locked: list[bool] = []

    def publish(self: Spool, fields: Mapping[str, Any]) -> str:
        for path in (home / "run").glob("unique.*"):
            with path.open() as file:
                locked.append(self.files.is_locked(file.fileno()))
        return real(self, fields)

    monkeypatch.setattr(Spool, "enqueue", publish)
    queue.enqueue("true", unique_key="nightly")
    assert locked == [True]


def test_waiting_ends_with_the_fate_of_each_job(supervised: Make) -> None:
    """Returns every job once all have ended; the timeout names how many had not."""
    s = supervised(backoff_base=0.1)
    s.start(2)
    ids = [s.queue.enqueue("true"), s.queue.enqueue("exit 3", max_retries=1)]
    ended: list[str] = []
    done = s.queue.wait(ids, timeout_s=60, on_end=lambda job: ended.append(job.id))
    assert {job_id: done[job_id].state for job_id in ids} == {ids[0]: "completed", ids[1]: "dead"}
    assert sorted(ended) == sorted(ids)
    far = s.queue.enqueue("true", run_at="2999-01-01T00:00:00Z")
    with pytest.raises(TimedOut, match="1 of 1 job had"):
        s.queue.wait([far], timeout_s=0.2)
    with pytest.raises(NotFound):
        s.queue.wait(["no-such-job"])


def test_a_job_whose_file_is_removed_while_it_runs_is_waited_for(supervised: Make, tmp_path: Path) -> None:
    """Who runs it writes its file anew."""
    s = supervised()
    s.start(1)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    job_id = s.queue.enqueue(f"read x < {gate}")
    s.wait_for(job_id, "processing")
    looks = []

    def look() -> None:
        looks.append(job_id)
        if len(looks) == 1:
            os.unlink(s.queue.layout.job("processing", job_id))
        elif len(looks) == 3:
            gate.write_text("go\n")

    assert s.queue.wait([job_id], 60, on_look=look)[job_id].state == "completed"
    assert len(looks) >= 3


@pytest.mark.parametrize("state", ["pending", "processing"])
def test_a_job_that_is_removed_for_good_has_failed(queue: Queue, state: str) -> None:
    """And the error says which, and when."""
    job_id = queue.enqueue("true")
    if state == "processing":
        claim = queue.spool.claim(job_id, "worker-1")
        assert isinstance(claim, Claim)
        claim.close()

    def remove() -> None:
        Path(queue.layout.job(state, job_id)).unlink(missing_ok=True)

    when = "while it ran" if state == "processing" else "while it was pending"
    with pytest.raises(JobFailed, match=f"job {job_id} was removed {when}"):
        queue.wait([job_id], 60, on_look=remove)
    with pytest.raises(NotFound):
        queue.wait([job_id])


def test_a_job_of_a_dead_worker_can_be_dealt_with_without_a_supervisor(supervised: Make) -> None:
    """Cancelling or deleting it recovers it first, on the spot."""
    s = supervised()
    supervisor = s.start(1)
    job_id = s.queue.enqueue("exec sleep 600")
    s.wait_until(lambda: s.status()["workers"][0]["command_pid"] is not None, "it runs")
    worker = s.status()["workers"][0]
    supervisor.kill()
    for pid in (worker["pid"], worker["command_pid"]):
        subprocess.run(["kill", "-9", str(pid)], check=True)
    supervisor.wait()
    s.wait_until(lambda: not s.survivors(), "all are dead")
    assert s.queue.cancel(job_id).state == "cancelled"
    assert [entry["event"] for entry in s.queue.get(job_id).history] == ["started", "interrupted", "cancelled"]
    s.queue.delete(job_id)
    assert s.queue.spool.find(job_id) is None


def test_the_public_names_are_few_and_errors_carry_exit_codes() -> None:
    """Queue, QueueError and the version; whatever goes wrong is a QueueError."""
    assert set(queuectl.__all__) == {"Queue", "QueueError", "__version__"}
    assert issubclass(NotFound, QueueError)
    assert (NotFound.exit_code, Conflict.exit_code, InvalidData.exit_code) == (3, 4, 6)
    with pytest.raises(AttributeError):
        _ = queuectl.nothing  # type: ignore[attr-defined]
