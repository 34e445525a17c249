"""What a command sees, how its end is recorded, and what becomes of what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from queuectl import control_client
from tests.support.supervised import is_running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]

ESCAPE = (
    "import os,sys,time\n"
    "if os.fork(): os._exit(0)\n"
    "os.setsid()\n"
    "if os.fork(): os._exit(0)\n"
    "os.closerange(0, 4096)\n"
    "open(sys.argv[1], 'w').write(str(os.getpid()))\n"
    "time.sleep(600)\n"
)


def _last(s: Supervised, job_id: str) -> dict[str, Any]:
    return s.queue.get(job_id).history[-1]


def _take(feed: control_client.Feed, into: dict[str, Any], job_id: str, kind: str) -> bool:
    for happened in feed.take():
        if (happened["id"], happened["event"]) == (job_id, kind):
            into.update(happened)
    return bool(into)


def test_a_job_runs_and_its_record_says_so(supervised: Make) -> None:
    """Exit code, processor time, memory and worker are in the record; output is in its file."""
    s = supervised()
    s.start(1)
    script = "import time; x = bytearray(200 << 20); print('out', flush=True); time.process_time()"
    job_id = s.queue.enqueue(f'python3 -c "{script}"; echo err >&2')
    s.wait_for(job_id, "completed")
    job = s.queue.get(job_id)
    assert (job.attempts, job.exit_code, job.worker, job.outcome) == (1, 0, "worker-1", "exited")
    assert job.max_rss_bytes is not None
    assert 200 << 20 < job.max_rss_bytes < 300 << 20
    assert job.cpu_s is not None
    assert job.cpu_s > 0
    assert s.output(job_id) == b"out\nerr\n"


def test_memory_that_cannot_be_told_from_our_own_is_not_reported(supervised: Make) -> None:
    """A small command would be charged with the worker's memory; no figure is better than a wrong one."""
    s = supervised()
    s.start(1)
    job_id = s.queue.enqueue("true")
    s.wait_for(job_id, "completed")
    assert s.queue.get(job_id).max_rss_bytes is None


def test_the_environment_is_clean_and_the_jobs_own_variables_win(supervised: Make) -> None:
    """PATH, HOME, USER, LOGNAME, SHELL, LANG, LC_*, TZ of the supervisor; then `env`; then QUEUECTL_*; nothing else."""
    s = supervised()
    s.environ.update(SECRET="s3cret", LC_TIME="C", TZ="UTC", LANG="C.UTF-8", NOTIFY_SOCKET="/nowhere")
    s.start(1)
    job_id = s.queue.enqueue(["env"], env={"TZ": "Asia/Tokyo", "MINE": "yes"})
    s.wait_for(job_id, "completed")
    seen = dict(line.split("=", 1) for line in s.output(job_id).decode().splitlines())
    assert seen["TZ"] == "Asia/Tokyo"
    assert seen["MINE"] == "yes"
    assert seen["LOGNAME"] == (s.environ.get("LOGNAME") or seen["USER"])
    assert seen["LC_TIME"] == "C"
    assert seen["QUEUECTL_JOB_ID"] == job_id
    assert seen["QUEUECTL_ATTEMPT"] == "1"
    assert seen["QUEUECTL_QUEUE"] == "default"
    assert seen["QUEUECTL_HOME"] == str(s.home)
    allowed = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "LC_TIME", "MINE"}
    assert {name for name in seen if not name.startswith(("QUEUECTL_", "LC_"))} <= allowed


def test_a_command_is_its_own_session_without_our_descriptors(supervised: Make) -> None:
    """Session leader; /dev/null on stdin; of our descriptors only the three of the output file (3 is the listing)."""
    s = supervised()
    s.start(1)
    script = "import os; print(os.getsid(0) == os.getpid()); print(sorted(set(os.listdir('/proc/self/fd')) - {'3'}, key=int))"
    job_id = s.queue.enqueue(["python3", "-c", script])
    s.wait_for(job_id, "completed")
    leader, descriptors = s.output(job_id).decode().splitlines()
    assert leader == "True"
    assert descriptors == "['0', '1', '2', '113']"


