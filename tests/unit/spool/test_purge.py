"""Many jobs removed together: which go, which stay, and what it costs. Death at every operation: test_faults.py."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from queuectl.errors import NotFound
from queuectl.job.history import DEAD, DONE, PENDING, PROCESSING
from queuectl.spool.fs import Files
from queuectl.spool.purge import GROUP, Chosen, Removed, purge
from tests.support.faulty_fs import Faulty
from tests.support.spools import Home


def chosen(spool: Home, *job_ids: str) -> list[Chosen]:
    """As somebody sees them who looks now."""
    return [Chosen(job_id, spool.find(job_id) or "", spool.job(job_id).updated_at) for job_id in job_ids]


def together(groups: list[Removed]) -> tuple[list[str], list[str], list[str]]:
    return (
        [job_id for group in groups for job_id in group.ids],
        [job_id for group in groups for job_id in group.changed],
        [job_id for group in groups for job_id, _ in group.failed],
    )


def write(spool: Home, job_id: str, attempt: int, size: int) -> Path:
    path = Path(spool.layout.output_of(job_id, attempt))
    path.write_bytes(b"x" * size)
    return path


def test_a_job_goes_with_all_it_wrote_from_every_state(spool: Home) -> None:
    states = ("pending", "held", "failed", "completed", "cancelled", "dead")
    for state in states:
        spool.put(state, id=state)
        if spool.job(state).attempts:
            write(spool, state, 1, 100)
    Path(spool.layout.input_of("dead")).write_bytes(b"x" * 10)
    [group] = purge(spool, chosen(spool, *states))
    assert group.ids == [*states]
    assert group.output_bytes == 310
    assert [*Path(spool.layout.home).rglob("*.json")] == []
    assert [*Path(spool.layout.output).iterdir(), *Path(spool.layout.home, "input").iterdir()] == []


def test_what_happened_to_a_job_since_it_was_chosen_saves_it(spool: Home) -> None:
    """Revived, revived and ended again, running, locked by somebody: each stays as it is. Proves G9."""
    for job_id in ("revived", "again", "running", "locked"):
        spool.put("completed", id=job_id)
    seen = chosen(spool, "revived", "again", "running", "locked")
    spool.clock.advance(1)
    for job_id in ("revived", "again", "running"):
        with spool.take(job_id) as claim:
            claim.revive()
    with spool.start("again") as claim:
        claim.finish({})
    with spool.start("running"), spool.take("locked"):
        assert together([*purge(spool, seen)]) == ([], ["revived", "again", "running", "locked"], [])
        ran = Chosen("running", PROCESSING, spool.job("running").updated_at)
        assert together([*purge(spool, [ran])]) == ([], ["running"], [])
    assert [spool.find(each.id) for each in seen] == [PENDING, DONE, PROCESSING, DONE]


def test_a_job_that_is_gone_or_was_never_there_is_no_failure(spool: Home) -> None:
    assert together([*purge(spool, [Chosen("a", DONE, 0.0), Chosen("b", DEAD, 0.0)])]) == ([], ["a", "b"], [])


def test_one_that_cannot_be_removed_does_not_keep_the_others(spool: Home) -> None:
    for job_id in ("a", "b", "c"):
        spool.put("completed", id=job_id)
    seen = chosen(spool, "a", "b", "c")
    spool.path(DONE, "b").write_text("garbage")
    assert together([*purge(spool, seen)]) == (["a", "c"], [], ["b"])
    assert spool.find("b") == DONE


def test_only_what_was_written_goes_when_that_is_asked_for(spool: Home) -> None:
    spool.put("dead", id="a")
    path = write(spool, "a", 1, 50)
    Path(spool.layout.output_of("a", 1, "result")).write_bytes(b"{}")
    [group] = purge(spool, chosen(spool, "a"), output_only=True)
    assert (group.ids, group.output_bytes, path.exists(), spool.find("a")) == (["a"], 52, False, DEAD)


def test_directories_are_synced_once_a_group_before_it_is_told(tmp_path: Path) -> None:
    """Not once a job; and never later than the answer. Proves G8."""
    spool = Home(tmp_path / "home", durability="full", files=Faulty())
    ids = [spool.put("completed") for _ in range(GROUP + 5)]
    seen = chosen(spool, *ids)
    files = spool.files
    assert isinstance(files, Faulty)
    files.trace = []
    for group in purge(spool, seen):
        assert files.trace[-3:] == ["sync_directory"] * 3
        assert files.trace.count("sync_directory") == 3
        assert "unlink" in files.trace
        files.trace = []
        assert len(group.ids) in (GROUP, 5)


def test_a_failed_sync_is_not_hidden(tmp_path: Path) -> None:
    """What may come back after a power cut was not removed."""

    class Unsynced(Files):
        def sync_directory(self, path: str) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    Home(tmp_path / "home").put("completed", id="a")
    spool = Home(tmp_path / "home", durability="full", files=Unsynced())
    with pytest.raises(OSError, match="Input/output error"):
        [*purge(spool, chosen(spool, "a"))]


def test_whoever_revives_a_job_at_that_instant_keeps_it_or_is_told_that_it_is_gone(spool: Home) -> None:
    """A thousand races: never both, never neither, and a revived job is never lost."""
    ids = [spool.put("completed") for _ in range(1000)]
    seen = chosen(spool, *ids)
    revived: list[str] = []
    other = Home(Path(spool.layout.home))
    other.patience = 1000

    def revive_all() -> None:
        for job_id in reversed(ids):
            try:
                with other.take(job_id) as claim:
                    claim.revive()
            except NotFound:
                continue
            revived.append(job_id)

    thread = threading.Thread(target=revive_all)
    thread.start()
    removed, changed, failed = together([*purge(spool, seen)])
    thread.join()
    assert failed == []
    assert not set(revived) & set(removed)
    assert {*revived, *removed} == {*ids}
    assert all(spool.find(job_id) == PENDING for job_id in revived)
    assert all(spool.find(job_id) is None for job_id in removed)
    print(len(revived), "revived", len(removed), "removed", len(changed), "met")
