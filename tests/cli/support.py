"""Jobs in every state, and what a command line gave."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from queuectl.client.queue import Queue
from queuectl.spool.claim import Claim

NOW = 1_795_528_918.0  # 2026-11-24 14:01:58 UTC


class Ran:
    """What one command line gave."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    def __repr__(self) -> str:
        return f"Ran({self.code}, {self.out!r}, {self.err!r})"


Run = Callable[..., Ran]


class Jobs:
    """Brings jobs into every state, by the spool's own verbs."""

    def __init__(self, home: Path) -> None:
        self.queue = Queue(home)
        self.spool = self.queue.spool

    def pending(self, job_id: str, command: str = "true", **fields: Any) -> str:
        what = {} if "argv" in fields else {"command": command}
        return self.queue.submit({**what, "id": job_id, **fields})

    def held(self, job_id: str, **fields: Any) -> str:
        self.pending(job_id, **fields)
        with self.spool.take(job_id) as claim:
            claim.hold()
        self.spool.note_change(job_id)
        return job_id

    def start(self, job_id: str, output: bytes = b"", worker: str = "worker-1") -> Claim:
        """Begin an attempt; the caller settles and closes it."""
        with self.spool.take(job_id) as claim:
            if claim.job.run_at > self.spool.clock.now():
                claim.run_now()
        claim = self.spool.claim(job_id, worker)
        assert isinstance(claim, Claim), claim
        Path(self.queue.layout.output_of(job_id, claim.job.attempts)).write_bytes(output)
        return claim

    def running(self, job_id: str, output: bytes = b"", **fields: Any) -> Claim:
        self.pending(job_id, **fields)
        return self.start(job_id, output)

    def completed(self, job_id: str, output: bytes = b"", **fields: Any) -> str:
        with self.running(job_id, output, **fields) as claim:
            claim.finish({"exit_code": 0, "cpu_s": 1.5, "max_rss_bytes": 212 << 20})
        self.spool.note_change(job_id)
        return job_id

    def failed(self, job_id: str, output: bytes = b"no such file\n", delay_s: float = 38, **fields: Any) -> str:
        with self.running(job_id, output, **fields) as claim:
            details = {"exit_code": 1, "error": output.decode("utf-8", "replace").strip(), "cpu_s": 3.2}
            claim.reschedule("failed", self.spool.clock.now() + delay_s, details)
        return job_id

    def dead(self, job_id: str, details: Mapping[str, Any] | None = None, **fields: Any) -> str:
        with self.running(job_id, b"killed\n", **fields) as claim:
            claim.move_to_dead("retries_exhausted", {"exit_code": 137, "signal": "SIGKILL", **(details or {})})
        return job_id

    def cancelled(self, job_id: str, **fields: Any) -> str:
        self.pending(job_id, **fields)
        self.queue.cancel(job_id)
        return job_id


def stored(home: Path, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / f"spool/pending/{job_id.strip()}.json").read_bytes())
    return found


def refused(ran: Ran, code: int, *lines: str) -> None:
    assert (ran.code, ran.out) == (code, ""), ran
    for line in lines:
        assert line in ran.err.splitlines(), ran.err
