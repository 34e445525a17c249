"""A waiting job that is open in an editor: it does not start, and whoever is killed leaves it as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from queuectl.errors import Busy

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("killed", ["editor", "queuectl"])
def test_a_job_in_an_editor_does_not_start_and_a_kill_leaves_it_as_it_was(supervised: Make, killed: str) -> None:
    s = supervised()
    job_id = s.queue.enqueue("true", delay=1)
    path = Path(s.queue.layout.job("pending", job_id))
    before = path.read_bytes()
    script, begun = s.home / "editor", s.home / "begun"
    script.write_text(f'#!/bin/sh\nsed -i s/true/false/ "$1"; echo $$ > {begun}; while :; do sleep 0.05; done\n')
    script.chmod(0o700)
    environ = {**s.environ, "EDITOR": str(script)}
    editing = subprocess.Popen([sys.executable, str(ROOT / "queuectl"), "edit", job_id], env=environ)
    try:
        s.wait_until(lambda: begun.exists() and begun.read_text() != "", "the editor is open")
        editor = int(begun.read_text())
        s.start(2)
        s.queue.spool.patience = 1
        with pytest.raises(Busy):
            s.queue.hold(job_id)
        later = s.queue.enqueue("true", delay=1.2)
        s.wait_for(later, "completed")
        assert path.read_bytes() == before
        os.kill(editing.pid if killed == "queuectl" else editor, signal.SIGKILL)
        assert editing.wait() == (-signal.SIGKILL if killed == "queuectl" else 1)
        s.wait_for(job_id, "completed")
        assert s.queue.get(job_id).command == "true"
    finally:
        os.kill(int(begun.read_text()), signal.SIGKILL) if killed == "queuectl" else None
        editing.kill()
        editing.wait()
