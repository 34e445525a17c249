"""What the chaos suites share: their size, what they count, what a process uses, and jobs that tell when they overlap."""

from __future__ import annotations

import errno
import json
import os
import select
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
import pytest

from queuectl.executor.environment import HOME_TAG, TAG
from queuectl.job.job import DEAD, DIRECTORIES, DONE, PENDING, PROCESSING
from tests.support.audit import check_mended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from queuectl.job.job import Job
    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]

FULL = os.environ.get("QUEUECTL_SWEEP") == "full"
NOBODY = 65534
A_WHILE_S = 2.0  # long enough for everything that is tried once a second to have been tried
SPOOL_STATES = {
    PENDING: ("pending", "held", "failed"),
    PROCESSING: ("processing",),
    DONE: ("completed", "cancelled"),
    DEAD: ("dead",),
}


def size(ci: int, full: int) -> int:
    """How much to try: `full` with QUEUECTL_SWEEP=full in the environment."""
    return full if FULL else ci


def need_root(why: str) -> None:
    """Skip where we are not root; in CI, where we are, that would hide something."""
    if os.geteuid() != 0:
        must_not_be_skipped(f"needs root: {why}")


def must_not_be_skipped(reason: str) -> None:
    """Skip, but fail with QUEUECTL_CI=1."""
    if os.environ.get("QUEUECTL_CI") == "1":
        pytest.fail(f"not to be skipped in CI: {reason}")
    pytest.skip(reason)


class Tally:
    """Counts what a sweep tried; at its end it says so, and fails when one of the expected things never happened."""

    def __init__(self, title: str, *expected: str) -> None:
        self.title = title
        self.counts: Counter[str] = Counter()
        self._expected = expected

    def add(self, what: str, number: int = 1) -> None:
        self.counts[what] += number

    def __enter__(self) -> Tally:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        print(f"\n{self.title}: " + ", ".join(f"{number:,} {what}" for what, number in self.counts.items()))
        if kind is None:
            assert self.counts, f"{self.title}: nothing was tried"
            missing = [what for what in self._expected if not self.counts[what]]
            assert not missing, f"{self.title}: never happened: {missing}"


# --- processes


class Use(NamedTuple):
    """What a process uses."""

    descriptors: int
    bytes: int  # its share of resident memory (PSS)


