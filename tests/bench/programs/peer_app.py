"""peer_app: the same work for every other queue that is a Python library: run a shell command, wait, keep its exit code.

Imported in the virtual environment of the peers, which has no QueueCTL, as `peer_app`: workers find `run` by that name.
`produce` reads lines of JSON, {"count", "command"}, puts as many jobs in and answers with the seconds that took; `work`
is a worker for those that bring none of their own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PEER, HOME = os.environ["PEER"], os.environ["PEER_HOME"]
REDIS = f"{HOME}/redis.sock"
BEANSTALKD = f"{HOME}/beanstalkd.sock"
POLL_S = 0.05
app: Any = None  # where the peers' own worker programs find it


def run(command: str) -> int:
    """Run one command to its end."""
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", command], os.environ)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def open_peer() -> Callable[[str], object]:
    """Set `app`, and return what puts one command in."""
    return OPENERS[PEER]()


def _huey_sqlite() -> Callable[[str], object]:
    from huey import SqliteHuey

    return _huey(SqliteHuey(filename=f"{HOME}/huey.sqlite3"))


def _huey_file() -> Callable[[str], object]:
    from huey import FileHuey

    return _huey(FileHuey(path=f"{HOME}/huey"))


def _huey(made: Any) -> Callable[[str], object]:
    globals()["app"] = made
    return made.task()(run)


def _litequeue() -> Callable[[str], object]:
    from litequeue import LiteQueue

    globals()["app"] = queue = LiteQueue(f"{HOME}/litequeue.sqlite3")
    return queue.put


def _rq() -> Callable[[str], object]:
    from redis import Redis
    from rq import Queue

    queue = Queue(connection=Redis(unix_socket_path=REDIS))
    return lambda command: queue.enqueue("peer_app.run", command)


def _celery() -> Callable[[str], object]:
    from celery import Celery

    made = Celery("peer_app", broker=f"redis+socket://{REDIS}", backend=f"redis+socket://{REDIS}")
    globals()["app"] = made
    return made.task(name="run")(run).delay


def _dramatiq() -> Callable[[str], object]:
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker

    broker = RedisBroker(url=f"unix://{REDIS}")
    globals()["app"] = broker
    dramatiq.set_broker(broker)
    return dramatiq.actor(run).send


def _beanstalkd() -> Callable[[str], object]:
    from greenstalk import Client

    globals()["app"] = client = Client(BEANSTALKD)
    return client.put


OPENERS: dict[str, Callable[[], Callable[[str], object]]] = {
    "huey-sqlite": _huey_sqlite,
    "huey-file": _huey_file,
    "litequeue": _litequeue,
    "rq": _rq,
    "rq-simple": _rq,
    "celery": _celery,
    "dramatiq": _dramatiq,
    "beanstalkd": _beanstalkd,
}
put = open_peer()


def produce() -> None:
    """Put in what is asked for on standard input."""
    for line in sys.stdin:
        asked = json.loads(line)
        began = time.perf_counter()
        for _ in range(asked["count"]):
            put(asked["command"])
        print(time.perf_counter() - began, flush=True)


def work() -> None:
    """Run jobs for ever."""
    while True:
        if PEER == "beanstalkd":
            job = app.reserve()
            run(job.body)
            app.delete(job)
        else:
            message = app.pop()
            if message is None:
                time.sleep(POLL_S)
                continue
            run(message.data)
            app.done(message.message_id)
