"""A world that misbehaves: full and broken disks, a damaged index, wrong permissions, few descriptors, a jumping clock."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from queuectl.client.queue import Queue
from queuectl.errors import Busy, NotAllowed, QueueError
from queuectl.job.job import PENDING, PROCESSING
from tests.support.chaos import (
    FULL,
    NOBODY,
    Journal,
    SmallDisk,
    Tally,
    check_index,
    ended,
    has_nothing_left,
    must_not_be_skipped,
    need_root,
    pause,
    size,
)
from tests.support.supervised import BODY, Supervised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Make = Callable[..., Supervised]

ROOT = Path(__file__).parents[2]
QUICK = ("tests/chaos/test_control.py", "tests/lifecycle/test_jobs.py")


# --- disks


@pytest.mark.parametrize("what", ["bytes", "inodes"])
@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_on_a_full_disk_what_runs_is_settled_and_nothing_new_starts(tmp_path: Path, kind: str, what: str) -> None:
    """The supervisor lives and says so; running jobs leave processing/; when there is room again, everything goes on.

    Filled while jobs run, succeed, fail, are cancelled, wait for a retry, and wait for a worker.
    """
    with Tally(f"full {kind}, {what}", "fillers", "settled", "refused") as tally, SmallDisk(kind, tmp_path) as disk:
        home = disk.path / "home"
        home.mkdir(mode=0o700)
        with Supervised(home, min_free=0, backoff_base=0.5, kill_after=0.2) as s:
            s.start(3)
            gates = [tmp_path / name for name in ("good", "bad")]
            for gate in gates:
                os.mkfifo(gate)
            good = s.queue.enqueue(f"read x < {gates[0]}; exit 0")
            bad = s.queue.enqueue(f"[ $QUEUECTL_ATTEMPT = 1 ] || exit 0; read x < {gates[1]}; exit 1")
            doomed = s.queue.enqueue("exec sleep 600")
            s.wait_until(lambda: all(w["command_pid"] for w in s.status()["workers"]), "all three run")
            waiting = [s.queue.enqueue("true") for _ in range(5)]
            tally.add("fillers", disk.fill(what))
            with pytest.raises(Busy, match="full"):
                s.queue.enqueue("x" * 100_000)
            tally.add("refused")
            for gate in gates:
                gate.write_text("go\n")
            s.wait_until(lambda: s.queue.spool.find(good) != PROCESSING, "the good one is settled")
            assert s.state(good) == "completed"
            assert s.queue.cancel(doomed).state == "cancelled"
            tally.add("settled", 2)
            disk.fill(what)  # what was given up for the verdicts, too
            s.wait_until(lambda: "full" in (s.status()["degraded"] or ""), "it says so")
            pause()
            assert [s.queue.get(job_id).attempts for job_id in waiting] == [0] * 5
            assert {s.queue.spool.find(job_id) for job_id in waiting} == {PENDING}
            assert s.state(bad) in ("processing", "failed")
            disk.free()
            s.wait_until(lambda: has_nothing_left(s), "all jobs have ended")
            assert {s.state(job_id) for job_id in (bad, *waiting)} == {"completed"}
            s.wait_until(lambda: s.status()["degraded"] is None, "it is whole again")
            check_index(s)
            assert (home / "run/ballast").stat().st_size == 1 << 20
            assert os.listdir(s.queue.layout.rejected) == []
            s.wait_for(s.queue.enqueue("true"), "completed")


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_everybody_killed_on_a_full_disk_starts_again_when_there_is_room(tmp_path: Path, kind: str) -> None:
    """What can be recovered on a full disk is; where it cannot even start, it says why; nothing is lost."""
    with Tally(f"killed on a full {kind}", "fillers", "starts") as tally, SmallDisk(kind, tmp_path) as disk:
        home = disk.path / "home"
        home.mkdir(mode=0o700)
        with Supervised(home, min_free=0, kill_after=0.2) as s:
            supervisor = s.start(2)
            journal = Journal(tmp_path / "journal")
            ids = [s.queue.enqueue(journal.command("slow")) for _ in range(6)]
            s.wait_until(lambda: all(w["command_pid"] for w in s.status()["workers"]), "two run")
            tally.add("fillers", disk.fill("bytes"))
            workers = [w["pid"] for w in s.status()["workers"]]
            supervisor.kill()
            for pid in workers:
                os.kill(pid, 9)
            supervisor.wait()
            tally.add("refused to start", not _can_start(s))
            tally.add("starts")
            disk.free()
            if not s.has_supervisor():
                s.start(2)
            s.wait_until(lambda: has_nothing_left(s), "all jobs have ended")
            assert journal.check(s, ids) == {"completed": 6}


def test_a_disk_that_turns_read_only_stops_the_jobs_and_loses_none(tmp_path: Path) -> None:
    """ext4 after an error: no write succeeds; the supervisor lives and starts nothing; repaired, all jobs are there."""
    with Tally("read-only", "jobs") as tally, SmallDisk("ext4", tmp_path) as disk:
        home = disk.path / "home"
        home.mkdir(mode=0o700)
        journal = Journal(tmp_path / "journal")
        with Supervised(home, kill_after=0.2) as s:
            supervisor = s.start(2)
            gate = tmp_path / "gate"
            os.mkfifo(gate)
            running = [s.queue.enqueue(journal.command("quick", f"read x < {gate}")) for _ in range(2)]
            s.wait_until(lambda: all(w["command_pid"] for w in s.status()["workers"]), "two run")
            waiting = [s.queue.enqueue(journal.command("quick")) for _ in range(10)]
            pause()  # their starts are durable by now
            disk.break_off()
            with pytest.raises((QueueError, OSError)):
                s.queue.enqueue("true")
            gate.write_text("go\ngo\n")
            s.wait_until(lambda: bool(s.status()["degraded"]), "it says so")
            pause()
            assert all(w["pid"] for w in s.status()["workers"]), "the workers live"
            assert sum(what == "start" for what, _, _ in journal.lines()) == 2
            workers = [w["pid"] for w in s.status()["workers"]]
            supervisor.kill()
            for pid in workers:
                os.kill(pid, 9)
            supervisor.wait()
            s.wait_until(lambda: not s.survivors(), "nobody is left")
            disk.repair()
            s.queue = Queue(home)
            gate.unlink()
            gate.write_text("go\n")
            s.start(2)
            s.wait_until(lambda: has_nothing_left(s), "all jobs have ended")
            states = journal.check(s, [*running, *waiting])
            assert states == {"completed": 12}
            tally.add("jobs", states["completed"])


def _can_start(s: Supervised) -> bool:
    """Start a supervisor; one that cannot has to say that the disk is full."""
    try:
        s.start(2)
    except AssertionError as error:
        if "full" in str(error):
            return False
        raise
    return True


# --- the index


def _delete(index: Path, _: Path) -> None:
    index.unlink()


def _delete_all(index: Path, _: Path) -> None:
    for path in index.parent.glob("index.sqlite3*"):
        path.unlink()


def _truncate(index: Path, _: Path) -> None:
    os.truncate(index, index.stat().st_size // 2)


def _empty(index: Path, _: Path) -> None:
    os.truncate(index, 0)


def _flip(index: Path, _: Path) -> None:
    data = bytearray(index.read_bytes())
    for at in range(0, len(data), 97):
        data[at] ^= 0x55
    with index.open("r+b") as file:
        file.write(data)


def _roll_back(index: Path, old: Path) -> None:
    shutil.copy(old, f"{index}.new")
    os.rename(f"{index}.new", index)


def _overwrite_with_older(index: Path, old: Path) -> None:
    shutil.copy(old, index)


def _replace_by_text(index: Path, _: Path) -> None:
    index.unlink()
    index.write_text("this is no database\n" * 100)


def _make_read_only(index: Path, _: Path) -> None:
    index.chmod(0o400)


@pytest.mark.parametrize(
    "harm",
    [
        *(_delete, _delete_all, _truncate, _empty, _flip, _roll_back, _overwrite_with_older),
        *(_replace_by_text, _make_read_only),
    ],
    ids=lambda harm: harm.__name__.strip("_"),
)
def test_whatever_happens_to_the_index_the_jobs_go_on(
    supervised: Make, tmp_path: Path, harm: Callable[[Path, Path], None]
) -> None:
    """While it runs and while nobody runs; afterwards the index has the counts of the spool."""
    s = supervised(durability="relaxed", backoff_base=0.1)
    journal = Journal(tmp_path / "journal")
    index, old = Path(s.queue.layout.index), tmp_path / "old"
    ids = [s.queue.enqueue(journal.command("quick")) for _ in range(10)]
    with Tally(f"index: {harm.__name__}", "harms", "jobs") as tally:
        supervisor = s.start(4)
        s.wait_until(lambda: ended(s) == 10, "the first have ended")
        s.queue.counts()
        shutil.copy(index, old)
        kinds = ("slow", "quick", "fails", "flaky")
        ids += [s.queue.enqueue(journal.command(kinds[n % 4]), max_retries=2) for n in range(20)]
        s.wait_until(lambda: ended(s) >= 15, "some have ended")
        harm(index, old)
        tally.add("harms")
        ids += [s.queue.enqueue(journal.command("quick")) for _ in range(20)]
        s.wait_until(lambda: has_nothing_left(s), "all jobs have ended")
        assert supervisor.poll() is None
        tally.add("jobs", sum(journal.check(s, ids).values()))
        supervisor.terminate()
        assert supervisor.wait(60) == 0
        harm(index, old)
        tally.add("harms")
        check_index(s)
        if index.is_file():
            harm(index, old)
            tally.add("harms")
        ids.append(s.queue.enqueue(journal.command("quick")))
        s.start(1)
        s.wait_for(ids[-1], "completed")
        journal.check(s, ids)


@pytest.mark.parametrize("when", ["before it starts", "while it runs"])
def test_a_stranger_who_locks_the_index_does_not_stop_the_jobs(supervised: Make, tmp_path: Path, when: str) -> None:
    """More jobs than the supervisor keeps in memory; all of them run while the lock is held."""
    s = supervised(durability="relaxed")
    number = size(1100, 3000)
    with Tally(f"a locked index, {when}", "jobs") as tally:
        first = s.queue.enqueue("true")
        supervisor = s.start(4)
        s.wait_for(first, "completed")
        s.queue.counts()
        if when == "before it starts":
            supervisor.terminate()
            assert supervisor.wait(60) == 0
        stranger = sqlite3.connect(s.queue.layout.index, isolation_level=None)
        try:
            stranger.execute("BEGIN EXCLUSIVE")
            for answer in s.queue.enqueue_many({"argv": ["true"]} for _ in range(number)):
                assert isinstance(answer, str)
            if when == "before it starts":
                s.start(4)
            s.wait_until(lambda: ended(s) == number + 1, "all have run")
            tally.add("jobs", number)
        finally:
            stranger.close()
        check_index(s)


# --- permissions and limits


@pytest.mark.parametrize("folder", ["", "spool", "spool/pending", "run"])
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777], ids=oct)
def test_a_home_that_others_can_write_to_is_refused(supervised: Make, folder: str, mode: int) -> None:
    """Whoever can write there can run commands as its owner; the error says which directory, and what to do."""
    s = supervised()
    s.queue.layout.ensure()
    path = s.home / folder
    path.chmod(mode)
    code, said = _start(s)
    assert code == NotAllowed.exit_code
    assert f"{path} is writable by other users" in said
    path.chmod(0o700)
    s.start(1)


def test_a_home_of_somebody_else_is_refused(supervised: Make) -> None:
    """Even root does not run another user's jobs."""
    need_root("giving a directory away")
    s = supervised()
    s.queue.layout.ensure()
    os.chown(s.home, NOBODY, NOBODY)
    code, said = _start(s)
    assert code == NotAllowed.exit_code
    assert "belongs to user" in said
    with pytest.raises(NotAllowed, match="belongs to user"):
        Queue(s.home).enqueue("true")
    os.chown(s.home, os.geteuid(), os.getegid())


