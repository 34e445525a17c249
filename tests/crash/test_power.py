"""The power goes before any file operation of any verb, on real ext4, xfs and btrfs.

After the restart the spool is recovered and audited, and everything runs to its end. What is on the disk before is either
fresh, as the syncs of the verbs left it, or aged, as some seconds later it would have been written anyway.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from queuectl.errors import QueueError
from tests.support import scenarios
from tests.support.background_load import BackgroundLoad
from tests.support.fault_injection import FaultInjector, Noted, at_number
from tests.support.loop_device import LoopDisk, require
from tests.support.random_scenario import random_scenario
from tests.support.scenarios import CROWD, IS_FULL, SCENARIOS, Acknowledgements, Scenario, of_size
from tests.support.spools import Home

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root
ALL_SCENARIOS = {
    **SCENARIOS,
    **{f"random_scenario {n}": random_scenario(random.Random(n)) for n in range(of_size(1, 4))},
}
# How many cuts: all in full size, where it is not said that only those before a change count; else a sample.
ALONE = {"ext4": of_size(400, 100_000), "xfs": of_size(40, 100_000), "btrfs": of_size(30, 1_200)}
CROWDED = {"ext4": of_size(40, 400), "xfs": of_size(12, 400), "btrfs": of_size(8, 150)}


class SpoolStateMachine:
    """A disk on which one scenario after another is cut off."""

    def __init__(self, disk: LoopDisk, notes: Path) -> None:
        self.disk = disk
        self._notes = notes

    def points(self, scenario: Scenario, *, all_of_them: bool) -> list[int]:
        """Return before which operations to cut; the last is when all is over."""
        spool, noted = scenarios.set_up_scenario(self.disk.path / "without-faults", scenario), Noted()
        try:
            scenario.verb(scenarios.seen_by(spool, noted), Acknowledgements())
        except QueueError:
            pass
        shutil.rmtree(spool.layout.home)
        before = range(1, len(noted.calls) + 1) if all_of_them else noted.changes()
        return [*before, len(noted.calls) + 1]

    def cut(self, scenario: Scenario, point: int, *, is_aged: bool, has_crowd: bool = False) -> None:
        """Run a scenario until `point`, cut the power, start again, judge."""
        spool = scenarios.set_up_scenario(self.disk.path / "home", scenario, self.disk.sync)
        if is_aged:
            self.disk.sync()
        self._notes.write_bytes(b"")
        fd = os.open(self._notes, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        crowd = None
        try:
            crowd = BackgroundLoad(spool, fd) if has_crowd else None
            pid = self._perform(spool, scenario, point, fd)
            try:
                if crowd is not None and self.disk.kind == "btrfs":
                    crowd.freeze()
                self.disk.cut()
            finally:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        finally:
            if crowd is not None:
                crowd.stop()
            os.close(fd)
        self.disk.restart()
        spool.layout.ensure()
        reached = Acknowledgements().read(self._notes).reached
        if has_crowd:
            assert any(note.startswith(CROWD) for note in reached), "nobody else was at work"
        scenarios.judge(scenarios.seen_by(spool, durability="relaxed"), scenario, reached, index=point % 5 == 0)
        shutil.rmtree(spool.layout.home)

    def _perform(self, spool: Home, scenario: Scenario, point: int, fd: int) -> int:
        """Return the process that runs the scenario, once it waits before `point`, or after its last operation."""
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            _play_until(spool, scenario, point, fd, write)
        os.close(write)
        try:
            word = os.read(read, 1)
        finally:
            os.close(read)
        if not word:
            os.waitpid(pid, 0)
            raise AssertionError("the verb ended before the power was cut")
        return pid


def _play_until(spool: Home, scenario: Scenario, point: int, fd: int, write: int) -> None:
    """Run a scenario and wait at `point` for the power cut; never returns."""

    def wait() -> None:
        os.write(write, b".")
        while True:
            signal.pause()

    try:
        try:
            scenario.verb(scenarios.seen_by(spool, FaultInjector(at_number(point, wait))), Acknowledgements(fd))
        except QueueError:
            pass
        wait()
    finally:
        os._exit(1)


@pytest.fixture
def notes() -> Iterator[Path]:
    """Where is written down what was acknowledged: not on the disk that fails."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as path:
        yield Path(path, "book")


