"""The power goes at any operation of any verb, on a disk that keeps as little as a disk may.

No root and no real disk is needed: what was done to names and bytes is written down, tests/support/disk_model.py tells what may
be left of it, and that is laid out, recovered and audited. The seed is printed; QUEUECTL_SEED repeats it.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from queuectl.errors import QueueError
from tests.support import audit, scenarios
from tests.support.disk_model import Disk, Recorder, lay_out
from tests.support.random_scenario import random_scenario
from tests.support.scenarios import SCENARIOS, Acknowledgements, Scenario, of_size
from tests.support.spools import Home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from tests.support.disk_model import Files

    Log = list[tuple[Any, ...]]

SEED = int(os.environ.get("QUEUECTL_SEED") or 20261124)
AT_RANDOM = of_size(3, 12)  # states drawn at each operation, besides the extreme ones
AT_MOST = of_size(150, 500)  # of one scenario
OF_RECOVERY = of_size(5, 20)  # cuts of each scenario whose recovery is cut off as well
QUIET = {"enqueue what exists", "enqueue with input what exists"}  # changes nothing
ALL_SCENARIOS = {
    **{name: scenario for name, scenario in SCENARIOS.items() if not name.startswith("index")},
    **{f"random_scenario {n}": random_scenario(random.Random(f"{SEED} {n}")) for n in range(of_size(12, 40))},
}


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as path:
        yield Path(path)


class Cut:
    """What a disk held when the power went.

    Attributes:
        files: what is left.
        reached: how far each job had been acknowledged.
        where: after how many steps of the log.
    """

    def __init__(self, files: Files, reached: dict[str, int], where: int) -> None:
        self.files = files
        self.reached = reached
        self.where = where


def record(spool: Home, scenario: Scenario) -> Log:
    """Run a scenario, and return what the disk was told, and when what was acknowledged."""
    files, book = Recorder(spool.layout.home), Acknowledgements()
    book.listener = lambda note, step: files.log.append(("acknowledged", note, step))
    try:
        scenario.verb(scenarios.seen_by(spool, files), book)
    except QueueError:
        pass
    return files.log


def cuts(log: Log, chance: random.Random, reached: dict[str, int] | None = None) -> list[Cut]:
    """Return all different states that a cut at any step may leave; the random ones are a sample."""
    disk, reached, found = Disk(), dict(reached or {}), dict[object, Cut]()
    first = max(number for number, step in enumerate(log) if step[0] == "was")  # what was there before
    for where, step in enumerate(log):
        if step[0] == "acknowledged":
            reached[step[1]] = max(step[2], reached.get(step[1], 0))
        else:
            disk.follow(step)
        if step[0] == "was" or where < first:
            continue
        for files in disk.states(chance, AT_RANDOM):
            key = (tuple(sorted(reached.items())), tuple(sorted((*name, *what) for name, what in files.items())))
            found.setdefault(key, Cut(files, dict(reached), where))
    return list(found.values())


def check(path: Path, scenario: Scenario, cut: Cut) -> None:
    lay_out(cut.files, str(path))
    scenarios.judge(Home(path, durability="full"), scenario, cut.reached)
    shutil.rmtree(path)


@pytest.mark.parametrize("name", ALL_SCENARIOS)
def test_the_power_may_go_at_any_operation(folder: Path, name: str) -> None:
    """What was acknowledged is there; nothing is lost, doubled or unreadable; everything runs to its end.

    Proves G1, G7, G8.
    """
    scenario, chance = ALL_SCENARIOS[name], random.Random(f"{SEED} {name}")
    log = record(scenarios.set_up_scenario(folder / "stage", scenario), scenario)
    found = cuts(log, chance)
    chosen = found if len(found) <= AT_MOST else chance.sample(found, AT_MOST)
    for cut in chosen:
        try:
            check(folder / "home", scenario, cut)
        except AssertionError as error:
            raise AssertionError(f"seed {SEED}, after step {cut.where} ({log[cut.where][:2]}): {error}") from None
    print(f"seed {SEED}, {name}: {len(chosen)} states of {len(found)}")
    assert chosen or name in QUIET


def test_the_power_may_go_again_while_that_is_mended(folder: Path) -> None:
    """Recovery from a cut is cut off anywhere itself, and what that leaves is recovered."""
    tried = 0
    for name, scenario in ALL_SCENARIOS.items():
        chance = random.Random(f"{SEED} again {name}")
        log = record(scenarios.set_up_scenario(folder / "stage", scenario), scenario)
        shutil.rmtree(folder / "stage")
        found = cuts(log, chance)
        for first in chance.sample(found, min(len(found), OF_RECOVERY)):
            lay_out(first.files, str(folder / "mended"))
            files = Recorder(str(folder / "mended"))
            audit.mend(scenarios.seen_by(Home(folder / "mended", durability="full"), files))
            shutil.rmtree(folder / "mended")
            seconds = cuts(files.log, chance, first.reached)
            for second in chance.sample(seconds, min(len(seconds), 4)):
                tried += 1
                try:
                    check(folder / "home", scenario, second)
                except AssertionError as error:
                    where = (
                        f"{name}, after step {first.where} ({log[first.where][:2]}), then {second.where} of recovery"
                    )
                    raise AssertionError(f"seed {SEED}, {where}: {error}") from None
    print(f"seed {SEED}: {tried} states after a second cut")
    assert tried > 10 * OF_RECOVERY


@pytest.mark.parametrize(
    ("left_out", "name"),
    [
        ("sync", "enqueue"),
        ("sync", "edit much"),
        ("sync_directory", "enqueue"),
        ("sync_directory", "delete what has ended"),
        ("sync_directory", "purge"),
        ("sync_directory", "revive the dead"),
        ("sync_data", "hold"),
        ("sync_data", "finish"),
    ],
)
def test_the_simulator_notices_what_is_left_out(folder: Path, left_out: str, name: str) -> None:
    """Without this sync a cut breaks the promise: the audit has to see that, or it sees nothing."""
    scenario, chance = SCENARIOS[name], random.Random(SEED)
    log = record(scenarios.set_up_scenario(folder / "stage", scenario), scenario)
    words = {"sync": "synced", "sync_data": "synced", "sync_directory": "directory synced"}
    careless = [step for step in log if step[0] != words[left_out]]
    broken = 0
    for cut in cuts(careless, chance):
        try:
            check(folder / "home", scenario, cut)
        except AssertionError:
            broken += 1
            shutil.rmtree(folder / "home")
    print(broken, "states broken")
    assert broken
