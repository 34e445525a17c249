"""The Python API, with and without a supervisor: what was put in is seen at once, what is asked for is done."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import queuectl
from queuectl import Queue, QueueError
from queuectl.client.why import read_supervision
from queuectl.errors import Conflict, InvalidData, JobFailed, NotFound, TimedOut, UsageError
from queuectl.scheduling.waits_for import Why, waits_for
from queuectl.spool.claim import Claim
from queuectl.spool.spool import Spool
from tests.support.spools import Home

if TYPE_CHECKING:
    from collections.abc import Callable
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


def test_a_start_that_its_worker_has_not_reported_is_in_the_next_list(supervised: Make, tmp_path: Path) -> None:
    """A worker reports the start of a short run with its end. Here it takes every run for a short one."""
    s = supervised(prelude="from queuectl.worker import worker; worker.SHORT_RUN_S = 3600\n")
    s.start(1)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    job_id = s.queue.enqueue(f"read x < {gate}")
    s.wait_for(job_id, "processing")
    assert [(job["id"], job["state"]) for job in s.queue.list()] == [(job_id, "processing")]
    gate.write_text("go\n")
    s.wait_for(job_id, "completed")
    assert [(job["id"], job["state"], job["attempts"]) for job in s.queue.list()] == [(job_id, "completed", 1)]


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
    with pytest.raises(Conflict, match="prefix of several ids"):
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


@pytest.mark.parametrize("end", ["cancelled", "dead", "completed"])
def test_a_job_is_not_retried_while_another_has_its_unique_key(home: Path, end: str) -> None:
    jobs = Home(home)
    queue = Queue(home)
    first = jobs.put(end, unique_key="nightly")
    second = queue.enqueue("true", unique_key="nightly")
    with pytest.raises(Conflict, match=f'unique_key "nightly" is held by job {second}, which has not ended'):
        queue.retry(first)
    assert queue.get(first).state == end
    assert queue.retry(second).state == "pending"
    queue.cancel(second)
    assert queue.retry(first).state == "pending"
    with pytest.raises(Conflict, match=first):
        queue.retry(second)


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

    def publish(self: Spool, *args: Any) -> str:
        for path in (home / "run").glob("unique.*"):
            with path.open() as file:
                locked.append(self.files.is_locked(file.fileno()))
        return real(self, *args)

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
    job_id = s.queue.enqueue(f"touch {gate}.near; read x < {gate}")
    s.wait_until(Path(f"{gate}.near").exists, "the command runs")  # it is processing some time before
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


def test_the_public_names_are_there_and_errors_carry_exit_codes() -> None:
    """Queue, what it returns and what it raises; whatever goes wrong is a QueueError."""
    errors = [
        getattr(queuectl, name) for name in queuectl.__all__ if name not in ("Queue", "Job", "Event", "__version__")
    ]
    assert len(errors) == 13
    assert all(issubclass(error, QueueError) for error in errors)
    assert (NotFound.exit_code, Conflict.exit_code, InvalidData.exit_code) == (3, 4, 6)
    assert set(dir(queuectl)) == set(queuectl.__all__)
    with pytest.raises(AttributeError):
        _ = queuectl.nothing  # type: ignore[attr-defined]


# --- what Python callers may write


def test_a_misspelt_name_raises_with_the_likely_one(home: Path) -> None:
    queue = Queue(home)
    for wrong, meant in (
        (lambda: queue.enqueue("x", priorty=3), "priority"),
        (lambda: queue.enqueue({"command": "x", "priorty": 3}), "priority"),
        (lambda: queue.enqueue("x", tag="a"), "tags"),
        (lambda: queue.enqueue("x", retries=3), "max_retries"),
        (lambda: queue.enqueue_many(["x"], prio=3), "priority"),
        (lambda: queue.edit("a", priorty=3), "priority"),
    ):
        with pytest.raises(InvalidData, match=f'did you mean "{meant}"') as caught:
            wrong()
        assert isinstance(caught.value, TypeError)
    [refused, fine] = queue.enqueue_many([{"command": "x", "priorty": 3}, "y"])
    assert isinstance(refused, InvalidData)
    assert [job["id"] for job in queue.list()] == [fine]
    own = queue.enqueue({"command": "x", "owner": "ann"})
    assert queue.get(own).fields["owner"] == "ann"
    with pytest.raises(InvalidData, match='unknown field "owner"') as caught:
        queue.enqueue("x", owner="ann")
    assert "mapping" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"priority": "high"}, '"priority" must be an integer'),
        ({"delay": "soon"}, '"delay" must be a duration'),
        ({"delay": -1}, '"delay" must be'),
        ({"delay": True}, '"delay" must be'),
        ({"delay": 5, "at": "1h"}, '"at" and "delay" cannot be used together'),
        ({"run_at": 60}, '"run_at" must be a datetime'),
        ({"run_at": [1]}, '"run_at" must be a datetime'),
        ({"at": "sometime"}, '"at" must be a time'),
        ({"timeout": [1]}, '"timeout" must be a number'),
        ({"tags": "a"}, '"tags" must be a list'),
        ({"env": {"A": 1}}, '"env" must be an object of strings'),
        ({"cwd": 3}, '"cwd" must be'),
        ({"cwd": "/no/such/directory"}, "there is no directory"),
        ({"command": "y"}, "the job is given twice"),
    ],
)
def test_a_wrong_value_raises_with_the_name_of_its_parameter(home: Path, fields: dict[str, Any], name: str) -> None:
    queue = Queue(home)
    with pytest.raises(InvalidData) as caught:
        queue.enqueue("x", **fields)
    assert str(caught.value).startswith(name)
    assert queue.list() == []


@pytest.mark.parametrize("job", [b"x", 3, None, object()])
def test_what_is_no_job_is_refused(home: Path, job: Any) -> None:
    with pytest.raises(InvalidData):
        Queue(home).enqueue(job)


def test_times_are_what_python_has(home: Path) -> None:
    """Durations and instants as numbers, text, timedelta and datetime; a datetime without a zone is local time."""
    queue = Queue(home)
    before = queue.spool.clock.now()
    for fields in ({"delay": 5}, {"delay": timedelta(seconds=5)}, {"delay": "5s"}, {"run_at": timedelta(seconds=5)}):
        assert before + 5 <= queue.get(queue.enqueue("x", **fields)).run_at <= queue.spool.clock.now() + 5
    noon = datetime(2999, 1, 1, 12, tzinfo=timezone.utc)
    for fields in ({"at": noon}, {"run_at": noon.timestamp()}, {"at": "2999-01-01T12:00:00Z"}, {"run_at": noon}):
        assert queue.get(queue.enqueue("x", **fields)).run_at == noon.timestamp()
    local = datetime(2999, 1, 1, 12)  # noqa: DTZ001
    assert queue.get(queue.enqueue("x", expires=local)).expires_at == local.timestamp()
    job = queue.get(queue.enqueue("x", timeout=timedelta(minutes=1), kill_after="2s", tags=("a", "b")))
    assert [job.fields[name] for name in ("timeout", "kill_after", "tags")] == [60, 2, ["a", "b"]]
    [one] = queue.enqueue_many(["x"], delay="1h", queue="night")
    assert queue.list(queue="night", state="pending")[0]["id"] == one


def test_a_job_runs_where_it_was_enqueued(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on the command line: the current directory, by the name that the shell has for it, and PATH."""
    release, current = tmp_path / "release-1", tmp_path / "current"
    (release / "sub").mkdir(parents=True)
    current.symlink_to(release)
    monkeypatch.chdir(current)
    monkeypatch.setenv("PWD", str(current))
    monkeypatch.setenv("PATH", "/bin:/opt/tools")
    queue = Queue(home)
    plain, below, elsewhere, exact = (
        queue.get(job_id).fields
        for job_id in (
            queue.enqueue("x"),
            queue.enqueue(["ls", Path("a")], cwd="sub", env={"A": "b"}),
            queue.enqueue("x", cwd=Path("/"), env={"PATH": "/bin"}),
            queue.submit({"command": "x"}),
        )
    )
    assert (plain["cwd"], plain["env"]) == (str(current), {"PATH": "/bin:/opt/tools"})
    assert (below["cwd"], below["env"]) == (str(current / "sub"), {"PATH": "/bin:/opt/tools", "A": "b"})
    assert (elsewhere["cwd"], elsewhere["env"]) == ("/", {"PATH": "/bin"})
    assert "cwd" not in exact


