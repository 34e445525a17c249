"""control_client: how other processes send requests to the supervisor: one JSON object a line over a socket in run/.

Owns:       the shape of requests and answers. supervisor/control_server is the other side.
Fails with: NoSupervisor if no process listens; else the error that the supervisor answered, with its exit code.

Requests are `{"do": VERB, ...}`. The member `run`, device and inode of run/, lets the supervisor refuse requests from a copy of
the home that has the same socket by a hard link. Every answer has `ok`; a refusal has `error`, `hint` and `exit_code`:

    hello                      pid, started_at, version
    status  usage?             the same, and draining, degraded, syncing, polling, workers, adopted; with `usage` the workers have
                               cpu_percent and rss_bytes, as many as can be measured in USAGE_S (control_handlers)
    flush   doubt              answers once the index shows everything that happened before the request; with `doubt` (the
                               index could not be read) it is opened again first
    start   count              adds workers; answers with their names when they are ready
    scale   count              absolute; as start
    stop    id?, now           drains one worker or all, `now` ends their jobs; answers at once with their names
    restart id?                replaces one worker when it is idle; without an id the whole supervisor: it drains and
                               executes the installed code with as many workers; answers at once
    cancel  id                 answers when the running job is settled as cancelled
    signal  id, attempt, number   answers when the process group of the running command was sent the signal
    pauses                     stops and continues what runs as the pauses want; answers when that is done
    reload                     reads the configuration again
    watch                      then a line for every event, until the client disconnects: at, event (a key of
                               events.SENTENCES), id, state, and details
"""

from __future__ import annotations

import json
import os
import sys
import time

from queuectl import errors
from queuectl.errors import NoSupervisor, QueueError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from typing import Any

    from queuectl.spool.layout import Layout

    Message = dict[str, Any]

SOCKET = "control.sock"
MOST_WORKERS = 1024
STARTING, IDLE, BUSY, STOPPING, BACKOFF, GONE = "starting", "idle", "busy", "stopping", "backoff", "gone"
WORKER_STATES = (STARTING, IDLE, BUSY, STOPPING, BACKOFF, GONE)
WORKER_MEMBERS = ("failed_attempts", "restarts", "job_id", "job_since", "command", "command_pid")
LONGEST_PATH = 100  # bytes; sun_path holds 104 to 108


