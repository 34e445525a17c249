"""events -f: everything that happens is told once, also across supervisors and without one; it ends tidily."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from queuectl import Queue
from queuectl.clock import spell
from queuectl.control_client import Feed
from tests.support.supervised import PATIENCE_S, Supervised

ROOT = Path(__file__).parents[2]
MAY_BE = ("adopted", "orphaned", "revived")  # a revival that is started at once may be told as its start alone
Make = Callable[..., Supervised]


class Follower:
    """`queuectl events -f --json` in a process of its own."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "queuectl"), "events", "-f", "--since", "1h", "--json", *words],
            bufsize=0,  # so that select tells of every line
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.out, self.err = self.process.stdout, self.process.stderr

    def until(self, job_id: str, *kinds: str) -> list[dict[str, Any]]:
        """Read until the last of these kinds was told of a job; return what was told."""
        found: list[dict[str, Any]] = []
        while True:
            assert select.select([self.out], [], [], PATIENCE_S)[0], found
            line = self.out.readline()
            assert line, self.err.read()
            found.append(json.loads(line))
            told = [e["event"] for e in found if e["id"] == job_id and e["event"] not in MAY_BE]
            if told[-1:] == [kinds[-1]]:
                assert told == [*kinds], found
                return found


@pytest.fixture
def follow() -> Iterator[Callable[..., Follower]]:
    made: list[Follower] = []

    def begin(*words: str) -> Follower:
        made.append(Follower(*words))
        return made[-1]

    yield begin
    for each in made:
        each.process.kill()
        each.process.wait(PATIENCE_S)
        each.out.close()
        each.err.close()


def hears(s: Supervised, follower: Follower) -> None:
    """Return when what happens is told: the past comes first, once it listens."""
    s.queue.enqueue("true", id="first", run_at="2099-01-01T00:00:00Z")
    follower.until("first", "enqueued")


def test_an_event_is_the_same_as_it_happens_and_afterwards(
    supervised: Make, follow: Callable[..., Follower], tmp_path: Path
) -> None:
    """By the command line, by Python, and by the supervisor, whose events the API passes on."""
    s = supervised(backoff_base=0.1, backoff_jitter=0)
    s.start(1)
    follower, queue = follow(), Queue(s.queue.layout.home)
    feed = Feed(queue.layout)
    hears(s, follower)
    flag = tmp_path / "flag"
    queue.enqueue(f"test -e {flag} || {{ touch {flag}; echo no disk; exit 3; }}", id="retried", max_retries=1)
    heard = follower.until("retried", "enqueued", "started", "failed", "started", "completed")
    queue.enqueue("kill -9 $$", id="killed", max_retries=0)
    heard += follower.until("killed", "enqueued", "started", "died")
    queue.enqueue("sleep 100", id="late", max_retries=0, timeout=0.1)
    heard += follower.until("late", "enqueued", "started", "died")
    queue.enqueue("sleep 100", id="cancelled")
    heard += follower.until("cancelled", "enqueued", "started")
    expires_at = queue.spool.clock.now() + 0.5
    queue.enqueue("true", id="expired", expires_at=spell(expires_at))  # the only worker is busy
    time.sleep(max(0.0, expires_at - queue.spool.clock.now()))
    queue.cancel("cancelled")
    heard += follower.until("expired", "enqueued", "expired")
    for verb in (queue.hold, queue.release, queue.hold, queue.cancel):  # also faster than the file is read
        verb("first")
    queue.enqueue(["/nonexistent/program"], id="missing", check=False)
    heard += follower.until("missing", "enqueued", "started", "died")
    past = [event.as_dict() for event in queue.events("1h")]
    raw: list[dict[str, Any]] = []
    while not any((event.get("id"), event["event"]) == ("missing", "died") for event in raw):  # the last of all
        raw += [event for event in feed.take() if event["event"] != "moved"]
    feed.close()
    for told in (heard, [{}, *raw]):
        for job_id in ("retried", "killed", "late", "cancelled", "expired", "missing"):
            of_job = [event for event in past if event["id"] == job_id]
            assert [event for event in told if event.get("id") == job_id] == of_job
    died = next(event for event in past if (event["id"], event["event"]) == ("late", "died"))
    assert (died["reason"], died["error"], died["timed_out"]) == ("retries_exhausted", "timed out after 0.1s", True)