def script(stage: SpoolStateMachine, most: int, seed: str, *, all_of_them: bool) -> list[tuple[str, int, bool]]:
    """Return the cuts to make, as (scenario, point, aged): all, or a sample in which each scenario has its share."""
    found = [
        (name, point, is_aged)
        for name, scenario in ALL_SCENARIOS.items()
        for point in stage.points(scenario, all_of_them=all_of_them)
        for is_aged in ((True,) if scenario.is_foreign else (False, True))
    ]
    return found if len(found) <= most else sorted(random.Random(seed).sample(found, most))


def cut_all(stage: SpoolStateMachine, most: int, *, has_crowd: bool) -> None:
    kind = stage.disk.kind
    chosen = script(stage, most, f"{kind} {has_crowd}", all_of_them=IS_FULL and kind != "btrfs" and not has_crowd)
    for name, point, is_aged in chosen:
        try:
            stage.cut(ALL_SCENARIOS[name], point, is_aged=is_aged, has_crowd=has_crowd)
        except AssertionError as error:
            age = "aged" if is_aged else "fresh"
            raise AssertionError(f"{kind}, {age}, {name}, cut before operation {point}: {error}") from None
    print(f"{kind}: {stage.disk.cuts} cuts {'in a crowd' if has_crowd else 'alone'}")
    assert stage.disk.cuts == len(chosen) > 0


@pytest.mark.parametrize("kind", ALONE)
def test_a_power_cut_takes_nothing_that_was_acknowledged(kind: str, notes: Path) -> None:
    """Nothing is lost, doubled or unreadable either, and no job has two names once it is recovered. Proves G1, G8."""
    require(kind)
    with LoopDisk(kind) as disk:
        cut_all(SpoolStateMachine(disk, notes), ALONE[kind], has_crowd=False)


@pytest.mark.parametrize("kind", CROWDED)
def test_a_power_cut_takes_nothing_while_many_are_at_work(kind: str, notes: Path) -> None:
    """Two producers and two workers go on until the very moment; what any of them acknowledged holds."""
    require(kind)
    with LoopDisk(kind) as disk:
        cut_all(SpoolStateMachine(disk, notes), CROWDED[kind], has_crowd=True)


@pytest.mark.parametrize("kind", ALONE)
def test_the_first_job_of_a_new_home_survives(kind: str, notes: Path) -> None:
    """The directories are as new as the job: what was acknowledged is there with all that it lies in."""
    require(kind)
    with LoopDisk(kind) as disk:
        (disk.path / "without-faults").mkdir()
        disk.sync()
        new = disk.path / "without-faults" / "home"
        pid = os.fork()
        if pid == 0:
            try:
                Home(new, durability="full").enqueue({"id": "a", "command": "true", "note": "a"})
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        disk.cut()
        disk.restart()
        assert Home(new).read("a").fields["note"] == "a"


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_the_cut_is_a_real_one(kind: str, notes: Path) -> None:
    """Without its syncs an acknowledged job is gone: else the disk would forgive everything."""
    require(kind)
    careless = Scenario(scenarios.nothing, _enqueue_carelessly, a=("gone", "pending"))
    with LoopDisk(kind) as disk:
        stage = SpoolStateMachine(disk, notes)
        last = stage.points(careless, all_of_them=True)[-1]
        with pytest.raises(AssertionError, match="a is gone"):
            stage.cut(careless, last, is_aged=False)


def _enqueue_carelessly(spool: Home, book: Acknowledgements) -> None:
    relaxed = scenarios.seen_by(spool, spool.files, durability="relaxed")
    relaxed.enqueue({"id": "a", "command": "true", "note": "a"})
    spool.files.exists(spool.layout.spool)
    book.note("a")