def use_of(pid: int) -> Use:
    """Return what a process of ours uses now."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    pss = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return Use(len(os.listdir(f"/proc/{pid}/fd")), pss << 10)


def zombies_of(pid: int) -> list[int]:
    """Return the children of a process that are dead and have not been waited for."""
    found = []
    for child in psutil.Process(pid).children():
        try:
            if child.status() == psutil.STATUS_ZOMBIE:
                found.append(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def family(s: Supervised) -> list[int]:
    """Return the pids of supervisor and workers."""
    status = s.status()
    return [status["pid"], *(w["pid"] for w in status["workers"] if w["pid"])]


def kill(s: Supervised, pid: int, number: signal.Signals = signal.SIGKILL) -> bool:
    """Send a signal to a process of this home; False when there is none of that pid (any more)."""
    try:
        process = psutil.Process(pid)
        while not (environ := process.environ()) and process.status() != psutil.STATUS_ZOMBIE:
            continue  # it is becoming another program at this very moment
        if environ.get(HOME_TAG) != str(s.home):
            return False
        process.send_signal(number)
    except psutil.Error:
        return False
    return True


def wait_until_nobody_is_left(s: Supervised) -> None:
    """Wait until no process of this home lives; if one does, say what it is."""
    try:
        s.wait_until(lambda: not s.survivors(), "nobody is left")
    except AssertionError as error:
        left = [
            (p.pid, p.ppid(), p.status(), p.cmdline(), p.environ().get(TAG), p.create_time()) for p in s.survivors()
        ]
        raise AssertionError(f"{left}\n{error}") from None


def pause(seconds: float = A_WHILE_S) -> None:
    """Let time pass in which something must not happen; nothing is asserted about how long it was."""
    select.select([], [], [], seconds)


# --- jobs that keep a journal

JOB = """#!/bin/sh
# usage: job DIRECTORY KIND; appends to DIRECTORY/journal, and says there when another run of this job is alive
job=$QUEUECTL_JOB_ID attempt=$QUEUECTL_ATTEMPT
exec 8>>"$1/locks/$job"
note() { (flock 9; echo "$1 $job $attempt $$" >&9) 9>>"$journal"; }
journal=$1/journal
flock -n 8 || note overlap
note start
eval "$FIRST"
case $2 in
quick) ;;
slow) sleep 0.4 ;;
fails) note end; exit 3 ;;
flaky) [ "$attempt" -ge 2 ] || { note end; exit 4; } ;;
dies) note end; kill -SEGV $$ ;;
child) sleep 300 & ;;
session) setsid sleep 300 & ;;
stubborn) (trap '' TERM; sleep 300 & wait) & ;;
long) sleep 20 ;;
esac
note end
"""


class Journal:
    """Jobs whose commands write down when they start and end, and hold a lock as long as any process of theirs lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "locks").mkdir(parents=True)
        self._script = path / "job"
        self._script.write_text(JOB)
        self._script.chmod(0o700)

    def command(self, kind: str, first: str = "true") -> str:
        """Return the command of a job of this kind (JOB), which runs `first` between its start and its end."""
        return f"FIRST='{first}' exec {self._script} {self.path} {kind}"

    def lines(self) -> list[tuple[str, str, int]]:
        """Return (what, job, attempt) of every line."""
        try:
            text = (self.path / "journal").read_text()
        except FileNotFoundError:
            return []
        return [(what, job_id, int(attempt)) for what, job_id, attempt, _ in map(str.split, text.splitlines())]

    def check(self, s: Supervised, ids: Iterable[str], *, only_places: bool = False) -> Counter[str]:
        """Assert that nothing overlapped, was lost or doubled; return how many jobs are in each state.

        Args:
            ids: every job that has to be there; all have ended.
            only_places: some were deleted and enqueued anew, so that the journal tells of more than one job of an id.
        """
        written = self.lines()
        assert [line for line in written if line[0] == "overlap"] == []
        jobs = check_mended(s.queue.spool)  # one name in one directory, nothing in processing/
        assert set(jobs) == set(ids)
        assert os.listdir(s.queue.layout.rejected) == []
        assert {job.directory for job in jobs.values()} <= {DONE, DEAD}
        if not only_places:
            self._check_attempts(written, jobs)
        check_index(s)
        return Counter(job.state for job in jobs.values())

    def _check_attempts(self, written: list[tuple[str, str, int]], jobs: dict[str, Job]) -> None:
        starts = Counter((job_id, attempt) for what, job_id, attempt in written if what == "start")
        assert [key for key, number in starts.items() if number > 1] == [], "an attempt was started twice"
        real = Counter(job_id for job_id, _ in starts)
        for job_id, job in jobs.items():
            assert real[job_id] <= job.attempts, f"{job_id} ran {real[job_id]} times, {job.attempts} are recorded"
            if job.state == "completed":
                assert ("end", job_id, job.attempts) in written, f"{job_id} is said to have completed, and has not"


def spool_counts(s: Supervised) -> dict[str, int]:
    """Return how many jobs are in each state, from their files."""
    found: Counter[str] = Counter()
    for directory in DIRECTORIES:
        for job_id in s.queue.spool.ids(directory):
            found[s.queue.spool.read(job_id).state] += 1
    return dict(found)


def check_index(s: Supervised) -> None:
    """Wait until the index shows the spool; `counts` asks for that, so it takes more than once only after a repair."""
    real = spool_counts(s)
    s.wait_until(
        lambda: {state: n for state, n in s.queue.counts().items() if n} == real,
        f"the index has the counts of the spool, {real}",
    )


