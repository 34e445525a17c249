"""Batches: the completion job appears once, whatever is killed and whatever happens to jobs meanwhile."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from queuectl.config.settings import Settings
from queuectl.errors import QueueError
from queuectl.maintenance import batches as task
from queuectl.maintenance import retention
from queuectl.maintenance.context import TaskContext
from queuectl.spool import batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]

SEED = int(os.environ.get("QUEUECTL_SEED") or 20261130)
NAMED = {"batch": "b", "on_batch_done": "true"}


def maintain(s: Supervised) -> str:
    return task.run_once(TaskContext(s.queue, is_gentle=False)).words


def completions(s: Supervised) -> list[str]:
    return sorted(row["id"] for row in s.queue.list() if row["id"].startswith("b@done"))


def end(s: Supervised, job_id: str, verb: str = "finish") -> None:
    """Run a job to its end without a supervisor."""
    with s.queue.spool.claim(job_id, "worker-1") as claim:  # type: ignore[union-attr]
        claim.finish({"exit_code": 0}) if verb == "finish" else claim.move_to_dead("x", {"exit_code": 1})


def test_a_thousand_jobs_and_random_kills(supervised: Make) -> None:
    """Proves G24."""
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    s = supervised(durability="relaxed", max_interruptions=1000, orphans="kill")
    done = s.home / "done"
    s.queue.enqueue_many(
        ["true"] * 999 + ["exit 1"],
        max_retries=0,
        batch="b",
        on_batch_done=f"echo $QUEUECTL_BATCH_COMPLETED $QUEUECTL_BATCH_DEAD >> {done}",
    )
    supervisor = s.start(4)
    for number in range(6):
        s.wait_until(lambda: s.queue.counts()["completed"] > 150 * number, "some jobs have completed")  # noqa: B023
        already = s.queue.spool.find("b@done") is not None
        target = chance.choice(["worker", "supervisor", "helper"])
        if target == "supervisor":
            supervisor.kill()
            supervisor.wait()
            supervisor = s.start(4)
        elif target == "worker":
            for worker in s.status()["workers"]:
                if worker["pid"]:
                    os.kill(worker["pid"], signal.SIGKILL)
        else:
            for process in s.survivors():
                if process.cmdline()[-2:] == ["batches", "hooks"]:
                    process.kill()
        assert not already or s.queue.spool.find("b@done") is not None
    s.wait_until(done.exists, "the completion job has run")
    s.wait_for("b@done", "completed")
    assert completions(s) == ["b@done"]
    assert set(done.read_text().splitlines()) == {
        "999 1"
    }  # more than one line: the completion job itself was interrupted
    assert s.queue.batch("b")["counts"]["completed"] == 999


def test_it_waits_for_the_process_that_adds_jobs_and_is_not_lost_with_it(supervised: Make) -> None:
    """Proves G24: the first job has ended long before the last is added; then the process is killed."""
    s = supervised()
    s.start(1)
    adder = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "queuectl",
            "enqueue",
            "--lines",
            "-",
            "--batch",
            "b",
            "--on-batch-done",
            "true",
            "--no-check",
        ],
        env=s.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert adder.stdin is not None
    assert adder.stdout is not None
    adder.stdin.write("true\n")
    adder.stdin.flush()
    first = adder.stdout.readline().strip()
    s.wait_for(first, "completed")
    s.ask("flush")
    assert maintain(s) == ""
    assert s.queue.batch("b")["completion"] == "waits"
    adder.kill()
    adder.communicate()
    s.wait_until(lambda: completions(s) == ["b@done"], "the batch is complete")


def test_without_a_supervisor_maintenance_adds_it(supervised: Make) -> None:
    s = supervised()
    good, bad, gone = (s.queue.enqueue("true", **NAMED) for _ in range(3))
    end(s, good)
    end(s, bad, "bury")
    assert (maintain(s), completions(s)) == ("", [])
    s.queue.cancel(gone)
    assert maintain(s) == "added 1 completion job: b@done"
    assert maintain(s) == ""
    env = s.queue.get("b@done").fields["env"]
    told = {name: env[f"QUEUECTL_BATCH_{name}"] for name in ("COMPLETED", "DEAD", "CANCELLED")}
    assert told == {"COMPLETED": "1", "DEAD": "1", "CANCELLED": "1"}


def test_retention_keeps_the_jobs_of_an_open_batch(supervised: Make) -> None:
    """Else the counts that the completion job gets would be wrong."""
    s = supervised()
    first, second = (s.queue.enqueue("true", **NAMED) for _ in range(2))
    end(s, first)
    s.queue.settings = Settings.from_dict({"retention_jobs": 0, "retention_done": 0.001})
    retention.run_once(TaskContext(s.queue, is_gentle=False))
    assert s.state(first) == "completed"
    end(s, second)
    assert maintain(s) == "added 1 completion job: b@done"
    assert s.queue.get("b@done").fields["env"]["QUEUECTL_BATCH_COMPLETED"] == "2"
    retention.run_once(TaskContext(s.queue, is_gentle=False))
    assert s.queue.spool.find(first) is None


def test_a_deleted_job_is_not_waited_for(supervised: Make) -> None:
    s = supervised()
    first, second = (s.queue.enqueue("true", **NAMED) for _ in range(2))
    end(s, first)
    s.queue.delete(second)
    assert maintain(s) == "added 1 completion job: b@done"


def test_a_complete_batch_stays_complete(supervised: Make) -> None:
    """Proves G24: a job that is added later or revived, and a completion job that was deleted, lead to no second one."""
    s = supervised()
    first = s.queue.enqueue("true", **NAMED)
    end(s, first, "bury")
    maintain(s)
    end(s, "b@done")
    s.queue.retry(first)
    end(s, first)
    end(s, s.queue.enqueue("true", **NAMED))
    assert (maintain(s), completions(s)) == ("", ["b@done"])
    s.queue.delete("b@done")
    assert (maintain(s), completions(s)) == ("", [])
    assert s.queue.batch("b")["completion_job"] == "b@done"


def test_one_job_that_has_the_command_is_enough(supervised: Make) -> None:
    """The others only have the label, and one of them ends last."""
    s = supervised()
    plain = s.queue.enqueue("true", batch="b")
    last = s.queue.enqueue("true", **NAMED)
    s.start(1)
    s.wait_for(last, "completed")
    s.wait_for(plain, "completed")
    s.wait_until(lambda: completions(s) == ["b@done"], "the batch is complete")


def test_dropped_files_are_a_batch_too(supervised: Make) -> None:
    s = supervised()
    s.start(1)
    for name in ("one", "two"):
        temporary = s.home / f"spool/tmp/{name}"
        temporary.write_text('{"command": "sleep 0.3", "batch": "b", "on_batch_done": "true"}')
        temporary.chmod(0o600)
        temporary.rename(s.home / f"spool/pending/{name}.json")
    s.wait_until(lambda: completions(s) == ["b@done"], "the batch is complete")
    assert {s.state("one"), s.state("two")} == {"completed"}


def test_a_job_that_the_index_does_not_know_is_found(supervised: Make) -> None:
    """Proves G24: the index may lag; the spool decides."""
    s = supervised()
    end(s, s.queue.enqueue("true", **NAMED))
    context = TaskContext(s.queue, is_gentle=False)
    with s.queue.complete_reader() as reader:
        late = s.queue.spool.enqueue({"command": "true", "batch": "b"})
        s.queue.catch_up = lambda _=None: None  # type: ignore[method-assign]
        assert task._complete(context, reader, "b") is None
    del s.queue.catch_up
    end(s, late)
    assert maintain(s) == "added 1 completion job: b@done"


def test_a_name_can_be_used_again_when_nothing_is_left(supervised: Make) -> None:
    s = supervised()
    first = s.queue.enqueue("true", **NAMED)
    end(s, first)
    maintain(s)
    end(s, "b@done")
    path = s.queue.layout.batch("b")
    os.utime(path, (0, 0))
    for job_id in ("b@done", first):
        assert maintain(s) == ""
        assert os.path.exists(path)
        s.queue.delete(job_id)
    assert maintain(s) == ""
    task.KEPT_S, kept = -1.0, task.KEPT_S  # the time of the last change cannot be set
    try:
        maintain(s)
    finally:
        task.KEPT_S = kept
    assert [*batches.known(s.queue.spool)] == []


def test_a_command_without_a_batch_is_refused(supervised: Make) -> None:
    s = supervised()
    try:
        s.queue.enqueue("true", on_batch_done="true")
    except QueueError as error:
        assert str(error) == '"on_batch_done" needs "batch", the name of the batch'
    else:
        raise AssertionError("it was accepted")