def _start(s: Supervised) -> tuple[int, str]:
    """Start a supervisor that will not run; returns its exit code and what it said."""
    ready, tell = os.pipe()
    command = [sys.executable, "-c", BODY, "1", str(tell)]
    done = subprocess.run(command, env=s.environ, pass_fds=(tell,), capture_output=True, text=True, check=False)
    os.close(tell)
    os.close(ready)
    return done.returncode, done.stderr


@pytest.mark.parametrize("limit", [128, 140])  # fewer are refused by worker start
def test_with_few_descriptors_the_jobs_go_on(supervised: Make, tmp_path: Path, limit: int) -> None:
    """`ulimit -n` so low that connections and even replacements of workers fail for a while."""
    import socket

    prelude = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))\n"
    s = supervised(prelude=prelude, durability="relaxed", backoff_base=0.1)
    journal = Journal(tmp_path / "journal")
    with Tally(f"{limit} descriptors", "connections", "jobs") as tally:
        supervisor = s.start(2)
        ids = [s.queue.enqueue(journal.command("flaky")) for _ in range(10)]
        idle = []
        try:
            for _ in range(90):
                one = socket.socket(socket.AF_UNIX)
                idle.append(one)
                one.connect(f"{s.home}/run/control.sock")  # waits while the supervisor has not accepted the others
                tally.add("connections")
            ids += [s.queue.enqueue(journal.command("flaky")) for _ in range(20)]
            worker = next(p for p in s.survivors() if p.ppid() == supervisor.pid)
            worker.kill()
            s.wait_until(lambda: ended(s) == 30, "all jobs have ended")
        finally:
            for one in idle:
                one.close()
        s.wait_until(lambda: all(w["state"] == "idle" for w in s.status()["workers"]), "all workers are there")
        assert supervisor.poll() is None
        tally.add("jobs", sum(journal.check(s, ids).values()))


