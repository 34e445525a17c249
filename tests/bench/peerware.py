"""peerware: other queues, each brought to the same few verbs: open, put, work, stop."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.bench.harness import RELAXED
from tests.bench.service import Service, environment
from tests.bench.timing import wait_for

if TYPE_CHECKING:
    from tests.bench.harness import Context

IN_MEMORY = "in memory"  # a broker that writes nothing to the disk
PROGRAMS = Path(__file__).parent / "programs"
DEBIAN = ("parallel", "task-spooler", "nq", "beanstalkd", "redis-server")
PYPI = (
    "huey",
    "litequeue",
    "rq",
    "celery",
    "dramatiq",
    "greenstalk",
    "redis",
    "packaging",
)  # celery needs the last and does not say so
WORKERS = 2
STOP_S = 10.0
ANSWER_S = 60.0


def install_peers(where: Path) -> str:
    """Install what Debian and PyPI carry of the peers; what is missing shows when it is measured.

    Returns:
        The Python that has the libraries.
    """
    if os.geteuid() == 0 and shutil.which("apt-get") is not None:
        apt = ["apt-get", "install", "-y", "-q", "--no-install-recommends"]
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for package in DEBIAN:
            subprocess.run([*apt, package], env=environ, capture_output=True, check=False)
    subprocess.run([sys.executable, "-m", "venv", where], check=True)
    python = str(where / "bin" / "python")
    for package in PYPI:
        subprocess.run([python, "-m", "pip", "install", "-q", package], capture_output=True, check=False)
    return python


class Peer:
    """One queue at work in a directory of its own; `stop` ends every process of it."""

    durability = RELAXED
    needs: tuple[str, ...] = ()
    most_jobs: int | None = None  # that it takes at once

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.home = home
        self.environ = {**environment(), "PEER": name, "PEER_HOME": str(home)}
        self._started: list[subprocess.Popen[bytes]] = []

    @classmethod
    def missing(cls) -> str | None:
        """Name a program that it needs and that is not installed."""
        return next((program for program in cls.needs if shutil.which(program) is None), None)

    def open(self) -> None:
        """Get ready to take jobs in; none runs yet."""

    def put(self, command: str, count: int = 1) -> float:
        """Put a shell command in, `count` times; returns the seconds that took."""
        raise NotImplementedError

    def work(self) -> None:
        """Let the workers begin."""

    def spawn(self, *command: str, **more: object) -> subprocess.Popen[bytes]:
        """Start a process that belongs to it."""
        log = (self.home / "log").open("ab")
        with log:
            process = subprocess.Popen(
                command,
                env=self.environ,
                cwd=self.home,
                start_new_session=True,
                **{"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **more},  # type: ignore[call-overload]
            )
        self._started.append(process)
        return process

    def processes(self) -> list[psutil.Process]:
        """Return every process of it: what was started, what descends from that, what carries its name."""
        found: dict[int, psutil.Process] = {}
        for process in psutil.process_iter():
            try:
                if process.environ().get("PEER_HOME") == str(self.home):
                    found[process.pid] = process
            except psutil.Error:
                continue
        for started in self._started:
            try:
                parent = psutil.Process(started.pid)
                found.update({each.pid: each for each in (parent, *parent.children(recursive=True))})
            except psutil.NoSuchProcess:
                continue
        return [process for process in found.values() if process.status() != psutil.STATUS_ZOMBIE]

    def stop(self) -> None:
        """End it: asked first, then killed."""
        family = Peer.processes(self)
        for process in family:
            try:
                process.terminate()
            except psutil.NoSuchProcess:
                continue
        for process in psutil.wait_procs(family, STOP_S)[1]:
            process.kill()
        for started in self._started:
            for pipe in (started.stdin, started.stdout):
                if pipe is not None:
                    pipe.close()
            started.wait(STOP_S)


class Library(Peer):
    """A Python library, driven by programs/peer_app.py."""

    python = sys.executable
    broker: tuple[str, ...] = ()
    workers: tuple[tuple[str, ...], ...] = ()

    def open(self) -> None:
        """Start the broker, if there is one, and the process that puts jobs in."""
        self.environ["PYTHONPATH"] = str(PROGRAMS)
        self.environ["PATH"] = f"{Path(self.python).parent}:{self.environ['PATH']}"
        if self.broker:
            self.spawn(*(part.format(home=self.home) for part in self.broker))
            wait_for(lambda: any(self.home.glob("*.sock")), f"the broker of {self.name} listens", 0.05, 20)
        self._producer = self.spawn(
            self.python, "-c", "import peer_app; peer_app.produce()", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def processes(self) -> list[psutil.Process]:
        """Leave the producer out: it stands for the program of whoever uses the queue."""
        return [process for process in super().processes() if process.pid != self._producer.pid]

    def put(self, command: str, count: int = 1) -> float:
        """Have the producer do it, and take its own time."""
        asked, answers = self._producer.stdin, self._producer.stdout
        if asked is None or answers is None:
            raise AssertionError("the producer has pipes")
        asked.write(json.dumps({"command": command, "count": count}).encode() + b"\n")
        asked.flush()
        answered, _, _ = select.select([answers], [], [], ANSWER_S)
        answer = answers.readline() if answered else b""
        if not answer:
            raise RuntimeError((self.home / "log").read_text()[-500:])
        return float(answer)

    def work(self) -> None:
        """Start the workers, with the settings they come with."""
        for command in self.workers:
            self.spawn(*(part.format(home=self.home, python=self.python) for part in command))


OWN_WORKER = (("{python}", "-c", "import peer_app; peer_app.work()"),) * WORKERS
HUEY = (("{python}", "-m", "huey.bin.huey_consumer", "peer_app.app", "-k", "process", "-w", str(WORKERS)),)
REDIS = ("redis-server", "--port", "0", "--unixsocket", "{home}/redis.sock", "--save", "", "--dir", "{home}")
BEANSTALKD = ("beanstalkd", "-l", "unix:{home}/beanstalkd.sock")
RQ = ("{python}", "-m", "rq.cli", "worker", "--quiet", "-u", "unix://{home}/redis.sock")


def library(python: str, workers: tuple[tuple[str, ...], ...], broker: tuple[str, ...] = ()) -> type[Library]:
    """Return the class of a library that is worked by these commands."""
    members = {"python": python, "workers": workers, "broker": broker, "needs": broker[:1]}
    return type("Library", (Library,), {**members, "durability": IN_MEMORY if broker else RELAXED})


def libraries(python: str) -> dict[str, type[Library]]:
    """Return the libraries by name, as programs/peer_app.py knows them."""
    celery = ("{python}", "-m", "celery", "-A", "peer_app", "worker", "-c", str(WORKERS), "-l", "ERROR")
    dramatiq = ("{python}", "-m", "dramatiq", "peer_app:app", "-p", str(WORKERS), "-t", "1")
    return {
        "huey-sqlite": library(python, HUEY),
        "huey-file": library(python, HUEY),
        "litequeue": library(python, OWN_WORKER),
        "beanstalkd": library(python, OWN_WORKER, BEANSTALKD),
        "rq": library(python, (RQ,) * WORKERS, REDIS),
        "rq-simple": library(python, ((*RQ, "--worker-class", "rq.SimpleWorker"),) * WORKERS, REDIS),
        "celery": library(python, (celery,), REDIS),
        "dramatiq": library(python, (dramatiq,), REDIS),
    }


class CommandLine(Peer):
    """A queue whose only interface is a program, started for every job."""

    def put(self, command: str, count: int = 1) -> float:
        """Start its program once a job."""
        began = time.perf_counter()
        for _ in range(count):
            self._put(command)
        return time.perf_counter() - began

    def _put(self, command: str) -> None:
        raise NotImplementedError

    def _run(self, *command: str, **environ: str) -> None:
        whole = {**self.environ, **environ}
        subprocess.run(command, env=whole, cwd=self.home, capture_output=True, check=True, timeout=ANSWER_S)

    @property
    def _gate(self) -> str:
        return f"while ! test -e {self.home}/go; do sleep 0.01; done"

    def work(self) -> None:
        """Open the gate at which the first job waits."""
        (self.home / "go").touch()


class TaskSpooler(CommandLine):
    """tsp: a server in memory, reached over a socket."""

    durability = IN_MEMORY
    needs = ("tsp",)
    most_jobs = 900  # each keeps a connection, of which the server has a thousand

    def open(self) -> None:
        """Have the first job hold up the others."""
        self.environ.update(TS_SOCKET=f"{self.home}/tsp.sock", TMPDIR=str(self.home))
        self._run("tsp", "-n", "sh", "-c", self._gate)

    def _put(self, command: str) -> None:
        self._run("tsp", "-n", "sh", "-c", command)

    def work(self) -> None:
        """Two at a time from now on."""
        self._run("tsp", "-S", str(WORKERS))
        super().work()

    def stop(self) -> None:
        """It ends by itself, without what it keeps, when told to."""
        subprocess.run(["tsp", "-K"], env=self.environ, cwd=self.home, capture_output=True, check=False)
        super().stop()


class Nq(CommandLine):
    """nq: a file a job, one at a time; two directories make two workers."""

    needs = ("nq",)

    def open(self) -> None:
        """Have the first job of each directory hold up the others."""
        self._turn = 0
        for _ in range(WORKERS):
            self._put(self._gate)

    def _put(self, command: str) -> None:
        self._turn += 1
        self._run("nq", "sh", "-c", command, NQDIR=f"{self.home}/{self._turn % WORKERS}")


class Ours(Peer):
    """QueueCTL, measured as the others are."""

    def __init__(self, name: str, home: Path, context: Context, durability: str) -> None:
        super().__init__(name, home)
        home.chmod(0o700)
        self._service = Service(context, home, durability)

    def put(self, command: str, count: int = 1) -> float:
        """Enqueue from Python, as from the libraries."""
        began = time.perf_counter()
        for _ in range(count):
            self._service.queue.enqueue(command)
        return time.perf_counter() - began

    def work(self) -> None:
        """Start the workers."""
        self._service.start(WORKERS)

    def processes(self) -> list[psutil.Process]:
        """Return the supervisor and its workers."""
        supervisor, workers = self._service.processes()
        return [supervisor, *workers]

    def stop(self) -> None:
        """Stop the workers."""
        self._service.stop()
