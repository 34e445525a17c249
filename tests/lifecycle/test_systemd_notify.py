"""What a service manager hears of its service, through a real datagram socket."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from queuectl.control_client import BUSY, IDLE, STARTING
from queuectl.supervisor.systemd_notify import FOR_US_ALONE, PAUSE_S, ServiceManager
from queuectl.supervisor.worker_pool import WorkerSlot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]

PATIENCE_S = 60


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket that is listened to, and its address as systemd spells it."""
    name = f"@queuectl-{os.getpid()}-{tmp_path.name}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(name.replace("@", "\0", 1))
        end.settimeout(PATIENCE_S)
        yield end, name


def _hear(end: socket.socket) -> list[str]:
    return end.recv(4096).decode().split("\n")


def _slots(*states: str) -> dict[str, WorkerSlot]:
    slots = {f"worker-{n}": WorkerSlot(f"worker-{n}") for n in range(1, len(states) + 1)}
    for slot, state in zip(slots.values(), states, strict=True):
        slot.state = state
        slot.job_id = "a" if state == BUSY else None
    return slots


def test_ready_is_told_with_the_last_worker_and_once(manager: tuple[socket.socket, str]) -> None:
    """Not before all have started; afterwards only the status, and nothing when nothing has changed."""
    end, name = manager
    slots = _slots(IDLE, STARTING)
    service = ServiceManager({"NOTIFY_SOCKET": name}, slots)
    service.step(0, draining=False)
    assert _hear(end) == ["STATUS=0 of 2 workers busy"]
    slots["worker-2"].state = IDLE
    service.step(0.1, draining=False)
    assert _hear(end) == ["READY=1", "STATUS=0 of 2 workers busy"]
    end.setblocking(False)
    for moment in range(1, 10):
        service.step(moment, draining=False)
        assert service.next_step == float("inf")
    with pytest.raises(BlockingIOError):
        end.recv(1)


def test_a_status_waits_its_turn_and_the_end_does_not(manager: tuple[socket.socket, str]) -> None:
    """At most one a second, the last one always told; STOPPING=1 at once."""
    end, name = manager
    slots = _slots(IDLE)
    service = ServiceManager({"NOTIFY_SOCKET": name}, slots)
    service.step(0, draining=False)
    assert _hear(end)[0] == "READY=1"
    slots["worker-1"].job_id = "a"
    service.step(0.2, draining=False)
    assert service.next_step == PAUSE_S
    service.step(service.next_step, draining=False)
    assert _hear(end) == ["STATUS=1 of 1 worker busy"]
    service.step(1.1, draining=True)
    assert _hear(end) == ["STOPPING=1", "STATUS=Stopping, 1 of 1 worker busy"]


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all", "@nobody-listens"])
def test_without_a_manager_nothing_is_told_and_nothing_fails(address: str) -> None:
    service = ServiceManager({"NOTIFY_SOCKET": address} if address else {}, _slots(IDLE))
    service.step(0, draining=False)
    assert service.next_step == float("inf")
    service.step(1, draining=True)
    assert service.next_step == float("inf")


def test_a_manager_that_does_not_read_is_told_later(tmp_path: Path) -> None:
    """A full socket neither stops the supervisor nor loses the news."""
    address = str(tmp_path / "notify")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other,
    ):
        end.bind(address)
        other.setblocking(False)
        letters = 0
        with pytest.raises(BlockingIOError):
            while True:
                letters += other.sendto(b"x", address)
        service = ServiceManager({"NOTIFY_SOCKET": address}, _slots(IDLE))
        service.step(0, draining=False)
        assert service.next_step == PAUSE_S
        assert all(end.recv(16) == b"x" for _ in range(letters))
        service.step(PAUSE_S, draining=False)
        assert _hear(end)[0] == "READY=1"


@pytest.mark.parametrize("manager", ["path"], indirect=True)
def test_a_supervisor_tells_its_manager_from_start_to_end(supervised: Make, manager: tuple[socket.socket, str]) -> None:
    """READY=1 with the workers, the status of a job's start and end, STOPPING=1; nothing while it is idle."""
    end, name = manager
    s = supervised()
    s.environ["NOTIFY_SOCKET"] = name
    supervisor = s.start(2)
    heard = _hear(end)
    while "READY=1" not in heard:
        heard = _hear(end)
    gate = s.home.parent / "gate"
    os.mkfifo(gate)
    job_id = s.queue.enqueue(f"read x < {gate}")
    while "STATUS=1 of 2 workers busy" not in heard:
        heard = _hear(end)
    gate.write_text("go\n")
    while "STATUS=0 of 2 workers busy" not in heard:
        heard = _hear(end)
    s.wait_for(job_id, "completed")
    end.settimeout(2 * PAUSE_S)
    with pytest.raises(TimeoutError):
        end.recv(1)
    end.settimeout(PATIENCE_S)
    supervisor.terminate()
    while "STOPPING=1" not in heard:
        heard = _hear(end)
    assert supervisor.wait(PATIENCE_S) == 0


def test_no_command_takes_the_manager_for_its_own(supervised: Make, manager: tuple[socket.socket, str]) -> None:
    """Neither the variables nor a socket that was handed over reach a command."""
    s = supervised(prelude="import os; os.dup2(0, 50)\n")
    s.environ.update(dict.fromkeys(FOR_US_ALONE, "1"), NOTIFY_SOCKET=manager[1])
    s.start(1)
    job_id = s.queue.enqueue("env; ls -l /proc/$$/fd")
    s.wait_for(job_id, "completed")
    wrote = s.output(job_id).decode()
    assert "QUEUECTL_JOB_ID=" in wrote
    assert " 1 -> " in wrote
    assert not [name for name in (*FOR_US_ALONE, " 50 -> ") if name in wrote]
