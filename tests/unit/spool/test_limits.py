"""What a claim finds taken: locks and units, counted from processing/; parents and pauses, looked for at the claim."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest

from queuectl.job.job import DEAD, DONE, PENDING, PROCESSING
from queuectl.spool import pauses
from queuectl.spool.claim import COMPACT_AT_BYTES, Claim
from queuectl.spool.intake import ClaimRefused, RefusalReason
from tests.support.spools import Home


def refusal(spool: Home, job_id: str) -> RefusalReason:
    found = spool.claim(job_id, "worker-2")
    assert isinstance(found, ClaimRefused), found
    return found.reason


def test_a_lock_is_taken_by_what_is_in_processing_and_free_when_that_is_settled(tmp_path: Path) -> None:
    spool = Home(tmp_path / "home")
    first, second = spool.put("pending", lock="db"), spool.put("pending", lock="db")
    with spool.start(first) as claim:
        assert refusal(spool, second) is RefusalReason.LIMIT
        claim.finish({})
    spool.start(second).close()


def test_a_claim_waits_for_the_one_that_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guarantee G20. Between counting and moving, no other process counts."""
    spool = Home(tmp_path / "home")
    job_id = spool.put("pending", lock="db")
    seen = []
    move = Claim._move

    def look(claim: Claim, target: str) -> None:
        fd = os.open(spool.layout.limits_lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with pytest.raises(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            seen.append(target)
        finally:
            os.close(fd)
        move(claim, target)

    monkeypatch.setattr(Claim, "_move", look)
    spool.start(job_id).close()
    assert seen == [PROCESSING]


def test_the_most_units_that_a_job_may_need_fit_into_its_start(tmp_path: Path) -> None:
    names = [f"{number:02}".ljust(128, "x") for number in range(16)]
    spool = Home(tmp_path / "home", resources=dict.fromkeys(names, 1_000_000))
    needs = {**dict.fromkeys(names, 1), names[0]: 985}
    job_id = spool.put("pending", needs=needs)
    spool.start(job_id, "w" * 100).close()
    assert {name: len(units) for name, units in spool.read(job_id).units.items()} == needs


def test_units_survive_a_compaction_of_the_history(tmp_path: Path) -> None:
    """Guarantee G20. A worker that dies after it, before its verdict, leaves a run whose units are not given again."""
    spool = Home(tmp_path / "home", resources={"gpu": 2})
    first, second = spool.put("pending", needs={"gpu": 1}), spool.put("pending", needs={"gpu": 1})
    with spool.take(first) as claim:
        while claim.record.history_bytes < COMPACT_AT_BYTES - 4096:
            claim.edit({"env": {"X": "x" * 1500}})
    with spool.start(first) as claim:
        while claim.record.history_bytes < COMPACT_AT_BYTES:
            claim._file.grow({"event": "edited", "at": claim._now(), "set": {"env": {"X": "x" * 1500}}})
        claim._compact()
    assert [entry["event"] for entry in spool.read(first).history] == ["compacted"]
    with spool.start(second) as claim:
        assert (spool.read(first).units, claim.job.units) == ({"gpu": [0]}, {"gpu": [1]})


@pytest.mark.parametrize(
    ("state", "policy", "becomes"),
    [
        ("pending", "success", PENDING),
        ("failed", "success", PENDING),
        ("processing", "any", PENDING),
        ("completed", "success", PROCESSING),
        ("dead", "success", DEAD),
        ("cancelled", "success", DEAD),
        ("dead", "any", PROCESSING),
        ("dead", "failure", PROCESSING),
        ("completed", "failure", DONE),
    ],
)
def test_a_claim_decides_by_the_files_of_the_parents(tmp_path: Path, state: str, policy: str, becomes: str) -> None:
    """Guarantee G19. Whatever the supervisor believes."""
    spool = Home(tmp_path / "home")
    parent = spool.put(state)
    child = spool.enqueue({"command": "true", "after": [parent], "after_policy": policy})
    found = spool.claim(child, "worker-1")
    if isinstance(found, Claim):
        found.close()
    assert spool.find(child) == becomes


def test_a_paused_queue_is_not_claimed_from(tmp_path: Path) -> None:
    """Guarantee G21."""
    spool = Home(tmp_path / "home")
    job_id = spool.put("pending", queue="mail")
    for name in ("mail", "_all"):
        pauses.pause(spool, name)
        assert refusal(spool, job_id) is RefusalReason.PAUSED
        pauses.resume(spool, name)
    spool.start(job_id).close()


def test_a_demand_that_the_configuration_can_never_meet_is_dead(tmp_path: Path) -> None:
    spool = Home(tmp_path / "home", resources={"gpu": 1})
    job_id = spool.drop("a.json", json.dumps({"command": "true", "needs": {"gpu": 2}})).stem
    assert refusal(spool, job_id) is RefusalReason.MOVED
    assert spool.read(job_id).dead_reason == "never_enough"
