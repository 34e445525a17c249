"""A copy of a home, made while its queue ran or after it stopped, is a queue of its own that starts clean."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from queuectl import control_client, status
from queuectl.client.queue import Queue
from queuectl.errors import NoSupervisor
from queuectl.executor import process_tree
from queuectl.job.job import DIRECTORIES
from queuectl.spool.layout import Layout
from tests.support.supervised import Supervised, is_running

BACKUP = Path(__file__).parents[2] / "docs/howto/backup.md"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def copy(home: Path, name: str = "copy", how: str = "-a") -> Path:
    made = home.parent / name
    subprocess.run(["cp", how, str(home), str(made)], check=False, stderr=subprocess.DEVNULL)  # files vanish meanwhile
    return made


def command_of(supervised: Supervised, job_id: str) -> psutil.Process:
    """Wait for a job's command to run, and return its process."""
    found: list[psutil.Process] = []

    def has_begun() -> bool:
        found.extend(process_tree.tagged(str(supervised.home)).get(f"{job_id}.1", []))
        return bool(found)

    supervised.wait_until(has_begun, f"the command of {job_id} runs")
    return found[0]


def test_a_copy_of_a_running_home_starts_clean_and_leaves_the_original_alone(home: Path) -> None:
    with Supervised(home) as original:
        original.start(3)
        original.queue.enqueue("sleep 1000", id="long", on_interrupt="bury")
        running = command_of(original, "long")
        for number in range(300):
            original.queue.enqueue(f"test {number % 3} != 0", max_retries=0)
            if number == 150:
                made = copy(home)
        queue = Queue(made)
        assert status.read_overview(queue).died is None
        with Supervised(made) as copied:
            copied.start(2)
            copied.wait_until(lambda: sum(waiting(queue)) == 0, "the copy has run what it had")
            assert copied.state("long") == "dead"  # interrupted in the copy, and by its own rule not run again
            assert status.read_overview(queue).rejected == 0
        assert is_running(running.pid)
        assert original.state("long") == "processing"
        for directory in DIRECTORIES:
            ids = set(queue.spool.ids(directory))
            assert all(ids.isdisjoint(queue.spool.ids(other)) for other in DIRECTORIES if other != directory)


def waiting(queue: Queue) -> list[int]:
    return [sum(1 for _ in queue.spool.ids(directory)) for directory in ("pending", "processing")]


def test_a_copy_of_a_home_that_was_just_stopped_tells_of_no_killed_supervisor(home: Path) -> None:
    with Supervised(home) as original:
        original.start(1)
        original.wait_for(original.queue.enqueue("true"), "completed")
        (copy(home, "early") / "run").touch()
        original.ask("stop", now=True)
        made = copy(home)
    for name in ("early", "copy"):
        assert status.read_overview(Queue(home.parent / name)).died is None
        assert Queue(home.parent / name).counts()["completed"] == 1
    del made


def test_a_killed_supervisor_is_still_told_of_in_its_own_home(home: Path) -> None:
    with Supervised(home) as original:
        process = original.start(1)
        process.kill()
        process.wait()
        assert status.read_overview(original.queue).died == process.pid


def test_two_states_of_a_job_become_the_later_one(home: Path) -> None:
    """Wherever the earlier one lies, as it was copied before or after a move; a file of another author stays a duplicate."""
    layout = Layout(str(home))
    queue = Queue(home)
    for job_id, stale, into in (("a", "pending", "done"), ("b", "processing", "pending"), ("c", "processing", "done")):
        queue.enqueue("true", id=job_id)
        early = Path(layout.job("pending", job_id))
        if stale == "processing":
            with queue.spool.claim(job_id, "worker-1"):  # type: ignore[union-attr]
                early = Path(layout.job("processing", job_id))
                shutil.copy2(early, home / f"{job_id}.early")
        else:
            shutil.copy2(early, home / f"{job_id}.early")
            queue.spool.claim(job_id, "worker-1").close()  # type: ignore[union-attr]
        with queue.spool.take_in("processing", job_id) as claim:  # type: ignore[union-attr]
            if into == "done":
                claim.finish({"exit_code": 0})
            else:
                claim.reschedule("failed", 4e9, {"exit_code": 1})
        os.rename(home / f"{job_id}.early", layout.job(stale, job_id))
    with Supervised(home) as supervised:
        supervised.start(1)
        supervised.wait_until(lambda: waiting(queue) == [1, 0], "one state of each job is left")
        assert [supervised.state(job_id) for job_id in "abc"] == ["completed", "failed", "completed"]
        assert os.listdir(layout.rejected) == []


def test_a_copy_of_hard_links_neither_reaches_nor_ends_what_runs_in_the_original(home: Path) -> None:
    with Supervised(home) as original:
        process = original.start(1)
        original.queue.enqueue("exec sleep 1000", id="long")
        running = command_of(original, "long")
        made = copy(home, how="-al")
        with pytest.raises(NoSupervisor):
            control_client.ask(Layout(str(made)), {"do": "stop", "now": True})
        for worker in original.status()["workers"]:
            os.kill(worker["pid"], signal.SIGSTOP)
        pids = [worker["pid"] for worker in original.status()["workers"]]
        for pid in (process.pid, *pids):
            os.kill(pid, signal.SIGKILL)
        process.wait()
        with Supervised(made) as copied:
            copied.start(1)
            copied.wait_until(lambda: bool(copied.status()["adopted"]), "it is seen to be alive")
            assert (
                process_tree.find_run(str(made), "long.1", copied.queue.layout.output_of("long", 1), is_locked=True)
                == []
            )
            assert is_running(running.pid)
            running.kill()
            copied.wait_until(lambda: not copied.status()["adopted"], "its end is seen")


def test_run_is_named_by_the_directory_that_it_is(home: Path) -> None:
    """supervisor.json that came with a copy names another run/."""
    queue = Queue(home)
    queue.enqueue("true")
    note = home / "run/supervisor.json"
    note.write_text(json.dumps({"pid": 4121, "started_at": 0, "run": control_client.run_of(queue.layout)}))
    assert status.read_overview(queue).died == 4121
    note.write_text(json.dumps({"pid": 4121, "started_at": 0, "run": [1, 2]}))
    assert status.read_overview(queue).died is None
