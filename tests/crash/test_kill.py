"""SIGKILL at every operation of what tests/crash/test_faults.py does not kill: bulk, index, life as a whole, recovery.

Whoever comes next recovers, and is killed as well, and so is the one after him: however often, nothing is lost or doubled.
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
from queuectl.index import sync as sync_module
from tests.support import audit, scenarios
from tests.support.fault_injection import FaultInjector, Noted, killing
from tests.support.faulty_fs import make_old
from tests.support.random_scenario import random_scenario
from tests.support.scenarios import IS_FULL, SCENARIOS, Acknowledgements, Scenario, enqueuing_many, nothing, of_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from tests.support.spools import Home

SEED = int(os.environ.get("QUEUECTL_SEED") or 20261124)
BULK = tuple({"note": f"b{number}"} for number in range(30))
BULK_PLAY = Scenario(nothing, enqueuing_many(*BULK), **{job["note"]: ("gone", "pending") for job in BULK})
ALL_SCENARIOS = {
    "bulk": BULK_PLAY,
    "a whole life": SCENARIOS["a whole life"],
    "enqueue many with ids": SCENARIOS["enqueue many with ids"],
    "claim and sync the start": SCENARIOS["claim and sync the start"],
    "snooze": SCENARIOS["snooze"],
    "enqueue with an input that is there": SCENARIOS["enqueue with an input that is there"],
    "delete what waits with its input": SCENARIOS["delete what waits with its input"],
    "purge with an input": SCENARIOS["purge with an input"],
    "add the job of a slot": SCENARIOS["add the job of a slot"],
    "compact at a finish": SCENARIOS["compact at a finish"],
    "compact at a claim": SCENARIOS["compact at a claim"],
    "compact at a hold": SCENARIOS["compact at a hold"],
    "index anew": SCENARIOS["index anew"],
    "index what changed": SCENARIOS["index what changed"],
    **{
        f"random_scenario {number}": random_scenario(random.Random(f"{SEED} {number}"), deeds=16)
        for number in range(of_size(1, 6))
    },
}
RECOVERED = {
    name: scenario
    for name, scenario in {**SCENARIOS, **ALL_SCENARIOS}.items()
    if "index" not in name and name != "bulk"
}

# Without renameat2 a kill in the midst of a rename within pending/ leaves two names there, which become two jobs.
RENAMED = {
    "claim a promise under another name",
    "reschedule with somebody in the way",
    "revive with somebody in the way",
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a place: what dies here is a process, not a disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as path:
        yield Path(path)


def length_of(path: Path, scenario: Scenario, **settings: Any) -> int:
    """Return how many operations the verb has."""
    spool, noted = scenarios.set_up_scenario(path, scenario), Noted()
    try:
        scenario.verb(scenarios.seen_by(spool, noted, **settings), Acknowledgements())
    except QueueError:
        pass
    shutil.rmtree(path)
    return len(noted.calls)


def kill(spool: Home, verb: scenarios.Verb, files: FaultInjector, notes: Path, **settings: Any) -> None:
    """Have another process run a scenario until it is killed; what it acknowledged is in `notes`."""
    fd = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        pid = os.fork()
        if pid == 0:
            try:
                verb(scenarios.seen_by(spool, files, **settings), Acknowledgements(fd))
            except QueueError:
                pass
            finally:
                os._exit(1)
        _, status = os.waitpid(pid, 0)
    finally:
        os.close(fd)
    assert os.WIFSIGNALED(status), "the verb ended before it was killed"
    assert os.WTERMSIG(status) == signal.SIGKILL


def acknowledged(notes: Path) -> dict[str, int]:
    reached = Acknowledgements().read(notes).reached
    notes.unlink()
    return reached


@pytest.mark.parametrize(
    ("name", "durability"),
    [
        (name, how)
        for name in ALL_SCENARIOS
        for how in ("full", "relaxed")
        if how == "full" or IS_FULL or "random_scenario" not in name
    ],
)
def test_a_process_may_be_killed_at_any_operation(folder: Path, name: str, durability: str) -> None:
    """What it acknowledged is there, whether it syncs or not; the locks it held are free. Proves G1."""
    scenario, notes, tried = ALL_SCENARIOS[name], folder / "notes", 0
    for number in range(1, length_of(folder / "home", scenario, durability=durability) + 1):
        spool = scenarios.set_up_scenario(folder / "home", scenario)
        kill(spool, scenario.verb, FaultInjector(killing(number)), notes, durability=durability)
        try:
            if not scenario.is_messy:
                audit.check_live(spool)
            scenarios.judge(spool, scenario, acknowledged(notes), index=number % 5 == 0 or "index" in name)
        except AssertionError as error:
            raise AssertionError(f"killed at operation {number}: {error}") from None
        shutil.rmtree(folder / "home")
        tried += 1
    print(f"{name}: {tried} kills")
    assert tried


def mending(spool: Home, book: Acknowledgements) -> None:
    audit.mend(spool)


@pytest.mark.parametrize("is_old", [False, True], ids=["new", "old"])
def test_recovery_may_be_killed_again_and_again(folder: Path, is_old: bool) -> None:
    """Each verb is killed anywhere, then who mends it, then who mends that, until one comes to the end."""
    chance = random.Random(f"{SEED} {is_old}")
    notes, tried, depths = folder / "notes", 0, [0, 0, 0, 0]
    for name, scenario in RECOVERED.items():
        if is_old and name in RENAMED:
            continue
        length = length_of(folder / "home", scenario)
        points = range(1, length + 1)
        for number in chance.sample(points, min(length, of_size(2, 25))):
            spool = scenarios.set_up_scenario(folder / "home", scenario)
            kill(spool, scenario.verb, FaultInjector(killing(number)), notes)
            killed = [number]
            while len(killed) < len(depths):
                long = length_of_mending(folder / "copy", spool)
                killed.append(chance.randint(1, long))
                files = FaultInjector(killing(killed[-1]))
                if is_old:
                    make_old(files)
                kill(spool, mending, files, notes)
                tried += 1
            depths[len(killed) - 1] += 1
            try:
                scenarios.judge(spool, scenario, acknowledged(notes))
            except AssertionError as error:
                raise AssertionError(f"seed {SEED}, {name}, killed at {killed}: {error}") from None
            shutil.rmtree(folder / "home")
    print(f"seed {SEED}: {tried} kills of recovery, {depths[-1]} of them three deep")
    assert tried > 50


def length_of_mending(path: Path, spool: Home) -> int:
    """Return how many operations it would take to mend a copy."""
    first: dict[int, Path] = {}
    for source in sorted(Path(spool.layout.home).rglob("*")):
        target = path / source.relative_to(spool.layout.home)
        if source.is_dir():
            target.mkdir(mode=0o700, parents=True)
        elif source.stat().st_ino in first:
            os.link(first[source.stat().st_ino], target)
        else:
            shutil.copy2(source, target)
            first[source.stat().st_ino] = target
    noted = Noted()
    made = scenarios.Home(path, files=noted, durability="full")
    made.clock, made.patience = spool.clock, 1
    audit.mend(made)
    shutil.rmtree(path)
    return len(noted.calls)


@pytest.mark.parametrize("name", ["index anew", "index what changed"])
@pytest.mark.parametrize("way", ["catch up", "rebuild"])
def test_whoever_writes_the_index_may_be_killed_between_any_two_pieces(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, way: str
) -> None:
    """Also in the midst of its transactions: the next one finds out and makes it equal to the spool again."""
    monkeypatch.setattr(sync_module, "STEP", 1e-9)  # a piece is as small as can be
    scenario, notes, tried = SCENARIOS[name], folder / "notes", 0
    number = 0
    while True:
        number += 1
        spool = scenarios.set_up_scenario(folder / "home", scenario)
        pid = os.fork()
        if pid == 0:
            try:
                for count, _ in enumerate(pieces(spool, way), 1):
                    if count == number:
                        os.kill(os.getpid(), signal.SIGKILL)
            finally:
                os._exit(0)
        _, status = os.waitpid(pid, 0)
        scenarios.judge(spool, scenario, {}, index=True)
        shutil.rmtree(folder / "home")
        if not os.WIFSIGNALED(status):
            break
        tried += 1
    print(f"{name}, {way}: {tried} kills")
    assert not notes.exists()
    assert tried > 3


def pieces(spool: Home, way: str) -> Iterator[object]:
    from queuectl.index.rebuild import rebuild
    from queuectl.index.sync import catch_up

    if way == "catch up":
        return catch_up(scenarios.seen_by(spool), full=True)
    return rebuild(scenarios.seen_by(spool), spool.layout.index)


def test_a_full_disk_and_a_kill_together_lose_no_verdict(folder: Path) -> None:
    """Where the ballast is given up for a verdict, at every operation of that."""
    from tests.support.faulty_fs import FullDisk

    class Both(FaultInjector, FullDisk):
        """A full disk, and a kill."""

    scenario, notes, tried = SCENARIOS["finish"], folder / "notes", 0
    number = 0
    while True:
        number += 1
        spool = scenarios.set_up_scenario(folder / "home", scenario)
        spool.keep_ballast()
        files = Both(killing(number))
        files.full = files.ballast_helps = True
        files.short = 20
        try:
            kill(spool, scenario.verb, files, notes)
        except AssertionError:
            break
        scenarios.judge(spool, scenario, acknowledged(notes), may_lose_details=True)
        shutil.rmtree(folder / "home")
        tried += 1
    print(f"full disk: {tried} kills")
    assert tried > 10


def test_a_lock_is_free_the_moment_its_holder_is_killed(folder: Path) -> None:
    """No heartbeat and no lease: whoever asks next gets it, wherever the holder was killed."""
    tried = 0
    for name in ("claim", "hold", "edit much", "revive the dead", "cancel"):
        scenario = SCENARIOS[name]
        for number in range(1, length_of(folder / "home", scenario) + 1):
            spool = scenarios.set_up_scenario(folder / "home", scenario)
            kill(spool, scenario.verb, FaultInjector(killing(number)), folder / "notes")
            where = spool.where("a")
            locked = [directory for directory in where if not is_free(spool, directory)]
            assert not locked, f"{name}, killed at operation {number}: locked in {locked}"
            shutil.rmtree(folder / "home")
            tried += 1
    print(f"locks: {tried} kills")
    assert tried > 50


def is_free(spool: Home, directory: str) -> bool:
    fd = spool.files.open(spool.layout.job(directory, "a"), os.O_RDWR)
    try:
        return spool.files.try_lock(fd)
    finally:
        spool.files.close(fd)
