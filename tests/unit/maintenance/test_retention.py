"""Which jobs go, when, and in which order."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from queuectl.config.settings import Settings
from queuectl.job.history import DEAD, DONE, PENDING
from queuectl.spool import purge as purging
from tests.support.maintained_home import do
from tests.support.spools import Home

DAY = 86400.0
ENDED = ("completed", "cancelled", "dead")


def keep(spool: Home, **settings: object) -> None:
    spool.settings = Settings.from_dict({"durability": "relaxed", **settings})


def ended(spool: Home, *, every_s: float = DAY, count: int = 5, state: str = "completed") -> list[str]:
    """Jobs that ended one after the other, the last just now; the oldest first."""
    ids = []
    for number in range(count):
        spool.clock.advance(every_s if number else 0)
        ids.append(spool.put(state))
    return ids


def left(spool: Home, ids: list[str]) -> list[str]:
    return [job_id for job_id in ids if spool.find(job_id)]


@pytest.mark.parametrize("state", ["completed", "cancelled"])
def test_what_ended_before_the_time_is_removed_and_nothing_else(spool: Home, state: str) -> None:
    keep(spool, retention_done="2d12h")
    ids = ended(spool, state=state)
    others = [spool.put(state) for state in ("pending", "held", "failed", "dead")]
    report = do(spool, "retention")
    assert left(spool, ids) == ids[2:]
    assert left(spool, others) == others
    assert (report.words, report.figures["jobs"]) == ("removed 2 jobs, 0 B output", 2)
    assert do(spool, "retention").words == ""


def test_the_time_counts_from_the_end_not_from_the_beginning(spool: Home) -> None:
    keep(spool, retention_done="1d")
    job_id = spool.put("pending")
    spool.clock.advance(30 * DAY)
    with spool.start(job_id) as claim:
        spool.clock.advance(3 * DAY)
        claim.finish({})
    do(spool, "retention")
    assert spool.find(job_id) == DONE
    spool.clock.advance(DAY + 1)
    do(spool, "retention")
    assert spool.find(job_id) is None


def test_nothing_is_removed_for_its_age_where_that_is_nought(spool: Home) -> None:
    keep(spool, retention_done=0, retention_dead=0)
    ids = [*ended(spool), *ended(spool, state="dead")]
    spool.clock.advance(1000 * DAY)
    assert do(spool, "retention").words == ""
    assert left(spool, ids) == ids


def test_dead_jobs_are_kept_for_ever_unless_a_time_is_set(spool: Home) -> None:
    ids = ended(spool, state="dead")
    spool.clock.advance(1000 * DAY)
    do(spool, "retention")
    assert left(spool, ids) == ids
    keep(spool, retention_dead="1002d")
    do(spool, "retention")
    assert left(spool, ids) == ids[2:]


def test_beyond_the_number_the_oldest_go_whatever_their_state(spool: Home) -> None:
    keep(spool, retention_jobs=3, retention_done=0)
    ids = [spool.put(state) for state in ("completed", "cancelled", "completed") if not spool.clock.advance(DAY)]
    ids += ended(spool, count=2)
    dead = spool.put("dead")
    do(spool, "retention")
    assert left(spool, ids) == ids[-3:]
    assert spool.find(dead) == DEAD


def test_age_and_number_together_remove_what_either_would(spool: Home) -> None:
    keep(spool, retention_jobs=4, retention_done="1d12h")
    ids = ended(spool, count=6)
    do(spool, "retention")
    assert left(spool, ids) == ids[-2:]


def test_output_goes_with_its_job_and_is_counted(spool: Home) -> None:
    keep(spool, retention_done="1d")
    job_id = spool.put("completed")
    Path(spool.layout.output_of(job_id, 1)).write_bytes(b"x" * 3_250_000)
    spool.clock.advance(2 * DAY)
    assert do(spool, "retention").words == "removed 1 job, 3.1 MiB output"
    assert [*Path(spool.layout.output).iterdir()] == []


def test_a_trial_says_how_many_and_removes_none(spool: Home) -> None:
    keep(spool, retention_done="2d12h")
    ids = ended(spool)
    assert do(spool, "retention", dry_run=True).words == "would remove 2 jobs, output included"
    assert left(spool, ids) == ids


def test_a_job_that_somebody_revives_meanwhile_stays(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the index's answer and the lock: the file decides. Proves G9."""
    keep(spool, retention_done="1d")
    ids = ended(spool, every_s=1)
    spool.clock.advance(2 * DAY)
    real = purging._remove

    def late(spool_: Home, each: purging.Chosen, *rest: object) -> None:
        if each.id == ids[1]:
            with spool.take(each.id) as claim:
                claim.revive()
        real(spool_, each, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(purging, "_remove", late)
    report = do(spool, "retention")
    assert left(spool, ids) == [ids[1]]
    assert spool.find(ids[1]) == PENDING
    assert report.figures == {"jobs": 4, "output_bytes": 0, "changed": 1}


def test_what_cannot_be_removed_is_told_and_the_rest_goes(spool: Home) -> None:
    keep(spool, retention_done="1d")
    ids = ended(spool, every_s=1)
    spool.clock.advance(2 * DAY)
    path = Path(spool.layout.output_of(ids[0], 1))
    path.mkdir()  # cannot be unlinked
    report = do(spool, "retention")
    assert left(spool, ids) == ids[:1]
    assert len(report.failed) == 1
    assert ids[0] in str(report.failed[0])


def test_memory_does_not_grow_with_the_number_of_jobs(spool: Home) -> None:
    """Ten times as many jobs take no more of it."""
    keep(spool, retention_done="1d")

    def peak(count: int) -> int:
        for _ in spool.enqueue_many({"command": "true"} for _ in range(count)):
            pass
        for job_id in [*spool.ids(PENDING)]:
            with spool.take(job_id) as claim:
                claim.cancel()
        spool.clock.advance(2 * DAY)
        tracemalloc.start()
        report = do(spool, "retention")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert report.figures["jobs"] == count
        return most

    peak(50)
    small, large = peak(300), peak(3000)
    assert large < small + 3_000_000, (small, large)
