"""The control socket against clients that are broken, slow, silent or many: the supervisor goes on working, its size stays."""

from __future__ import annotations

import json
import os
import random
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.chaos import Tally, Use, ended, race, size, use_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]

EVENTS = 10_000
BATCH = 1000
READERS = size(8, 30)
IDLE = 200
STORM = size(2000, 20_000)
RANDOM_LINES = size(300, 5000)
HUGE_LINES = size(6, 40)
GROWTH_BYTES = 8 << 20

NONSENSE = (
    *(b"", b" ", b"{", b"}", b"[]", b"null", b"true", b"0", b'"x"', b"hello", b"GET / HTTP/1.1\r", b"\x00" * 100),
    *(
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'{"do"}',
        b'{"do": }',
        b'{"do": "hello"}}',
        b"{'do': 'hello'}",
        b"NaN",
        b"1e999",
    ),
    *(b"[" * 200_000, b'{"do":' * 100_000, b'{"do": ' + b"[" * 5000 + b"]" * 5000 + b"}", b"9" * 10_000, b"-" * 1000),
    *(
        b'{"do": "\\ud800"}',
        b'{"do": null}',
        b'{"do": {"do": "hello"}}',
        b'{"do": ["hello"]}',
        b'{"do": "no such verb"}',
    ),
    *(
        b'{"do": "start"}',
        b'{"do": "start", "count": -1}',
        b'{"do": "start", "count": 1e9}',
        b'{"do": "start", "count": true}',
    ),
    *(b'{"do": "start", "count": "2"}', b'{"do": "start", "count": 99999999999999999999}', b'{"do": "scale"}'),
    *(b'{"do": "stop", "id": 7}', b'{"do": "stop", "id": {"a": [1]}}', b'{"do": "stop", "id": "../../etc"}'),
    *(
        b'{"do": "restart", "id": "worker-9"}',
        b'{"do": "cancel"}',
        b'{"do": "cancel", "id": null}',
        b'{"do": "cancel", "id": "\\u0000/.."}',
    ),
    *(
        b'{"do": "hello", "do": "no such verb"}',
        b'{"do": "watch", "id": "' + b"x" * 100_000 + b'"}',
        b'{"do": "flush", "doubt": []}',
    ),
)


def _connect(s: Supervised) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.connect(
        f"{s.home}/run/control.sock"
    )  # waits while the queue of the listener is full, which with a timeout it does not
    made.settimeout(60)
    return made


def _read_all(connection: socket.socket) -> bytes:
    """Return what comes until the supervisor hangs up."""
    parts = []
    try:
        while data := connection.recv(1 << 20):
            parts.append(data)
    except ConnectionError:
        pass
    return b"".join(parts)


class Steady:
    """A supervisor that has to be as it was, and at work, at the end."""

    def __init__(self, s: Supervised) -> None:
        self.s = s
        self.supervisor = s.start(2)
        self._work()
        self.before = self._use()

    def _use(self) -> Use:
        return use_of(self.supervisor.pid)

    def _work(self) -> None:
        goal = ended(self.s) + 5
        for _ in range(5):
            self.s.queue.enqueue("true")
        self.s.wait_until(lambda: ended(self.s) >= goal, "five more jobs have ended")
        self.s.wait_until(
            lambda: all(w["state"] == "idle" for w in self.s.status()["workers"]), "and all are told of it"
        )

    def check(self, growth: int = GROWTH_BYTES) -> None:
        assert self.supervisor.poll() is None
        self._work()
        self.s.wait_until(lambda: self._use().descriptors <= self.before.descriptors + 1, "all connections are closed")
        after = self._use()
        assert after.bytes - self.before.bytes < growth, (self.before, after)


@pytest.fixture
def steady(supervised: Make) -> Iterator[Steady]:
    made = Steady(supervised())
    yield made
    made.check()


def test_nonsense_is_answered_or_ends_the_connection(steady: Steady) -> None:
    """Each line alone, then all of them and random bytes on one connection with a sensible question between."""
    s = steady.s
    dice = random.Random(1)
    with Tally("nonsense", "lines", "refused", "answered") as tally:
        for line in NONSENSE:
            with _connect(s) as connection:
                connection.sendall(line + b"\n")
                connection.shutdown(socket.SHUT_WR)
                for answer in _read_all(connection).splitlines():
                    tally.add("answered" if json.loads(answer).get("ok") else "refused")
                tally.add("lines")
            assert s.ask("hello")["ok"]
        for _ in range(RANDOM_LINES):
            line = dice.randbytes(dice.randint(0, 300)).replace(b"\n", b" ")
            with _connect(s) as connection:
                connection.sendall(line + b'\n{"do": "hello"}\n')
                with connection.makefile("rb") as answers:
                    assert not json.loads(answers.readline())["ok"]
                    assert json.loads(answers.readline())["pid"] == steady.supervisor.pid
                tally.add("lines")
                tally.add("refused")


