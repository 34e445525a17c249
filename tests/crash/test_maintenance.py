"""Death and failure at every file operation of every task that removes or moves something.

Afterwards every job is there or gone, none is lost that should be kept, and the same task, run again, comes to its end.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from queuectl.config.settings import Settings
from queuectl.errors import QueueError
from tests.support import audit
from tests.support.faulty_fs import DIED, REFUSABLE, Faulty, Point
from tests.support.maintained_home import do
from tests.support.spools import Home

Prepare = Callable[[Home], None]
KEPT = ("dead", "pending", "young")


def jobs_of_all_ages(spool: Home) -> None:
    for job_id in ("old-1", "old-2"):
        spool.put("completed", id=job_id)
        Path(spool.layout.output_of(job_id, 1)).write_bytes(b"x" * 100)
    spool.clock.advance(10 * 86400)
    for job_id, state in (("dead", "dead"), ("pending", "pending"), ("young", "completed")):
        spool.put(state, id=job_id)
    Path(spool.layout.output_of("dead", 1)).write_bytes(b"x")


def much_output(spool: Home) -> None:
    jobs_of_all_ages(spool)
    orphan = Path(spool.layout.output_of("gone", 1))
    orphan.write_bytes(b"x")
    for path in Path(spool.layout.output).iterdir():
        spool.age(path, 2 * 86400)


def litter(spool: Home) -> None:
    jobs_of_all_ages(spool)
    Path(spool.layout.tmp, "a").write_bytes(b"x")
    Path(spool.layout.run, f"unique.{'0' * 32}").write_bytes(b"")
    spool.clock.advance(os.stat(spool.layout.home).st_ctime + 100 * 86400 - spool.clock.now())


def old_logs(spool: Home) -> None:
    jobs_of_all_ages(spool)
    path = Path(spool.layout.home, "logs", "worker-1.log.1")
    path.write_bytes(b"x")
    spool.age(path, 40 * 86400)


def crashed(spool: Home) -> None:
    jobs_of_all_ages(spool)
    spool.put("pending", id="started")
    spool.start("started").close()
    os.rename(spool.path("done", "young"), spool.path("processing", "young"))


TASKS: dict[str, tuple[Prepare, Callable[[Home], bool]]] = {
    "retention": (jobs_of_all_ages, lambda s: not s.where("old-1") and not s.where("old-2")),
    "output": (much_output, lambda s: [*os.listdir(s.layout.output)] == ["dead.1.log"]),
    "litter": (litter, lambda s: s.litter() == []),
    "logs": (old_logs, lambda s: os.listdir(f"{s.layout.home}/logs") == []),
    "reclaim": (crashed, lambda s: s.where("started") == ["pending"] and s.where("young") == ["done"]),
}


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as path:
        yield Path(path)


def prepared(place: Path, task: str) -> Home:
    if (place / "home").exists():
        shutil.rmtree(place / "home")
    spool = Home(place / "home")
    TASKS[task][0](spool)
    return spool


def armed(spool: Home, point: Point | None) -> Home:
    made = Home(Path(spool.layout.home), files=Faulty(point), durability="full")
    made.settings = Settings.from_dict({"retention_output": 50})
    made.clock = spool.clock
    made.patience = 1
    return made


def trace_of(place: Path, task: str) -> list[str]:
    spool = prepared(place, task)
    inside = armed(spool, None)
    assert do(inside, task).failed == []
    judge(spool, task, "without a fault")
    assert isinstance(inside.files, Faulty)
    return inside.files.trace


def judge(spool: Home, task: str, where: str) -> None:
    """Run the task again, unhindered; all that is to be kept is there, whole, and all that is to go is gone."""
    assert do(armed(spool, None), task).failed == [], where
    if task != "reclaim":
        audit.mend(spool)
    jobs = audit.check_mended(spool)
    for job_id in KEPT:
        assert job_id in jobs, f"{where}: {job_id} is lost"
    if task != "retention":
        assert "old-1" in jobs, f"{where}: old-1 is lost"
    assert Path(spool.layout.output_of("dead", 1)).exists(), where
    assert TASKS[task][1](spool), f"{where}: it did not come to its end"


@pytest.mark.parametrize("task", TASKS)
def test_it_may_die_at_any_operation(place: Path, task: str) -> None:
    """Proves G2, G9."""
    trace = trace_of(place, task)
    for number, method in enumerate(trace, 1):
        spool = prepared(place, task)
        pid = os.fork()
        if pid == 0:
            code = 0
            try:
                do(armed(spool, Point(number)), task)
            except BaseException:
                code = 1
            os._exit(code)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == DIED, f"did not die at {number} ({method})"
        judge(spool, task, f"died at {number} ({method})")
    print(len(trace), "points")
    assert trace


@pytest.mark.parametrize("task", TASKS)
def test_any_operation_may_fail(place: Path, task: str) -> None:
    """No descriptor and no lock is kept, and nothing but what the user can understand comes out."""
    trace = trace_of(place, task)
    tried = 0
    for number, method in enumerate(trace, 1):
        for error in REFUSABLE.get(method, ()):
            tried += 1
            where = f"{errno.errorcode[error]} at {number} ({method})"
            spool = prepared(place, task)
            inside = armed(spool, Point(number, error))
            before = audit.open_descriptors()
            try:
                do(inside, task)
            except (QueueError, OSError):
                pass
            assert audit.open_descriptors() <= before, where
            judge(spool, task, where)
    print(tried, "faults at", len(trace), "operations")
    assert tried
