"""A spool in a temporary directory, and short ways to put it into any state."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from queuectl.config.settings import Settings
from queuectl.index.sync import look, sync
from queuectl.job.job import DEAD, DONE, OF_HISTORY, PENDING, PROCESSING, Job
from queuectl.spool.claim import Claim
from queuectl.spool.layout import Layout
from queuectl.spool.spool import Spool
from tests.support.clock import FakeClock

if TYPE_CHECKING:
    from queuectl.index.writer import Writer
    from queuectl.spool.fs import Files

DIRECTORIES = (PENDING, PROCESSING, DONE, DEAD)


def folded(job: Job) -> dict[str, Any]:
    """Return what a job's file and directory say of it, without the history that it was folded from."""
    return {"state": job.state, **{name: getattr(job, name) for name in Job.__slots__ if name not in OF_HISTORY}}


class Home(Spool):
    """A real spool with a clock of its own; relaxed unless a test is about syncing."""

    clock: FakeClock

    def __init__(self, path: Path, *, files: Files | None = None, announce: bool = False, **settings: Any) -> None:
        layout = Layout(str(path))
        layout.ensure()
        super().__init__(
            layout,
            Settings.from_dict({"durability": "relaxed", **settings}),
            files=files,
            clock=FakeClock(),
            announce=announce,
        )
        self.patience = 3

    # --- looking behind the spool's back

    def path(self, directory: str, job_id: str) -> Path:
        return Path(self.layout.job(directory, job_id))

    def text(self, directory: str, job_id: str) -> str:
        return self.path(directory, job_id).read_text(encoding="utf-8")

    def where(self, job_id: str) -> list[str]:
        return [d for d in DIRECTORIES if os.path.lexists(self.path(d, job_id))]

    def events(self, job_id: str) -> list[str]:
        return [entry["event"] for entry in self.read(job_id).history]

    def rejected(self) -> dict[str, str]:
        """Return the entries of rejected/ with their reasons."""
        names = sorted(os.listdir(self.layout.rejected))
        reasons = {
            name: Path(self.layout.rejected, name).read_text("utf-8") for name in names if name.endswith(".reason")
        }
        return {name: reasons.get(f"{name}.reason", "") for name in names if name not in reasons}

    def litter(self) -> list[str]:
        return sorted(os.listdir(self.layout.tmp))

    # --- getting somewhere

    def drop(self, name: str, data: str | bytes | dict[str, Any], *, still_s: float | None = 3600.0) -> Path:
        """Put a file into pending/ as a stranger would; it has been still for `still_s` by the spool's clock."""
        path = Path(self.layout.directory(PENDING), name)
        if isinstance(data, dict):
            data = json.dumps(data)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        path.chmod(0o600)
        if still_s is not None:
            self.age(path, still_s)
        return path

    def age(self, path: Path, seconds: float) -> None:
        at = self.clock.now() - seconds
        os.utime(path, (at, at), follow_symlinks=False)

    def start(self, job_id: str, worker: str = "worker-1") -> Claim:
        found = self.claim(job_id, worker)
        assert isinstance(found, Claim), found
        return found

    def put(self, state: str, **fields: Any) -> str:
        """Enqueue a job and bring it into a state."""
        job_id = self.enqueue({"command": "true", **fields})
        if state == "held":
            with self.take(job_id) as claim:
                claim.hold()
        elif state == "cancelled":
            with self.take(job_id) as claim:
                claim.cancel()
        elif state != "pending":
            with self.start(job_id) as claim:
                if state == "completed":
                    claim.finish({"exit_code": 0})
                elif state == "failed":
                    claim.reschedule("failed", self.clock.now() + 2, {"exit_code": 1, "error": "no"})
                elif state == "dead":
                    claim.move_to_dead("retries_exhausted", {"exit_code": 1, "error": "no"})
        return job_id

    def job(self, job_id: str) -> Job:
        return self.read(job_id)


def free(spool: Spool, directory: str, job_id: str) -> bool:
    """Tell whether nobody holds the lock of a job."""
    claim = spool.take_in(directory, job_id)
    if claim is None:
        return False
    claim.close()
    return True


def compare_and_reject(spool: Spool, index: Writer, *, full: bool = False) -> None:
    """Compare as a supervisor does: what the comparison reports is rejected or given its own id, and the index follows."""
    later = [name for progress in sync(spool, index, full=full) for name, _ in progress.later]
    for name in later:
        answer = spool.examine(name)
        renamed = getattr(answer, "job_id", None)
        for each in (name, *([f"{renamed}.json"] if renamed else [])):
            look(spool, index, each)