class Address:
    """The address of the socket. A long path is replaced by one through a descriptor of run/, because sun_path is short."""

    def __init__(self, layout: Layout) -> None:
        self._fd = -1
        self.path = f"{layout.run}/{SOCKET}"
        if len(os.fsencode(self.path)) > LONGEST_PATH and sys.platform == "linux":
            self._fd = os.open(layout.run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self.path = f"/proc/self/fd/{self._fd}/{SOCKET}"

    def __enter__(self) -> str:
        return self.path

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def connect(layout: Layout) -> socket.socket:
    """Connect to the supervisor of this home.

    Raises:
        NoSupervisor: no process listens.
    """
    if not os.path.lexists(
        f"{layout.run}/{SOCKET}"
    ):  # then the module that follows need not be imported, which takes 2 ms
        raise _no_supervisor()
    import socket

    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with Address(layout) as path:
            made.connect(path)
    except OSError:
        made.close()
        raise _no_supervisor() from None
    return made


def _no_supervisor() -> NoSupervisor:
    return NoSupervisor("no supervisor is running", "queuectl worker start --count 2")


def run_of(layout: Layout) -> list[int] | None:
    """Return device and inode of run/, which a copy of the home does not share; None if there is no run/."""
    try:
        status = os.stat(layout.run)
    except OSError:
        return None
    return [status.st_dev, status.st_ino]


def ask(layout: Layout, request: Message, *, timeout_s: float | None = 30.0) -> Message:
    """Send one request and return its answer.

    Raises:
        NoSupervisor, TimedOut, or the error that the supervisor answered.
    """
    for answer in stream(layout, {**request, "run": run_of(layout)}, timeout_s=timeout_s):
        if request["do"] == "status":  # a supervisor of another version may know other members
            answer["workers"] = [{**dict.fromkeys(WORKER_MEMBERS), **worker} for worker in answer["workers"]]
        return answer
    raise NoSupervisor("the supervisor stopped before it answered")


def stream(layout: Layout, request: Message, *, timeout_s: float | None = None) -> Iterator[Message]:
    """Send one request and yield every answer until the supervisor closes the connection.

    Args:
        timeout_s: how long to wait for each answer; None without limit.
    """
    with connect(layout) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.sendall(json.dumps(request).encode() + b"\n")
            for line in connection.makefile("rb"):
                answer = json.loads(line)
                if not answer.get("ok", True):
                    raise error_of(answer)
                yield answer
        except TimeoutError:
            raise errors.TimedOut(f"the supervisor did not answer within {timeout_s:g}s") from None
        except OSError:
            return


def error_of(answer: Message) -> QueueError:
    """Return the error of a refusal."""
    kinds = {kind.exit_code: kind for kind in QueueError.__subclasses__()}
    kind = kinds.get(answer.get("exit_code", 1), QueueError)
    return kind(answer["error"], answer.get("hint"))


def refusal(error: Exception) -> Message:
    """Return the refusal for an error; an error that is neither a QueueError nor an OSError is a bug."""
    if isinstance(error, OSError):
        where = f"cannot use {error.filename}" if error.filename else "the system refused an operation"
        error = errors.from_os_error(error, f"the supervisor: {where}")
    if isinstance(error, QueueError):
        return {"ok": False, "error": str(error), "hint": error.hint, "exit_code": error.exit_code}
    return {"ok": False, "error": f"bug in the supervisor: {error!r}", "exit_code": 70}


class Feed:
    """The events of the supervisor as they happen.

    Raises:
        NoSupervisor: no supervisor is running.
    """

    def __init__(self, layout: Layout) -> None:
        self._socket = connect(layout)
        self._rest = b""
        self.is_open = True
        try:
            self._socket.sendall(b'{"do": "watch"}\n')
        except OSError:
            self.close()

    def fileno(self) -> int:
        """Readable when an event has arrived."""
        return self._socket.fileno()

    def take(self) -> list[Message]:
        """Wait for events and return them; after the end of the supervisor return none and set `is_open` to False."""
        try:
            data = self._socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            self.close()
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        messages: list[Message] = [json.loads(line) for line in lines]
        return [message for message in messages if "event" in message]

    def close(self) -> None:
        """End the subscription."""
        self.is_open = False
        self._socket.close()


class Watch:
    """A subscription to the events of the supervisor; without a supervisor, `wait` sleeps."""

    def __init__(self, layout: Layout) -> None:
        self._socket: socket.socket | None = None
        try:
            self._socket = connect(layout)
            self._socket.sendall(b'{"do": "watch"}\n')
        except (NoSupervisor, OSError):
            self.close()

    @property
    def is_open(self) -> bool:
        """The supervisor reports events."""
        return self._socket is not None

    def wait(self, timeout_s: float) -> None:
        """Return when something happened or `timeout_s` seconds have passed."""
        if self._socket is None:
            time.sleep(timeout_s)
            return
        import select

        readable, _, _ = select.select([self._socket], [], [], timeout_s)
        if readable and not self._receive(self._socket):
            self.close()

    @staticmethod
    def _receive(connection: socket.socket) -> bytes:
        try:
            return connection.recv(1 << 20)
        except ConnectionError:  # it ended before it read the request
            return b""

    def close(self) -> None:
        """End the subscription."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def check_count(count: object, least: int, what: str = "the number of workers") -> int:
    """Check and return a number of workers.

    Raises:
        UsageError: `what` is not an integer from `least` to MOST_WORKERS.
    """
    if not isinstance(count, int) or isinstance(count, bool) or not least <= count <= MOST_WORKERS:
        raise UsageError(f"{what} must be an integer from {least} to {MOST_WORKERS}, not {count!r}")
    return count
