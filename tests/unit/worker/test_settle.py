"""Settlement: the end of an attempt that was stopped."""

from __future__ import annotations

from pathlib import Path

from queuectl.config.settings import Settings
from queuectl.executor.attempt import STOPPED
from queuectl.executor.local import Ended
from queuectl.job.outcome import Signaled
from queuectl.job.retry import MAX_STOPS
from queuectl.spool.claim import Claim
from queuectl.spool.layout import Layout
from queuectl.spool.spool import Spool
from queuectl.worker.settle import settle


def test_a_job_that_is_stopped_again_and_again_is_put_back_uncounted_but_not_for_ever(home: Path) -> None:
    """What a job that stops its own supervisor from outside the command line amounts to. Proves G6."""
    spool = Spool(Layout(str(home)), Settings())
    spool.layout.ensure()
    job_id = spool.enqueue({"command": "systemctl --user restart queuectl", "max_retries": 0})
    for number in range(1, MAX_STOPS + 1):
        with spool.claim(job_id, "worker-1") as claim:  # type: ignore[union-attr]
            assert isinstance(claim, Claim)
            event = settle(spool, claim, Ended(Signaled(15), None), STOPPED)
        assert event == ("requeued" if number < MAX_STOPS else "died")
    job = spool.read(job_id)
    assert (job.state, job.failures, job.dead_reason) == ("dead", 0, "interrupted")
    assert "100 times in a row" in (job.last_error or "")