def test_a_file_in_run_that_cannot_be_read_does_not_stop_the_supervisor(supervised: Make) -> None:
    """run/changes as a directory: said in the log, the jobs go on."""
    s = supervised()
    s.queue.layout.ensure()
    supervisor = s.start(1)
    Path(s.queue.layout.changes).unlink(missing_ok=True)
    Path(s.queue.layout.changes).mkdir()
    s.wait_for(s.queue.enqueue("true"), "completed")
    check_index(s)
    assert supervisor.poll() is None
    Path(s.queue.layout.changes).rmdir()


# --- an ordinary user


def test_everything_works_for_an_ordinary_user() -> None:
    """The chaos suites, and what it is all for, run once as nobody.

    He may read everything, for the interpreter may lie where he could not; he may write only what is his.
    """
    need_root("to become nobody")
    base = Path(tempfile.mkdtemp(prefix="queuectl-nobody-"))
    os.chown(base, NOBODY, NOBODY)
    suites = ["tests/chaos", "tests/lifecycle", "tests/crash"] if FULL else ["tests/chaos/test_kills.py", *QUICK]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("QUEUECTL_")}
    environ = {**kept, "HOME": str(base), "PYTHONDONTWRITEBYTECODE": "1", "QUEUECTL_SEEDS": "1"}
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    user += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    command = [*user, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={base}/tmp", "-rs"]
    try:
        done = subprocess.run([*command, *suites], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        must_not_be_skipped("there is no setpriv")
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print(done.stdout[-2000:])
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


# --- the clock


YEARS_S = 10 * 365.25 * 86400
JUMPS = {
    "ten years forward": YEARS_S,
    "ten years back": -YEARS_S,
    "an hour forward": 3600.0,
    "an hour back": -3600.0,
}
FAKE = """
import os, time
import queuectl.clock
import queuectl.supervisor.supervisor
def now(self):
    with open({path!r}) as file:
        return time.time() + float(file.read())
class Told:
    def __init__(self):
        self._fd = os.open({told!r}, os.O_RDWR | os.O_NONBLOCK)
    def fileno(self):
        return self._fd
    def take(self):
        try:
            return bool(os.read(self._fd, 100))
        except BlockingIOError:
            return False
queuectl.clock.Clock.now = now
queuectl.supervisor.supervisor.open_clock_watch = Told
os.environ["TZ"] = "Europe/Berlin"
time.tzset()
"""


class Wall:
    """The wall clock of a supervisor and its workers, set by hand; the supervisor is told, as the kernel would tell it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._told = path.with_suffix(".told")
        os.mkfifo(self._told)
        self.set(0)

    def set(self, offset_s: float) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(str(offset_s))
        os.rename(new, self.path)
        fd = os.open(self._told, os.O_RDWR | os.O_NONBLOCK)
        os.write(fd, b"!")
        os.close(fd)

    @property
    def prelude(self) -> str:
        return FAKE.format(path=str(self.path), told=str(self._told))


@pytest.fixture
def wall(tmp_path: Path) -> Iterator[Wall]:
    return Wall(tmp_path / "offset")


@pytest.mark.parametrize("jump_s", JUMPS.values(), ids=JUMPS.keys())
def test_when_the_clock_jumps_nothing_runs_twice_and_no_worker_is_taken_for_dead(
    supervised: Make, tmp_path: Path, wall: Wall, jump_s: float
) -> None:
    """While jobs run, fail, and wait for their retry; there and back again; timeouts and backoffs keep their length.

    Proves G15.
    """
    s = supervised(prelude=wall.prelude, durability="relaxed", backoff_base=1.5, backoff_max=3, kill_after=0.2)
    journal = Journal(tmp_path / "journal")
    with Tally(f"clock jumps by {jump_s:,.0f}s", "jumps", "jobs") as tally:
        s.start(4)
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        kinds = ("slow", "fails", "flaky", "quick", "dies")
        ids = [s.queue.enqueue(journal.command(kinds[n % 5]), max_retries=2) for n in range(20)]
        ids.append(s.queue.enqueue(journal.command("quick", f"read x < {gate}"), timeout=3600))
        pids = sorted(w["pid"] for w in s.status()["workers"])
        s.wait_until(lambda: ended(s) >= 4, "some have ended")
        for offset in (jump_s, 0.0, jump_s):
            wall.set(offset)
            tally.add("jumps")
            goal = min(20, ended(s) + 4)
            s.wait_until(lambda goal=goal: ended(s) >= goal, f"{goal} have ended")
        ids.append(s.queue.enqueue(journal.command("quick")))
        s.wait_until(lambda: ended(s) == 21, "all but one have ended")
        assert s.state(ids[20]) == "processing"
        gate.write_text("go\n")
        s.wait_until(lambda: has_nothing_left(s), "all have ended")
        assert sorted(w["pid"] for w in s.status()["workers"]) == pids
        tally.add("jobs", sum(journal.check(s, [*ids]).values()))
        assert s.state(ids[20]) == "completed"