def test_a_waiting_job_is_held_released_and_edited(queue: Queue) -> None:
    job_id = queue.enqueue("true", tags=["a"], delay="1h")
    assert queue.hold(job_id).state == queue.hold(job_id).state == "held"
    assert queue.release(job_id).state == "pending"
    with pytest.raises(Conflict, match="not held"):
        queue.release(job_id)
    job = queue.edit(job_id, {"owner": "ann"}, priority=5, timeout=timedelta(minutes=1), delay="2h", tags=None)
    assert (job.priority, job.fields["timeout"], job.fields["owner"]) == (5, 60, "ann")
    assert "tags" not in job.fields
    [row] = [row for row in queue.list() if row["id"] == job_id]
    assert (row["priority"], row["tags"], row["run_at"]) == (5, [], job.as_dict()["run_at"])
    with pytest.raises(InvalidData, match='"id" cannot be changed'):
        queue.edit(job_id, id="b")
    with pytest.raises(UsageError, match="nothing to change"):
        queue.edit(job_id)
    assert queue.cancel(job_id).state == "cancelled"
    for verb in (queue.hold, queue.release, lambda job_id: queue.edit(job_id, priority=1)):
        with pytest.raises(Conflict):
            verb(job_id)
    assert queue.retry(job_id, changes={"command": "false"}).command == "false"


