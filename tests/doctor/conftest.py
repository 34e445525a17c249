"""A home to damage for each test, and nothing of the surroundings that could be found wrong."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from queuectl.doctor.scan import Context
from queuectl.supervisor import supervisor_lock
from tests.support.damaged_home import DamagedHome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.supervised import Supervised


@pytest.fixture
def damaged(
    home: Path,
    capfd: pytest.CaptureFixture[str],
    supervised: Callable[..., Supervised],
    monkeypatch: pytest.MonkeyPatch,
) -> DamagedHome:
    """A home with jobs, whose files are judged at once, and are as old as their mtime says, for no test can set a ctime."""
    monkeypatch.setattr(Context, "age_s", lambda self, status: self.now - status.st_mtime)
    monkeypatch.setattr(supervisor_lock, "file_system_of", lambda path: "ext4")  # the tests' own may be tmpfs
    for name in [name for name in os.environ if name.startswith("QUEUECTL_") and name != "QUEUECTL_HOME"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("QUEUECTL_DROP_GRACE", "0.05")
    monkeypatch.setenv("COLUMNS", "500")
    return DamagedHome(home, capfd, supervised)