def test_a_life_is_told_once_each(supervised: Make, follow: Callable[..., Follower]) -> None:
    s = supervised()
    s.start(1)
    follower = follow()
    hears(s, follower)
    with s.queue.spool.take("first") as claim:
        claim.hold()
        s.queue.spool.note_change("first")
    follower.until("first", "held")
    s.queue.enqueue("exit 3", id="fails", max_retries=1, backoff_base=0.1)
    told = follower.until("fails", "enqueued", "started", "failed", "started", "died")
    assert [each.get("attempt") for each in told if each["id"] == "fails"] == [None, 1, 1, 2, 2]
    assert told[-1]["exit_code"] == 3
    assert told[-1]["state"] == "dead"
    assert told[-1]["at"] > told[0]["at"]
    s.queue.retry("fails")
    follower.until("fails", "started", "failed", "started", "died")
    s.queue.enqueue("exec sleep 1000", id="long")
    follower.until("long", "enqueued", "started")
    s.queue.cancel("long")
    follower.until("long", "cancelled")
    s.queue.delete("long")
    follower.until("long", "removed")


def test_it_goes_on_without_a_supervisor_and_hears_the_next_one(
    supervised: Make, follow: Callable[..., Follower]
) -> None:
    s = supervised()
    follower = follow()
    hears(s, follower)  # nobody runs: the files tell
    s.queue.enqueue("true", id="alone")
    follower.until("alone", "enqueued")
    s.start(1)
    follower.until("alone", "started", "completed")
    s.ask("stop")
    s.processes[-1].wait(PATIENCE_S)
    s.queue.enqueue("true", id="between")
    s.start(1)
    follower.until("between", "enqueued", "started", "completed")


def test_a_supervisor_that_is_killed_is_no_end(supervised: Make, follow: Callable[..., Follower]) -> None:
    s = supervised()
    s.start(1)
    follower = follow()
    hears(s, follower)
    s.queue.enqueue(f"until [ -e {s.home}/go ]; do sleep 0.05; done", id="long")
    follower.until("long", "enqueued", "started")
    s.processes[-1].kill()
    s.processes[-1].wait(PATIENCE_S)
    s.start(1)
    s.queue.enqueue("true", id="after")
    told = follower.until("after", "enqueued", "started", "completed")
    assert not [each for each in told if (each["id"], each["event"]) == ("long", "started")]
    (s.home / "go").touch()
    follower.until("long", "completed")


def test_the_past_comes_first_and_is_not_told_again(supervised: Make, follow: Callable[..., Follower]) -> None:
    s = supervised()
    s.start(1)
    s.queue.enqueue("true", id="before")
    s.wait_for("before", "completed")
    follower = follow()
    follower.until("before", "enqueued", "started", "completed")
    s.queue.enqueue("true", id="after")
    told = follower.until("after", "enqueued", "started", "completed")
    assert not [each for each in told if each["id"] == "before"]


@pytest.mark.parametrize("with_supervisor", [True, False])
def test_ctrl_c_is_130_and_a_reader_that_leaves_ends_it_at_once(
    supervised: Make, follow: Callable[..., Follower], with_supervisor: bool
) -> None:
    s = supervised()
    if with_supervisor:
        s.start(1)
    first, second = follow(), follow("--type", "died")
    hears(s, first)
    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(PATIENCE_S) == 130
    assert b"Traceback" not in first.err.read()
    second.out.close()  # nothing of its kind happens: it must not wait for that
    assert second.process.wait(PATIENCE_S) == 141
    assert b"rror" not in second.err.read()
