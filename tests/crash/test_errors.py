"""Every operation on files fails with every error the kernel may give, once and for good, in every verb.

Afterwards the disk is well again: nothing is lost, nothing is doubled, what was acknowledged holds, everything runs to its
end. And what was acknowledged would even have survived a power cut: a sync that failed was not taken for one.
"""

from __future__ import annotations

import errno
import random
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from queuectl.errors import QueueError
from queuectl.spool.fs import FULL
from tests.support import audit, scenarios
from tests.support.disk_model import Disk, Recorder, lay_out
from tests.support.fault_injection import REFUSE, SYNCING, Interrupted, Noted, failing
from tests.support.scenarios import IS_FULL, SCENARIOS, Acknowledgements, Scenario, of_size
from tests.support.spools import Home

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.fault_injection import Act

RARE = {
    "is_locked",
    "link",
    "reserve",
    "touch",
    "chmod",
}  # of old systems, of the ballast, of runs, of files with a mode to be tightened

LEAST_POINTS = of_size(5_000, 11_000)


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a place; what the disk would do is up to us here."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as path:
        yield Path(path)


def refusals(folder: Path, scenario: Scenario) -> list[tuple[int, str, int]]:
    """Run a scenario without a fault, and return all (number, operation, error) that could have been one."""
    spool = scenarios.set_up_scenario(folder / "without-faults", scenario)
    noted, book = Noted(), Acknowledgements()
    try:
        scenario.verb(scenarios.seen_by(spool, noted), book)
    except QueueError:
        pass
    scenarios.judge(spool, scenario, book.reached, index=True)
    shutil.rmtree(spool.layout.home)
    return list(noted.refusals())


def faults(name: str, found: list[tuple[int, str, int]]) -> Iterator[tuple[int, Act]]:
    """Yield each fault with the number of its operation; in full size also those of which another follows."""
    chance = random.Random(name)
    for number, method, error in found:
        yield number, failing(number, error)
        yield number, failing(number, error, for_ever=True)
        if method == "write":
            yield number, failing(number, error, short=True)
            yield number, failing(number, error, short=True, for_ever=True)
        if IS_FULL:
            yield number, failing(number, error, again=1)
            yield number, failing(number, error, again=chance.randint(2, 12))


@pytest.mark.parametrize("name", SCENARIOS)
def test_any_operation_may_fail_with_any_error(folder: Path, name: str) -> None:
    """Once, twice, and from some operation on until somebody mends the disk; a write perhaps after half of it.

    Proves G16.
    """
    scenario = SCENARIOS[name]
    tried = 0
    for number, act in faults(name, refusals(folder, scenario)):
        fail(folder / "home", scenario, number, act)
        tried += 1
    print(f"{name}: {tried} faults")
    assert tried


def fail(path: Path, scenario: Scenario, number: int, act: Act) -> None:
    spool = scenarios.set_up_scenario(path, scenario)
    files = Recorder(spool.layout.home, act)
    book = Acknowledgements()
    book.listener = lambda note, step: files.log.append(("acknowledged", note, step))
    before = audit.open_descriptors()
    error: BaseException | None = None
    what = "the verb"
    try:
        try:
            scenario.verb(scenarios.seen_by(spool, files), book)
        except (QueueError, OSError) as raised:
            error = raised.with_traceback(None)
        assert files.happened, "the fault did not happen"
        assert audit.open_descriptors() <= before, "a descriptor was left open"
        is_full = files.error in FULL
        what = "the disk is well again"
        scenarios.judge(spool, scenario, book.reached, may_lose_details=is_full, index=number % 7 == 0)
        if book.reached and set(files.trace) & SYNCING:
            what = "then the power went"
            check_durable(path.with_name("disk"), files, scenario, may_lose_details=is_full)
    except BaseException as problem:
        point = f"{errno.errorcode[files.error or 0]} at operation {number} ({files.trace[number - 1]})"
        raise AssertionError(f"{point}, the verb said {error!r}, {what}: {problem!r}") from problem
    shutil.rmtree(path)


def check_durable(path: Path, files: Recorder, scenario: Scenario, *, may_lose_details: bool) -> None:
    """What was acknowledged is there although all is lost that was never synced, or not for certain."""
    disk, reached = Disk(), dict[str, int]()
    for step in files.log:
        if step[0] == "acknowledged":
            reached[step[1]] = step[2]
        disk.follow(step)
    lay_out(disk.worst(), str(path))
    scenarios.judge(Home(path), scenario, reached, may_lose_details=may_lose_details)
    shutil.rmtree(path)


def test_the_sweep_is_as_wide_as_it_says(folder: Path) -> None:
    """Every error and every operation of the spool is part of it."""
    found = {name: refusals(folder, scenario) for name, scenario in SCENARIOS.items()}
    count = sum(1 for name, points in found.items() for _ in faults(name, points))
    print(count, "faults in all")
    assert count >= LEAST_POINTS
    every = {(method, error) for points in found.values() for _, method, error in points}
    assert {error for _, error in every} == set(REFUSE)
    assert {method for methods in REFUSE.values() for method in methods} - {method for method, _ in every} <= RARE


@pytest.mark.parametrize("name", [name for name in SCENARIOS if "index" not in name])
def test_a_rename_that_is_interrupted_is_made_again(folder: Path, name: str) -> None:
    """EINTR from renameat2 itself, which Python does not see: the verb notices nothing."""
    scenario, book, files = SCENARIOS[name], Acknowledgements(), Interrupted()
    spool = scenarios.set_up_scenario(folder / "home", scenario)
    try:
        scenario.verb(scenarios.seen_by(spool, files), book)
    except QueueError:
        pass
    scenarios.judge(spool, scenario, book.reached)
    moving = seen_moves(folder / "again", scenario)
    print(files.interruptions, "interruptions")
    assert files.interruptions == files.times * moving


def seen_moves(path: Path, scenario: Scenario) -> int:
    spool, noted = scenarios.set_up_scenario(path, scenario), Noted()
    try:
        scenario.verb(scenarios.seen_by(spool, noted), Acknowledgements())
    except QueueError:
        pass
    return sum(method in ("move", "exchange") for method in noted.trace)
