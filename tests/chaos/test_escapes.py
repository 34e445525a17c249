"""Processes that try to outlive their run, stopped processes, and pids that are used again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from queuectl.executor import process_tree
from queuectl.executor.environment import HOME_TAG, TAG, run_id
from tests.support.chaos import (
    Tally,
    check_index,
    ended,
    family,
    has_nothing_left,
    kill,
    pause,
    size,
    use_of,
    zombies_of,
)
from tests.support.supervised import is_running

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]

SHORT_JOBS = size(1500, 10_000)
WARM_UP = size(500, 2000)
GROWTH_BYTES = 6 << 20

ESCAPE = """
import os, signal, sys
mark, means = sys.argv[1], sys.argv[2].split("+")
if os.fork() == 0:
    if "session" in means:
        os.setsid()
    if "fork" in means and os.fork():
        os._exit(0)
    if "nohup" in means:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if "deaf" in means:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(mark + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(mark + ".new", mark)
    if "closed" in means:
        os.closerange(0, 4096)
    os.execve("/bin/sleep", ["sleep", "600"], {} if "bare" in means else os.environ)
"""
MEANS = (
    *("session", "fork", "session+fork", "nohup", "closed", "deaf", "bare"),
    *("session+fork+nohup+deaf+closed", "session+fork+bare", "session+fork+nohup+deaf+closed+bare"),
)
UNFINDABLE = (MEANS[-1],)  # once worker and supervisor are gone: without lock, tag and parents
# usage: sh -c RUN sh MARK ESCAPE MEANS END; complains when what the attempt before left is alive
RUN = """
mark=$1.$QUEUECTL_ATTEMPT before=$1.$((QUEUECTL_ATTEMPT - 1))
[ ! -e "$before" ] || ! grep -qs '^State:.[RSDT]' /proc/"$(cat "$before")"/status || echo overlap >> "$1.overlap"
"$PYTHON" -c "$2" "$mark" "$3"
while [ ! -e "$mark" ]; do :; done
echo $$ > "$1.command"
[ "$QUEUECTL_ATTEMPT" = 1 ] || exit 0
eval "$4"
"""


class Escapes:
    """One job for each means of escape, all running at once, each with a worker of its own."""

    def __init__(self, s: Supervised, path: Path, end: str, means: tuple[str, ...] = MEANS, **fields: object) -> None:
        self.s = s
        self.gate = path / "gate"
        os.mkfifo(self.gate)
        self.jobs: dict[str, Path] = {}
        for n, each in enumerate(means):
            mark = path / f"mark{n}"
            argv = ["sh", "-c", RUN, "sh", str(mark), ESCAPE, each, end.replace("GATE", str(self.gate))]
            self.jobs[
                s.queue.enqueue(argv, env={"PYTHON": sys.executable}, backoff_base=0.1, name=f"n{n}", **fields)
            ] = mark

    def wait_for_all(self) -> None:
        """Wait until every job's first attempt has let its process escape."""
        self.s.wait_until(lambda: all(self._escaped(mark) for mark in self.jobs.values()), "all have escaped")

    def _escaped(self, mark: Path) -> bool:
        return Path(f"{mark}.command").exists()

    def open_gate(self) -> None:
        """Let all commands that wait go on."""
        fd = os.open(self.gate, os.O_RDWR)
        os.write(fd, b"go\n" * 100)
        self._keep = fd

    def close(self) -> None:
        if hasattr(self, "_keep"):
            os.close(self._keep)

    def check(self, *states: str, unfindable: tuple[str, ...] = ()) -> int:
        """Wait until all jobs have ended; nothing overlapped and nothing of any attempt is left. Returns how many."""
        names = dict(zip(self.jobs, MEANS, strict=False))
        seen = 0
        for job_id, mark in self.jobs.items():
            self.s.wait_for(job_id, *states)
            escaped = [path for path in mark.parent.glob(f"{mark.name}.[0-9]*") if path.name != f"{mark.name}.new"]
            assert escaped
            seen += len(escaped)
            if names[job_id] in unfindable:
                for path in escaped:
                    kill_escaped(path)
                continue
            assert not Path(f"{mark}.overlap").exists(), names[job_id]
            for path in escaped:
                assert not is_running(path.read_text()), f"{names[job_id]}: {path.name} has survived"
        self.close()
        return seen


def kill_escaped(mark: Path) -> None:
    """End a process that is known to be out of reach, if it is still the one that escaped."""
    try:
        process = psutil.Process(int(mark.read_text()))
        if process.cmdline() == ["sleep", "600"]:
            process.kill()
    except psutil.Error:
        return


@pytest.mark.parametrize(
    ("end", "states", "fields"),
    [
        ("exit 0", ("completed",), {}),
        ("exit 1", ("completed",), {"max_retries": 1}),
        ("exec sleep 600", ("completed",), {"max_retries": 1, "timeout": 2}),
    ],
    ids=["a normal end", "a failure", "a timeout"],
)
def test_whatever_a_process_does_to_escape_it_ends_with_its_run(
    supervised: Make, tmp_path: Path, end: str, states: tuple[str, ...], fields: dict[str, object]
) -> None:
    """No retry starts before it is gone, no job is settled before it is gone."""
    s = supervised(kill_after=0.3)
    with Tally(f"escapes before {end}", "escaped") as tally:
        s.start(len(MEANS))
        escapes = Escapes(s, tmp_path, end, **fields)
        tally.add("escaped", escapes.check(*states))


def test_whatever_a_process_does_to_escape_it_ends_when_its_job_is_cancelled(supervised: Make, tmp_path: Path) -> None:
    """`cancel` returns when nothing of the run is left."""
    s = supervised(kill_after=0.3)
    with Tally("escapes before a cancel", "escaped") as tally:
        s.start(len(MEANS))
        escapes = Escapes(s, tmp_path, "exec sleep 600")
        escapes.wait_for_all()
        for job_id, mark in escapes.jobs.items():
            assert s.queue.cancel(job_id).state == "cancelled"
            assert not is_running(Path(f"{mark}.1").read_text())
        tally.add("escaped", escapes.check("cancelled"))


@pytest.mark.parametrize("together", [False, True], ids=["one after the other", "all at once"])
@pytest.mark.parametrize("end", ["exit 0", "exit 1"])
def test_whatever_a_process_does_to_escape_it_ends_although_its_worker_is_killed(
    supervised: Make, tmp_path: Path, end: str, *, together: bool
) -> None:
    """The supervisor is the next subreaper: what an adopted command has left is its child, tagged or not."""
    s = supervised(kill_after=0.3)
    with Tally("escapes, the worker is killed", "escaped", "workers killed") as tally:
        s.start(len(MEANS))
        escapes = Escapes(s, tmp_path, f"read x < GATE; {end}", max_retries=1)
        escapes.wait_for_all()
        s.wait_until(lambda: all(w["command_pid"] for w in s.status()["workers"]), "all commands are known")
        for n, worker in enumerate(s.status()["workers"], 1):
            tally.add("workers killed", kill(s, worker["pid"]))
            if not together:
                s.wait_until(lambda n=n: len(s.status()["adopted"]) == n, f"{n} are adopted")
        s.wait_until(lambda: len(s.status()["adopted"]) == len(MEANS), "all are adopted")
        escapes.open_gate()
        tally.add("escaped", escapes.check("completed"))


def test_whatever_a_process_does_to_escape_it_ends_although_worker_and_command_are_killed(
    supervised: Make, tmp_path: Path
) -> None:
    """Nobody saw the end; the retry waits all the same until nothing of the attempt is left."""
    s = supervised(kill_after=0.3)
    with Tally("escapes, worker and command are killed", "escaped", "workers killed", "commands killed") as tally:
        s.start(len(MEANS))
        escapes = Escapes(s, tmp_path, "exec sleep 600", max_retries=1)
        escapes.wait_for_all()
        s.wait_until(lambda: all(w["command_pid"] for w in s.status()["workers"]), "all commands are known")
        for worker in s.status()["workers"]:
            tally.add("workers killed", kill(s, worker["pid"]))
            tally.add("commands killed", kill(s, worker["command_pid"]))
        tally.add("escaped", escapes.check("completed"))


def test_whatever_a_process_does_to_escape_it_ends_although_worker_and_supervisor_are_killed(
    supervised: Make, tmp_path: Path
) -> None:
    """Found by lock or tag; only what gave up lock, tag and parents is out of reach, as FORMAT.md says."""
    s = supervised(kill_after=0.3)
    with Tally("escapes, everybody is killed", "escaped", "workers killed") as tally:
        supervisor = s.start(len(MEANS))
        escapes = Escapes(s, tmp_path, "exec sleep 600", max_retries=1)
        escapes.wait_for_all()
        workers = [w["pid"] for w in s.status()["workers"]]
        supervisor.kill()
        tally.add("workers killed", sum(kill(s, pid) for pid in workers))
        supervisor.wait()
        s.start(len(MEANS))
        tally.add("escaped", escapes.check("completed", unfindable=UNFINDABLE))


def test_what_may_stay_is_not_ended_by_the_next_job_nor_are_its_children(supervised: Make, tmp_path: Path) -> None:
    """`leftovers: leave`: neither a later run of the same worker nor the worker's death ends what an earlier one left.

    What was left starts processes of its own, some of which lose their parent.
    """
    s = supervised(kill_after=0.2)
    s.start(1)
    go, child, orphan = tmp_path / "go", tmp_path / "child", tmp_path / "orphan"
    os.mkfifo(go)
    daemon = (
        f"read x < {go}; sleep 600 & echo $! > {child}.new; mv {child}.new {child};"
        f"(sleep 601 & echo $! > {orphan}.new; mv {orphan}.new {orphan}); wait"
    )
    first = s.queue.enqueue(["sh", "-c", f"({daemon}) & echo $! > {tmp_path}/daemon"], leftovers="leave")
    s.wait_for(first, "completed")
    go.write_text("go\n")
    s.wait_until(lambda: child.exists() and orphan.exists(), "it has children")
    pids = [int(path.read_text()) for path in (tmp_path / "daemon", child, orphan)]
    try:
        # The worker has reported the start by then; else the run could not be adopted.
        for script in ("sleep 300 & exit 0", "sleep 0.2; kill -KILL $PPID; sleep 300 & exit 0"):
            later = s.queue.enqueue(script)
            s.wait_for(later, "completed")
            assert [is_running(pid) for pid in pids] == [True] * 3, script
    finally:
        for pid in pids:
            kill(s, pid)


# --- stopped processes


def test_a_stopped_worker_is_not_taken_for_dead(supervised: Make, tmp_path: Path) -> None:
    """SIGSTOP: its job stays its own, the others go on; after SIGCONT it settles; no second attempt."""
    s = supervised()
    s.start(2)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    job_id = s.queue.enqueue(f"read x < {gate}")
    s.wait_until(lambda: any(w["command_pid"] for w in s.status()["workers"]), "it runs")
    worker = next(w for w in s.status()["workers"] if w["job_id"] == job_id)
    assert kill(s, worker["pid"], signal.SIGSTOP)
    try:
        gate.write_text("go\n")
        others = [s.queue.enqueue("true") for _ in range(20)]
        for other in others:
            s.wait_for(other, "completed")
        pause()
        assert s.state(job_id) == "processing"
    finally:
        kill(s, worker["pid"], signal.SIGCONT)
    s.wait_for(job_id, "completed")
    assert s.queue.get(job_id).attempts == 1
    assert worker["pid"] in [w["pid"] for w in s.status()["workers"]]


def test_a_worker_that_does_not_listen_does_not_stop_the_supervisor(supervised: Make) -> None:
    """Orders to a stopped worker wait; a thousand of them block nobody, and the last one still counts."""
    s = supervised(kill_after=0.2)
    s.start(2)
    job_id = s.queue.enqueue("exec sleep 600")
    s.wait_until(lambda: any(w["command_pid"] for w in s.status()["workers"]), "it runs")
    worker = next(w for w in s.status()["workers"] if w["job_id"] == job_id)
    assert kill(s, worker["pid"], signal.SIGSTOP)
    try:
        config = s.home / "config.yaml"
        for n in range(size(400, 2000)):
            config.write_text(f"kill_after: {n + 1}\n")
            s.ask("reload")
        other = s.queue.enqueue("true")
        s.wait_for(other, "completed")
    finally:
        kill(s, worker["pid"], signal.SIGCONT)
    assert s.queue.cancel(job_id).state == "cancelled"
    config.write_text("kill_after: 0.5\nmax_retries_default: 0\n")
    s.ask("reload")
    doomed = [s.queue.enqueue("exit 1") for _ in range(4)]
    for each in doomed:
        s.wait_for(each, "dead")


def test_a_stopped_worker_that_is_killed_leaves_its_job_to_the_supervisor(supervised: Make, tmp_path: Path) -> None:
    """The command never noticed; its outcome is the true one."""
    s = supervised()
    s.start(1)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    job_id = s.queue.enqueue(f"read x < {gate}; exit 9", max_retries=0)
    s.wait_until(lambda: any(w["command_pid"] for w in s.status()["workers"]), "it runs")
    worker = s.status()["workers"][0]["pid"]
    assert kill(s, worker, signal.SIGSTOP)
    assert kill(s, worker)
    s.wait_until(lambda: bool(s.status()["adopted"]), "it is adopted")
    gate.write_text("go\n")
    s.wait_for(job_id, "dead")
    assert (s.queue.get(job_id).exit_code, s.queue.get(job_id).attempts) == (9, 1)


@pytest.mark.parametrize("way", ["timeout", "cancel", "delete", "drain"])
def test_a_stopped_command_can_be_ended(supervised: Make, way: str) -> None:
    """A process that is stopped hears no TERM; KILL ends it."""
    s = supervised(kill_after=0.3)
    supervisor = s.start(1)
    job_id = s.queue.enqueue("exec sleep 600", max_retries=0, timeout=1.5 if way == "timeout" else 0)
    s.wait_until(lambda: any(w["command_pid"] for w in s.status()["workers"]), "it runs")
    pid = s.status()["workers"][0]["command_pid"]
    assert kill(s, pid, signal.SIGSTOP)
    if way == "timeout":
        s.wait_for(job_id, "dead")
        assert s.queue.get(job_id).outcome == "timed_out"
    elif way == "cancel":
        assert s.queue.cancel(job_id).state == "cancelled"
    elif way == "delete":
        s.queue.delete(job_id)
        assert s.queue.spool.find(job_id) is None
    else:
        s.ask("stop", now=True)
        assert supervisor.wait(60) == 0
        assert s.state(job_id) == "pending"
    assert not is_running(pid)


# --- pids that are used again


def _reuse(pid: int, command: list[str], environ: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a process whose pid is `pid`, which must be free."""
    pause(0.05)  # start times are told in hundredths of a second
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
    made = subprocess.Popen(command, env=environ)
    assert made.pid == pid, "the pid was not used again"
    return made


@pytest.mark.pid_namespace
def test_a_signal_never_reaches_who_has_got_the_pid_of_the_one_that_was_meant() -> None:
    """`identity.send` pins the process and compares start times. Proves G14."""
    with Tally("reused pids", "signals withheld") as tally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            meant = subprocess.Popen(["sleep", "600"])
            process = psutil.Process(meant.pid)
            assert process_tree.is_alive(process)
            meant.kill()
            meant.wait()
            stranger = _reuse(meant.pid, ["sleep", "600"])
            assert not process_tree.is_alive(process)
            assert not process_tree.send_signal(process, number)
            assert process_tree.send_signal(psutil.Process(stranger.pid), number)
            assert stranger.wait() == -number  # by ours, not by the first
            tally.add("signals withheld")


@pytest.mark.pid_namespace
def test_a_run_is_found_although_its_pid_belonged_to_another_process_before(home: Path) -> None:
    """What an earlier search remembers of a pid does not hide a process that has got it since."""
    stranger = subprocess.Popen(["sleep", "600"])
    assert process_tree.tagged(str(home)) == {}
    stranger.kill()
    stranger.wait()
    environ = {HOME_TAG: str(home), TAG: "job.1", "PATH": os.environ["PATH"]}
    run = _reuse(stranger.pid, ["sleep", "600"], environ)
    try:
        assert [process.pid for process in process_tree.tagged(str(home))["job.1"]] == [run.pid]
    finally:
        run.kill()
        run.wait()


@pytest.mark.pid_namespace
def test_a_worker_that_has_got_the_pid_of_a_command_is_not_taken_for_it(supervised: Make, tmp_path: Path) -> None:
    """The command has ended, what it left lives on; a new worker gets its pid, then its own worker is killed.

    The job is cancelled; neither that nor the search for leftover processes touches the new worker.
    """
    s = supervised(kill_after=3600)
    s.start(2)
    mark = tmp_path / "left"
    job_id = s.queue.enqueue(
        f"[ $QUEUECTL_ATTEMPT = 1 ] || exit 0; setsid sh -c 'trap \"\" TERM; echo > {mark}; exec sleep 600' & while [ ! -e {mark} ]; do :; done"
    )
    s.wait_until(lambda: mark.exists() and any(w["command_pid"] for w in s.status()["workers"]), "it runs")
    mine, other = sorted(s.status()["workers"], key=lambda w: w["job_id"] != job_id)
    pid = mine["command_pid"]
    s.wait_until(lambda: not psutil.pid_exists(pid), "the command has ended")
    s.wait_until(lambda: _take_pid(s, other["pid"], pid), "the pid is used again")
    reborn = psutil.Process(pid)
    with Tally("a worker with a command's pid", "workers killed") as tally:
        tally.add("workers killed", kill(s, mine["pid"]))
        s.wait_until(lambda: bool(s.status()["adopted"]), "the run is known")
        left = [p for p in s.survivors() if run_id(job_id, 1) == p.environ().get(TAG)]
        assert left
        for process in left:
            process.kill()
        s.wait_until(lambda: s.state(job_id) != "processing", "the job is settled")
        pause(0.5)
        assert reborn.is_running()
        assert reborn.status() != psutil.STATUS_ZOMBIE
        assert pid in [w["pid"] for w in s.status()["workers"]]


def _take_pid(s: Supervised, worker: int, pid: int) -> bool:
    """Kill a worker so that the next process, the one in its place, gets `pid`; False when another one came first."""
    workers: list[int | None] = [None]

    def all_run() -> bool:
        workers[:] = [w["pid"] for w in s.status()["workers"]]
        return all(workers)

    s.wait_until(all_run, "all workers run")
    if pid in workers:
        return True
    kill(s, worker if worker in workers else max(number for number in workers if number))
    last = Path("/proc/sys/kernel/ns_last_pid")
    s.wait_until(
        lambda: last.write_text(str(pid - 1)) and all(w["pid"] for w in s.status()["workers"]), "the worker is replaced"
    )
    return pid in [w["pid"] for w in s.status()["workers"]]


# --- many


def test_thousands_of_short_jobs_leave_no_zombie_no_descriptor_and_no_memory(supervised: Make) -> None:
    """What supervisor and workers use after many jobs is what they used after a few."""
    s = supervised(durability="relaxed")
    s.start(2)

    def run(number: int) -> int:
        goal = ended(s) + number
        for answer in s.queue.enqueue_many({"argv": ["true"]} for _ in range(number)):
            assert isinstance(answer, str)
        zombies = 0
        while not has_nothing_left(s):
            more = min(goal, ended(s) + 100)
            s.wait_until(lambda more=more: ended(s) >= more, "a hundred more")
            zombies = max(zombies, *(len(zombies_of(pid)) for pid in family(s)))
        assert ended(s) == goal
        return zombies

    with Tally("short jobs", "jobs") as tally:
        run(WARM_UP)
        before = {pid: use_of(pid) for pid in family(s)}
        most_zombies = run(SHORT_JOBS)
        s.wait_until(lambda: all(w["state"] == "idle" for w in s.status()["workers"]), "idle")
        check_index(s)
        after = {pid: use_of(pid) for pid in family(s)}
        tally.add("jobs", SHORT_JOBS)
        tally.add("KiB grown", sum(max(0, after[pid].bytes - before[pid].bytes) for pid in before) >> 10)
        assert before.keys() == after.keys(), "a process has died"
        assert most_zombies <= 1  # a command that has just ended
        assert [pid for pid in after if zombies_of(pid)] == []
        for pid, use in after.items():
            assert use.descriptors <= before[pid].descriptors, os.listdir(f"/proc/{pid}/fd")
            assert use.bytes - before[pid].bytes < GROWTH_BYTES, (before, after)
