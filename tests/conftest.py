"""What every test gets: a temporary home, and nothing of the user's own queue."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.supervised import Supervised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# A shell that starts the tests in the background leaves Ctrl-C ignored, also for what we start, and some of it waits for it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What a pipe gets is buffered, as for users; with this variable, a missing flush shows in no test.
os.environ.pop("PYTHONUNBUFFERED", None)

# In memory, a sync costs nothing. A container may limit /dev/shm to 64 MB, or forbid to run programs from it.
MEMORY, ENOUGH_BYTES = "/dev/shm", 1 << 30
if os.access(MEMORY, os.W_OK):
    _memory = os.statvfs(MEMORY)
    if _memory.f_bavail * _memory.f_frsize > ENOUGH_BYTES and not _memory.f_flag & os.ST_NOEXEC:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, also for what only reads the environment."""
    made = tmp_path / "home"
    made.mkdir(mode=0o700)
    monkeypatch.setenv("QUEUECTL_HOME", str(made))
    return made


@pytest.fixture
def supervised(home: Path) -> Iterator[Callable[..., Supervised]]:
    """Return a function that makes a watched supervisor with the given settings; all are stopped at the end."""
    made: list[Supervised] = []

    def make(**settings: object) -> Supervised:
        made.append(Supervised(home, **settings))
        return made[-1]

    try:
        yield make
    finally:
        for each in made:
            each.__exit__()