def test_every_kind_of_end_has_its_outcome(supervised: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code, signal, timeout, too much output, and all the ways not to start."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # a program is looked for in it, and a directory may be forbidden
    s = supervised(max_output="10KiB")
    s.start(4)
    plain = tmp_path / "plain.txt"
    plain.write_text("not a program")
    ends = {
        s.queue.enqueue("exit 7", max_retries=0): ("exited", 7, ""),
        s.queue.enqueue("kill -KILL $$", max_retries=0): ("signal", 137, "SIGKILL"),
        s.queue.enqueue("sleep 60", max_retries=0, timeout=0.3): ("timed_out", 124, "timed out after 0.3s"),
        s.queue.enqueue("while :; do echo 0123456789012345678901234; done", max_retries=0): (
            *("output_limit", 137, "max_output"),
        ),
        s.queue.enqueue("head -c 10241 /dev/zero", max_retries=0): ("output_limit", 137, "max_output"),
        s.queue.enqueue(["no-such-program-anywhere"], max_retries=0): ("failed_to_start", 127, "no such program"),
        s.queue.enqueue([str(plain)], max_retries=0): ("failed_to_start", 126, "Permission denied"),
        s.queue.enqueue("true", cwd="/no/such/directory", max_retries=0, check=False): (
            "failed_to_start",
            126,
            "/no/such/directory",
        ),
        s.queue.enqueue(["/" + "x" * 5000], max_retries=0): ("failed_to_start", 126, "too long"),
        s.queue.enqueue("no-such-command-in-sh", max_retries=0): ("exited", 127, "not found"),
    }
    just_enough = s.queue.enqueue("head -c 10240 /dev/zero")
    s.wait_for(just_enough, "completed")
    for job_id, (outcome, code, words) in ends.items():
        s.wait_for(job_id, "dead")
        job = s.queue.get(job_id)
        assert (job.outcome, job.exit_code) == (outcome, code), job.as_dict()
        assert words in (job.last_error or ""), job.as_dict()
        assert job.dead_reason == "retries_exhausted"
    assert all(w["state"] == "idle" and w["failed_attempts"] > 0 for w in s.status()["workers"])


def test_a_program_that_does_not_exist_is_not_tried_again_unless_the_job_asks_for_it(supervised: Make) -> None:
    """A shell that does not find a program is a command that fails, which may be mended meanwhile."""
    s = supervised(backoff_base=0.05)
    s.start(2)
    once = [s.queue.enqueue(["no-such-program-anywhere"]), s.queue.enqueue(["/no/such/program"])]
    asked = s.queue.enqueue(["no-such-program-anywhere"], max_retries=1)
    shell = s.queue.enqueue("no-such-program-anywhere")
    for job_id in (*once, asked, shell):
        s.wait_for(job_id, "dead")
    found = [(job.attempts, job.dead_reason, job.exit_code) for job in map(s.queue.get, (*once, asked, shell))]
    assert found == [
        (1, "program_not_found", 127),
        (1, "program_not_found", 127),
        (2, "retries_exhausted", 127),
        (4, "retries_exhausted", 127),
    ]


def test_retries_wait_longer_each_time_and_end_in_dead(supervised: Make) -> None:
    """1 + max_retries runs; the output of each attempt is kept; revived, it starts with a fresh budget."""
    s = supervised(backoff_base=0.1)
    s.start(2)
    job_id = s.queue.enqueue("echo attempt $QUEUECTL_ATTEMPT; exit 3", max_retries=2)
    s.wait_for(job_id, "dead")
    job = s.queue.get(job_id)
    assert job.attempts == 3
    assert job.exit_code == 3
    assert [s.output(job_id, n) for n in (1, 2, 3)] == [f"attempt {n}\n".encode() for n in (1, 2, 3)]
    assert [e["event"] for e in job.history] == ["started", "failed", "started", "failed", "started", "died"]
    s.queue.retry(job_id)
    s.wait_until(lambda: s.queue.get(job_id).attempts == 6 and s.state(job_id) == "dead", "it died once more")


def test_a_success_after_failures_is_completed_with_all_its_attempts(supervised: Make, tmp_path: Path) -> None:
    """The record keeps what failed before."""
    s = supervised(backoff_base=0.1)
    s.start(1)
    job_id = s.queue.enqueue('[ "$QUEUECTL_ATTEMPT" -ge 3 ]', max_retries=5)
    s.wait_for(job_id, "completed")
    assert (s.queue.get(job_id).attempts, s.queue.get(job_id).failures) == (3, 2)


def test_binary_and_unicode_output_does_no_harm(supervised: Make) -> None:
    """Bytes that are no text are kept as they are, and the record stays readable."""
    s = supervised()
    s.start(1)
    job_id = s.queue.enqueue("printf '\\377\\000\\033[31m grün ✓\\n'; exit 1", max_retries=0, name="n", tags=["ü"])
    s.wait_for(job_id, "dead")
    assert s.output(job_id) == b"\xff\x00\x1b[31m gr\xc3\xbcn \xe2\x9c\x93\n"
    assert "grün ✓" in (s.queue.get(job_id).last_error or "")


def test_what_a_run_leaves_behind_is_ended_before_the_job_is_settled(supervised: Make, tmp_path: Path) -> None:
    """Background children, new sessions, double forks that close every descriptor: none outlives the run.

    Proves G14.
    """
    s = supervised(kill_after=0.2)
    s.start(1)
    pids = [tmp_path / "plain", tmp_path / "stubborn", tmp_path / "daemon"]
    script = (
        f"sleep 600 & echo $! > {pids[0]}; "
        f"(trap '' TERM; setsid sleep 600 & echo $! > {pids[1]}; wait) & "
        f'python3 -c "$1" {pids[2]}; while [ ! -s {pids[2]} ] || [ ! -s {pids[1]} ]; do :; done'
    )
    job_id = s.queue.enqueue(["sh", "-c", script, "sh", ESCAPE])
    s.wait_for(job_id, "completed")
    for path in pids:
        assert not is_running(path.read_text()), path.name
    ended = {each["pid"] for each in _last(s, job_id)["leftovers"]["processes"]}
    assert ended >= {int(path.read_text()) for path in pids}


def test_the_record_the_log_and_the_event_say_which_leftovers_were_ended(supervised: Make, tmp_path: Path) -> None:
    """With command, pid and count, and how to keep them; a job that leaves nothing says nothing of it."""
    s = supervised()
    s.start(1)
    mark = tmp_path / "pid"
    feed = control_client.Feed(s.queue.layout)
    try:
        plain = s.queue.enqueue("true")
        s.wait_for(plain, "completed")
        is_started = "until [ $(cat /proc/$!/comm) = sleep ]; do :; done"
        job_id = s.queue.enqueue(f"setsid sleep 600 & echo $! > {mark}; {is_started}")
        s.wait_for(job_id, "completed")
        happened: dict[str, Any] = {}
        s.wait_until(lambda: _take(feed, happened, job_id, "completed"), "the event is told")
    finally:
        feed.close()
    pid = int(mark.read_text())
    leftovers = {"count": 1, "processes": [{"pid": pid, "command": "sleep 600"}]}
    assert _last(s, job_id)["leftovers"] == happened["leftovers"] == leftovers
    assert "leftovers" not in _last(s, plain)
    words = f"job {job_id} attempt 1 left processes running, which were ended: 1 process: sleep 600 (pid {pid}); --leftovers leave keeps"
    s.wait_until(lambda: words in (s.home / "logs/worker-1.log").read_text(), "the log says so")


def test_the_record_of_very_many_leftovers_stays_short(supervised: Make) -> None:
    """All are counted, five are described; a command line that is long or not ASCII is cut."""
    s = supervised()
    s.start(1)
    script = "for n in 1 2 3 4 5 6 7; do sh -c 'while :; do sleep 60; done' \"$1\" & done"
    job_id = s.queue.enqueue(["sh", "-c", script, "sh", "é" * 5000])
    s.wait_for(job_id, "completed")
    leftovers = _last(s, job_id)["leftovers"]
    assert leftovers["count"] >= 7
    assert len(leftovers["processes"]) == 5
    assert all(len(each["command"]) <= 120 for each in leftovers["processes"])


def test_no_retry_begins_before_what_the_attempt_before_it_left_is_gone(supervised: Make, tmp_path: Path) -> None:
    """A verdict that leads back to pending/ waits for it; `leftovers: leave` is for what succeeded.

    Proves G4, G14. Hole H21.
    """
    s = supervised(kill_after=0.2, backoff_base=0.05)
    s.start(1)
    left, overlap = tmp_path / "left", tmp_path / "overlap"
    script = (
        f'if [ "$QUEUECTL_ATTEMPT" = 1 ]; then sleep 600 & echo $! > {left}; exit 1; fi; '
        f"! kill -0 $(cat {left}) 2> /dev/null || echo overlap > {overlap}"
    )
    job_id = s.queue.enqueue(script, leftovers="leave")
    s.wait_for(job_id, "completed")
    assert not overlap.exists()
    assert s.queue.get(job_id).attempts == 2


def test_a_start_is_written_before_the_command_is_started(supervised: Make, tmp_path: Path) -> None:
    """What ran is counted, whatever happens next: at the moment of the spawn the file says `started`, in processing/.

    Proves G5.
    """
    seen = tmp_path / "seen"
    prelude = f"""
from queuectl.executor import local
real = local._spawn
def look(program, arguments, environment, *rest):
    path = environment["QUEUECTL_HOME"] + "/spool/processing/" + environment["QUEUECTL_JOB_ID"] + ".json"
    with open({str(seen)!r}, "a") as file, open(path) as job:
        file.write(job.read())
    return real(program, arguments, environment, *rest)
local._spawn = look
"""
    s = supervised(prelude=prelude, backoff_base=0.05)
    s.start(1)
    job_id = s.queue.enqueue('[ "$QUEUECTL_ATTEMPT" = 2 ]')

    def said() -> list[list[str]]:
        lines = seen.read_text().splitlines() if seen.exists() else []
        return [[entry["event"] for entry in json.loads(line)["history"]] for line in lines]

    s.wait_until(lambda: said() != [], "it was started once")
    assert said()[0] == ["started"]
    s.wait_for(job_id, "completed")
    assert said() == [["started"], ["started", "failed", "started"]]


def test_a_worker_whose_verdict_finds_no_room_begins_nothing_else(supervised: Make, tmp_path: Path) -> None:
    """It keeps the job and its lock and tries again; the next job waits until the verdict is written.

    Proves G16. Hole H6.
    """
    full, refusals = tmp_path / "full", tmp_path / "refusals"
    full.touch()
    prelude = f"""
import errno, os
from queuectl.spool.fs import Files
real = Files.write
def write(self, fd, data, offset):
    if b'"event":"failed"' in data and os.path.exists({str(full)!r}):
        with open({str(refusals)!r}, "a") as file:
            file.write("x")
        raise OSError(errno.ENOSPC, "full")
    real(self, fd, data, offset)
Files.write = write
"""
    s = supervised(prelude=prelude, backoff_base=0.05)
    s.start(1)
    first = s.queue.enqueue('[ "$QUEUECTL_ATTEMPT" = 2 ]')
    s.wait_until(refusals.exists, "the verdict was refused")
    second = s.queue.enqueue("true")
    s.wait_until(lambda: len(refusals.read_text()) > 3, "it was tried again")
    assert (s.state(first), s.queue.get(second).attempts) == ("processing", 0)
    full.unlink()
    for job_id in (first, second):
        s.wait_for(job_id, "completed")
    assert [e["event"] for e in s.queue.get(first).history] == ["started", "failed", "started", "completed"]


def test_leftovers_may_stay_when_the_job_says_so(supervised: Make, tmp_path: Path) -> None:
    """`leftovers: leave` and success: the background process goes on, and the next job is not held up by it."""
    s = supervised()
    s.start(1)
    mark = tmp_path / "pid"
    first = s.queue.enqueue(f"sleep 600 & echo $! > {mark}", leftovers="leave")
    s.wait_for(first, "completed")
    second = s.queue.enqueue("sleep 300 & exit 0")
    s.wait_for(second, "completed")
    pid = int(mark.read_text())
    assert is_running(pid)
    os.kill(pid, signal.SIGKILL)


def test_a_timeout_ends_the_whole_tree_even_one_that_ignores_term(supervised: Make, tmp_path: Path) -> None:
    """TERM, kill_after, KILL; also to what left the session."""
    s = supervised()
    s.start(1)
    mark = tmp_path / "pid"
    script = (
        f"trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ > {mark}; while :; do sleep 1; done' & wait; sleep 600"
    )
    job_id = s.queue.enqueue(script, timeout=0.5, kill_after=0.3, max_retries=0)
    s.wait_for(job_id, "dead")
    assert s.queue.get(job_id).outcome == "timed_out"
    assert not is_running(mark.read_text())


def test_a_job_may_leave_a_result_and_report_progress(supervised: Make) -> None:
    """$QUEUECTL_RESULT and $QUEUECTL_PROGRESS are files of the attempt."""
    s = supervised()
    s.start(1)
    job_id = s.queue.enqueue('echo \'{"rows": 3}\' > "$QUEUECTL_RESULT"; echo 0.4 half > "$QUEUECTL_PROGRESS"')
    s.wait_for(job_id, "completed")
    assert json.loads((s.home / "output" / f"{job_id}.1.result").read_text()) == {"rows": 3}
    assert (s.home / "output" / f"{job_id}.1.progress").read_text() == "0.4 half\n"


def test_priority_goes_first_and_first_come_first_served_inside_it(supervised: Make, tmp_path: Path) -> None:
    """Order is priority, then the time a job became due."""
    s = supervised()
    log = tmp_path / "order"
    for name, priority in (("a", 0), ("b", 5), ("c", 0), ("d", -3), ("e", 5)):
        s.queue.enqueue(f"echo {name} >> {log}", priority=priority)
    s.start(1)
    s.wait_until(lambda: log.exists() and len(log.read_text().split()) == 5, "all five ran")
    assert log.read_text().split() == ["b", "e", "a", "c", "d"]


def test_a_job_is_never_started_before_its_time(supervised: Make) -> None:
    """run_at in the future waits; overdue starts at once; expired goes to dead."""
    from queuectl.clock import Clock, spell

    s = supervised()
    s.start(1)
    now = Clock().now()
    soon = s.queue.enqueue("true", run_at=spell(now + 0.8))
    with pytest.warns(UserWarning, match="is in the past"):
        overdue = s.queue.enqueue("true", run_at=spell(now - 3600))
    expired = s.queue.spool.enqueue({"command": "true", "expires_at": spell(now - 1)})  # as a dropped file may be
    far = s.queue.enqueue("true", run_at=spell(now + 3600))
    s.wait_for(overdue, "completed")
    s.wait_for(soon, "completed")
    s.wait_for(expired, "dead")
    assert (s.queue.get(soon).started_at or 0) >= now + 0.8
    assert (s.state(far), s.queue.get(expired).dead_reason) == ("pending", "expired")


def test_permanent_and_snooze_exit_codes(supervised: Make) -> None:
    """A permanent code buries at once; the snooze code puts the job back without counting."""
    s = supervised(permanent_exit_codes="[9]", snooze_exit_code=75, snooze_delay=0.2)
    s.start(1)
    doomed = s.queue.enqueue("exit 9", max_retries=5)
    tired = s.queue.enqueue('[ "$QUEUECTL_ATTEMPT" -ge 3 ] || exit 75', max_retries=0)
    s.wait_for(doomed, "dead")
    s.wait_for(tired, "completed")
    assert (s.queue.get(doomed).attempts, s.queue.get(doomed).dead_reason) == (1, "permanent_exit")
    assert (s.queue.get(tired).attempts, s.queue.get(tired).failures) == (3, 0)


def test_a_running_job_is_cancelled_with_its_whole_tree(supervised: Make, tmp_path: Path) -> None:
    """Cancel returns when the job is filed; cancelling again changes nothing."""
    s = supervised()
    s.start(1)
    mark = tmp_path / "pid"
    job_id = s.queue.enqueue(f"sleep 600 & echo $! > {mark}; wait")
    s.wait_until(lambda: mark.exists() and mark.read_text().strip() != "", "it runs")
    assert s.queue.cancel(job_id).state == "cancelled"
    assert not is_running(mark.read_text())
    assert s.queue.cancel(job_id).state == "cancelled"
    assert _last(s, job_id)["event"] == "cancelled"


@pytest.mark.parametrize("how", ["cancel", "stop"])
def test_a_stopped_tree_hears_the_signal_that_ends_it(supervised: Make, tmp_path: Path, how: str) -> None:
    """SIGTERM to a stopped process waits until it is continued: with a grace of an hour, only SIGCONT ends this job."""
    s = supervised()
    s.start(1)
    mark = tmp_path / "ended"
    stopped = f"trap 'echo end >> {mark}; exit 0' TERM; kill -STOP \\$\\$; sleep 600"
    script = f'setsid sh -c "{stopped}" & {stopped.replace(chr(92), "")}'
    job_id = s.queue.enqueue(script, kill_after=3600, max_retries=0)

    def tree_is_stopped() -> bool:
        tree = [
            each for worker in s.status()["workers"] for each in psutil.Process(worker["pid"]).children(recursive=True)
        ]
        return len(tree) == 2 and all(each.status() == psutil.STATUS_STOPPED for each in tree)

    s.wait_until(tree_is_stopped, "both are stopped")
    if how == "cancel":
        s.ask("cancel", id=job_id)
    else:
        s.ask("stop", now=True)
    s.wait_for(job_id, {"cancel": "cancelled", "stop": "pending"}[how])
    assert mark.read_text() == "end\nend\n"


def test_deleting_a_running_job_ends_it_first(supervised: Make, tmp_path: Path) -> None:
    """Nothing of it is left: no process, no file, no output. Proves G8."""
    s = supervised()
    s.start(1)
    mark = tmp_path / "pid"
    job_id = s.queue.enqueue(f"echo $$ > {mark}; exec sleep 600")
    s.wait_until(lambda: mark.exists() and mark.read_text().strip() != "", "it runs")
    s.queue.delete(job_id)
    assert s.queue.spool.find(job_id) is None
    assert list((s.home / "output").iterdir()) == []
    assert not is_running(mark.read_text())