def test_half_lines_wait_for_their_other_half(steady: Steady) -> None:
    """A request in single bytes, in two halves with others between, several in one write; half of one and then silence."""
    s = steady.s
    request = b'{"do": "hello"}\n'
    with ExitStack() as stack, Tally("half lines", "requests") as tally:
        with _connect(s) as connection:
            for at in range(len(request)):
                connection.sendall(request[at : at + 1])
            with connection.makefile("rb") as answers:
                assert json.loads(answers.readline())["ok"]
            tally.add("requests")
        halves = [stack.enter_context(_connect(s)) for _ in range(50)]
        for connection in halves:
            connection.sendall(request[:7])
        assert s.ask("hello")["ok"]
        for connection in halves[:25]:
            connection.sendall(request[7:] + request)
            with connection.makefile("rb") as answers:
                assert json.loads(answers.readline()) == json.loads(answers.readline())
            tally.add("requests", 2)


def test_a_line_that_does_not_end_ends_the_connection(steady: Steady) -> None:
    """At most a megabyte is kept of it."""
    s = steady.s
    with Tally("huge lines", "lines") as tally:
        for _ in range(HUGE_LINES):
            with _connect(s) as connection:
                with pytest.raises(ConnectionError):
                    for _ in range(64):
                        connection.sendall(b"x" * (1 << 20))
                tally.add("lines")


def test_who_does_not_read_loses_the_connection_and_nobody_else_does(steady: Steady) -> None:
    """Ten thousand events: watchers that read get every one, in order; the others cost at most a megabyte for a while."""
    s = steady.s
    with ExitStack() as stack, Tally("slow readers", "events", "hung up on") as tally:
        reader = stack.enter_context(_connect(s))
        reader.sendall(b'{"do": "watch"}\n')
        lines = stack.enter_context(reader.makefile("rb"))
        assert json.loads(lines.readline())["ok"]
        slow = [stack.enter_context(_connect(s)) for _ in range(READERS)]
        for connection in slow:
            connection.sendall(b'{"do": "watch"}\n' + b'{"do": "status"}\n' * 200)
        names = [f"gone-{n}-{'x' * 60}" for n in range(EVENTS)]
        for at in range(0, EVENTS, BATCH):
            text = "".join(f"{name}\n" for name in names[at : at + BATCH])
            s.queue.spool.files.append(s.queue.layout.changes, text.encode())
            for name in names[at : at + BATCH]:
                event = json.loads(lines.readline())
                assert (event["event"], event["id"]) == ("removed", name)
                tally.add("events")
        for connection in slow:
            tally.add("hung up on", not _is_open(s, connection))


def _is_open(s: Supervised, connection: socket.socket) -> bool:
    """Tell whether the supervisor still has the connection: then it takes more."""
    assert s.ask("hello")["ok"]
    try:
        connection.sendall(b'{"do": "hello"}\n')
    except ConnectionError:
        return False
    return True


def test_two_hundred_silent_connections_stop_nobody(steady: Steady) -> None:
    """Jobs run, questions are answered, and a silent one that speaks at last is heard."""
    s = steady.s
    with ExitStack() as stack, Tally("silent connections", "connections") as tally:
        silent = [stack.enter_context(_connect(s)) for _ in range(IDLE)]
        tally.add("connections", len(silent))
        s.wait_for(s.queue.enqueue("true"), "completed")
        assert s.ask("status")["ok"]
        for connection in silent[::20]:
            connection.sendall(b'{"do": "hello"}\n')
            with connection.makefile("rb") as answers:
                assert json.loads(answers.readline())["ok"]


def test_a_storm_of_connections_leaves_nothing_behind(steady: Steady) -> None:
    """Connect and close; with half a request, with a whole one whose answer nobody reads, with a watch, with a cancel."""
    s = steady.s
    job_id = s.queue.enqueue("exec sleep 600")
    s.wait_until(lambda: any(w["command_pid"] for w in s.status()["workers"]), "it runs")
    words = (
        b"",
        b'{"do"',
        b'{"do": "status"}\n',
        b'{"do": "watch"}\n',
        b'{"do": "flush"}\n' * 3,
        b'{"do": "reload"}\n',
    )

    def storm(seed: int) -> int:
        dice = random.Random(seed)
        for _ in range(STORM // 4):
            with _connect(s) as connection:
                try:
                    connection.sendall(dice.choice(words))
                except ConnectionError:
                    continue
        return STORM // 4

    with Tally("connections in a storm", "connections") as tally:
        tally.add("connections", sum(race(4, storm)))
    for _ in range(50):
        with _connect(s) as connection:
            connection.sendall(json.dumps({"do": "cancel", "id": job_id}).encode() + b"\n")
    s.wait_for(job_id, "cancelled")
    assert os.path.exists(f"{s.home}/run/control.sock")
