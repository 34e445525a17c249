"""The pipe of maintenance, as the supervisor's loop reads it."""

from __future__ import annotations

import os

import pytest

from queuectl.config.settings import Settings
from queuectl.log import open_log
from queuectl.spool.layout import Layout
from queuectl.spool.spool import Spool
from queuectl.supervisor.maintenance_runner import MaintenanceRunner


def test_a_pipe_that_was_closed_after_it_became_readable_is_passed_over(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop calls every handler of one select, also that of a pipe which an earlier handler has closed."""
    layout = Layout(str(tmp_path))
    layout.ensure()
    handlers = []
    log = open_log(layout, "supervisor")
    runner = MaintenanceRunner(
        Spool(layout, Settings()), log, os.environ, lambda _, handler: handlers.append(handler), lambda _: None
    )
    monkeypatch.setattr("queuectl.supervisor.maintenance_runner.spawn", lambda *_: 4121)
    runner.step(runner.next_step)
    runner.reaped({4121: None})
    handlers[0]()
    assert runner.pid is None
