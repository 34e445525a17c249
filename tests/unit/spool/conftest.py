from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from queuectl.job.job import Job
from queuectl.spool.claim import Claim
from queuectl.spool.intake import ClaimRefused
from tests.support.faulty_fs import FullDisk
from tests.support.spools import Home

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def spool(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


Answer = Job | Claim | ClaimRefused


@pytest.fixture
def full(tmp_path: Path) -> Home:
    return Home(tmp_path / "full", files=FullDisk())


def disk(spool: Home) -> FullDisk:
    assert isinstance(spool.files, FullDisk)
    return spool.files


def look(spool: Home, name: str) -> tuple[str, Answer]:
    answer = spool.examine(name)
    return (answer.reason if isinstance(answer, ClaimRefused) else "job"), answer


def claim(spool: Home, job_id: str) -> tuple[str, Answer]:
    answer = spool.claim(job_id, "w")
    return (answer.reason if isinstance(answer, ClaimRefused) else "claimed"), answer


def both(spool: Home, job_id: str) -> tuple[str, str]:
    """Look, then claim; what was claimed is let go."""
    seen, _ = look(spool, f"{job_id}.json")
    got, answer = claim(spool, job_id)
    if isinstance(answer, Claim):
        answer.close()
    return seen, got
