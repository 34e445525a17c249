"""Two thousand jobs of every kind at once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from queuectl.job.job import DEAD, DONE, PENDING, PROCESSING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]

JOBS = 2000


def _jobs(runs: Path) -> list[tuple[dict[str, object], str, int]]:
    """Return (fields, directory it ends in, how often it runs) of every job."""
    note = f'echo "$QUEUECTL_JOB_ID" >> {runs};'
    kinds: list[tuple[dict[str, object], str, int]] = [
        ({"command": f"{note} true"}, DONE, 1),
        ({"command": f"{note} echo grün ✓; exit 0", "tags": ["ünïcode"]}, DONE, 1),
        ({"command": f"{note} exit 3", "max_retries": 2}, DEAD, 3),
        ({"command": f'{note} [ "$QUEUECTL_ATTEMPT" = 2 ]', "max_retries": 3}, DONE, 2),
        ({"command": f"{note} kill -TERM $$", "max_retries": 1}, DEAD, 2),
        ({"command": f"{note} head -c 300000 /dev/zero"}, DONE, 1),
        ({"command": f"{note} head -c 3000 /dev/urandom; exit 1", "max_retries": 0}, DEAD, 1),
        ({"command": f"{note} sleep 300 & exit 0"}, DONE, 1),
        ({"command": f"{note} setsid sleep 300 & exit 1", "max_retries": 0}, DEAD, 1),
        ({"argv": ["sh", "-c", f"{note} exit 0"]}, DONE, 1),
    ]
    rare: list[tuple[dict[str, object], str, int]] = [
        ({"command": f"{note} sleep 300", "timeout": 0.2, "max_retries": 1}, DEAD, 2),
        ({"argv": ["no-such-program"], "max_retries": 1}, DEAD, 0),
    ]
    made = [kinds[number % len(kinds)] for number in range(JOBS - 40)]
    return made + rare * 20


def test_two_thousand_mixed_jobs_end_where_they_belong(supervised: Make, tmp_path: Path) -> None:
    """Directories, index and records agree, and each job ran exactly as often as its record says."""
    s = supervised(backoff_base=0.05, kill_after=2, durability="relaxed")
    runs = tmp_path / "runs"
    jobs = _jobs(runs)
    ids = list(s.queue.enqueue_many(fields for fields, _, _ in jobs))
    assert len(set(map(str, ids))) == JOBS
    s.start(8)
    left = s.queue.spool
    s.wait_until(lambda: not any(left.ids(PENDING)) and not any(left.ids(PROCESSING)), "all have ended")
    ran = Counter(runs.read_text().split())
    for job_id, (fields, directory, times) in zip(ids, jobs, strict=True):
        assert isinstance(job_id, str)
        job = s.queue.get(job_id)
        assert job.directory == directory, (fields, job.as_dict())
        assert ran[job_id] == times, (fields, job.as_dict())
        assert job.attempts == (times or 2), (fields, job.as_dict())
    counts = s.queue.counts()
    assert counts["completed"] == sum(1 for _ in left.ids(DONE))
    assert counts["dead"] == sum(1 for _ in left.ids(DEAD))
    assert sum(counts.values()) == JOBS
    assert not any((s.home / "spool/rejected").iterdir())