def ended(s: Supervised) -> int:
    """Return how many jobs are in done/ and dead/."""
    return sum(len(os.listdir(s.queue.layout.directory(directory))) for directory in (DONE, DEAD))


def has_nothing_left(s: Supervised) -> bool:
    """Tell whether all jobs have ended."""
    return not any(s.queue.spool.ids(PENDING)) and not any(s.queue.spool.ids(PROCESSING))


# --- processes of the test's own, all let go at the same moment


def race(number: int, act: Callable[[int], Any]) -> list[Any]:
    """Call `act(n)` in `number` processes at once, each forked from here; return what they returned, as JSON has it."""
    gate, open_gate = os.pipe()
    answers, pids = [], []
    for n in range(number):
        answer, say = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(open_gate)
                os.read(gate, 1)  # the end of the file: everybody is let go
                os.write(say, json.dumps(act(n)).encode())
                code = 0
            finally:
                os._exit(code)
        os.close(say)
        answers.append(answer)
        pids.append(pid)
    os.close(gate)
    os.close(open_gate)
    said = []
    for answer in answers:
        with os.fdopen(answer, "rb") as file:
            said.append(file.read())
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert codes == [0] * number, f"some processes died: {codes}"
    return [json.loads(text) for text in said]


# --- disks that fill up


class SmallDisk:
    """A file system of a few megabytes, mounted at `path`; use it in a `with` statement. Needs root.

    Args:
        kind: tmpfs or ext4.
    """

    BYTES = 24 << 20
    INODES = 600

    def __init__(self, kind: str, path: Path) -> None:
        need_root(f"mounting {kind}")
        self.kind = kind
        self.path = path / "disk"
        self._image = path / "image"
        self.path.mkdir()

    def __enter__(self) -> SmallDisk:
        if self.kind == "tmpfs":
            _run("mount", "-t", "tmpfs", "-o", f"size={self.BYTES},nr_inodes={self.INODES}", "small", str(self.path))
        else:
            with self._image.open("wb") as file:
                file.truncate(self.BYTES)
            _run("mkfs.ext4", "-q", "-F", "-N", str(self.INODES), "-m", "0", str(self._image))
            self.mount()
        return self

    def mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.path))

    def break_off(self) -> None:
        """Let ext4 do what it does at an error with errors=remount-ro: whatever is open, no write succeeds any more."""
        _run("mount", "-o", "remount,abort", str(self.path))

    def repair(self) -> None:
        """Check a file system that broke off and mount it again; nobody may have a file of it open."""
        _run("umount", str(self.path))
        subprocess.run(["e2fsck", "-fyp", str(self._image)], capture_output=True, check=False)
        self.mount()

    def fill(self, what: str) -> int:
        """Leave no byte, or no inode; returns how many writes or files it took."""
        return self._fill_bytes() if what == "bytes" else self._fill_inodes()

    def _fill_bytes(self) -> int:
        taken = 0
        for step in (1 << 20, 1 << 12, 1):
            with (self.path / "filler").open("ab", buffering=0) as file:
                try:
                    while file.write(bytes(step)) == step:
                        taken += 1
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
        return taken

    def _fill_inodes(self) -> int:
        (self.path / "fillers").mkdir(exist_ok=True)
        taken = len(os.listdir(self.path / "fillers"))
        try:
            while True:
                (self.path / "fillers" / str(taken)).touch()
                taken += 1
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        return taken

    def free(self) -> None:
        """Give back what was filled."""
        (self.path / "filler").unlink(missing_ok=True)
        shutil.rmtree(self.path / "fillers", ignore_errors=True)

    def __exit__(self, *_: object) -> None:
        _run("umount", "-l", str(self.path))
        self._image.unlink(missing_ok=True)


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        must_not_be_skipped(f"there is no {command[0]}")
    except subprocess.CalledProcessError as error:
        must_not_be_skipped(f"{' '.join(command)}: {error.stderr}")
