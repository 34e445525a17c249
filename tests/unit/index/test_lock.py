"""The right to write the index: one at a time, waited for, free when its holder has gone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from queuectl.errors import Busy
from queuectl.index import lock
from queuectl.index.lock import IndexLock

if TYPE_CHECKING:
    from tests.unit.index.conftest import Home


def test_a_second_one_waits_and_gives_up(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it opened is closed again; once the first has let go, it is taken."""
    monkeypatch.setattr(lock, "PATIENCE_S", 0.0)
    second = IndexLock(home.layout)
    with IndexLock(home.layout):
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(Busy, match="another process has been updating the index"):
            second.take()
        assert len(os.listdir("/proc/self/fd")) == before
    second.take()
    with pytest.raises(Busy):
        IndexLock(home.layout).take()
    second.release()
    second.release()
    with IndexLock(home.layout):
        pass


def test_it_is_free_when_its_holder_has_gone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was killed, so to speak: nothing of it tidies up."""
    monkeypatch.setattr(lock, "PATIENCE_S", 0.0)
    told, tell = os.pipe()
    holder = os.fork()
    if holder == 0:
        held = IndexLock(home.layout)
        held.take()
        os.write(tell, b"x")
        os._exit(0)
    os.read(told, 1)
    os.waitpid(holder, 0)
    os.close(told)
    os.close(tell)
    with IndexLock(home.layout):
        assert os.stat(f"{home.layout.run}/index.lock").st_mode & 0o777 == 0o600


def test_a_child_that_closes_its_copy_unlocks_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE_S", 0.0)
    with IndexLock(home.layout):
        child = os.fork()
        if child == 0:
            os.closerange(3, 1000)
            os._exit(0)
        os.waitpid(child, 0)
        with pytest.raises(Busy):
            IndexLock(home.layout).take()