# --- what happened, and removing many


def test_events_are_those_that_happened(home: Path) -> None:
    queue = Queue(home)
    before = queue.spool.clock.now()
    one = queue.enqueue("true")
    queue.hold(one)
    queue.cancel(one)
    events = [*queue.events()]
    assert [(event.event, event.id, event.state) for event in events] == [
        ("enqueued", one, "pending"),
        ("held", one, "held"),
        ("cancelled", one, "cancelled"),
    ]
    assert before - 1 <= events[0].at <= events[-1].at <= queue.spool.clock.now()
    assert events[0].as_dict() == {
        "at": queue.get(one).as_dict()["created_at"],
        "event": "enqueued",
        "id": one,
        "state": "pending",
        **dict.fromkeys(("attempt", "worker", "exit_code")),
    }
    assert [event.event for event in queue.events(timedelta(hours=1), kinds="held,died")] == ["held"]
    assert [*queue.events(since=datetime.now(timezone.utc) + timedelta(hours=1))] == []
    with pytest.raises(UsageError, match='did you mean "failed"'):
        queue.events(kinds="faild")
    with pytest.raises(UsageError, match='"since" must be'):
        queue.events(since="sometime")


def test_events_are_followed(supervised: Make) -> None:
    """From before there is a supervisor until a job has died; the details are those of the history."""
    s = supervised(backoff_base=0.1)
    queue = Queue(s.queue.layout.home)
    job_id = queue.enqueue("echo no disk; exit 3", max_retries=0)
    events = queue.events("1h", follow=True)
    assert next(events).event == "enqueued"
    s.start(1)
    seen = [next(events), next(events)]
    assert [(event.event, event.attempt, event.exit_code) for event in seen] == [("started", 1, None), ("died", 1, 3)]
    assert (seen[1].id, seen[1].state, seen[1].details["error"]) == (job_id, "dead", "no disk")
    events.close()


def test_purge_removes_what_has_ended_and_nothing_else(queue: Queue) -> None:
    waiting, gone, old = queue.enqueue("true"), queue.enqueue("true", tags=["a"]), queue.enqueue("true")
    queue.cancel(gone)
    queue.cancel(old)
    assert queue.purge(older_than="1h").ids == []
    assert queue.purge(tag="a").ids == [gone]
    removed = queue.purge()
    assert (removed.ids, removed.changed, removed.failed, removed.output_bytes) == ([old], [], [], 0)
    assert _waiting(queue) == [waiting]
    for wrong in ({"state": "all"}, {"state": "processing"}, {"state": "ded"}, {"olderthan": "1h"}, {"limit": 5}):
        with pytest.raises(UsageError):
            queue.purge(**wrong)


def test_a_supervisor_says_of_its_jobs_that_the_disk_is_full(supervised: Make) -> None:
    """What `wait` says of it; a disk is full here when it has less than an exbibyte left."""
    s = supervised(prelude="from queuectl import disk_space; disk_space.LEAST_FREE_BYTES = 1 << 60\n")
    s.start(1)
    job_id = s.queue.enqueue("true")
    s.wait_until(lambda: bool(s.status()["full"]), "the worker has found it out")
    supervision = read_supervision(s.queue.spool)
    (reason,) = waits_for(s.queue.get(job_id), supervision, s.queue.spool.clock.now(), 3600)
    assert (reason.why, reason.words(0).partition(": ")[0]) == (Why.DISK, f"the disk of {s.home} is full")
    assert reason.words(0).endswith(" left, 1048576 TiB needed")


@pytest.mark.parametrize("job", ["true", {"command": "true"}])
def test_one_job_is_not_taken_for_many(queue: Queue, job: Any) -> None:
    before = queue.counts()
    with pytest.raises(UsageError, match="not one job"):
        queue.enqueue_many(job)
    assert queue.counts() == before


@pytest.mark.parametrize("older_than", [3600, 3600.0, "3600", "1h"])
def test_an_age_is_a_duration_also_as_a_number(queue: Queue, older_than: Any) -> None:
    """A number was taken for an instant of the year 1970, so that nothing was ever old enough."""
    job_id = queue.enqueue("true")
    queue.cancel(job_id)
    assert queue.purge(older_than=older_than).ids == []
    assert queue.purge(older_than=0).ids == [job_id]
    queue.cancel(again := queue.enqueue("true"))
    assert queue.purge(older_than=1e-5).ids == [again]
