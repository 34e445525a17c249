"""Tests that run in a pid namespace of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.chaos import must_not_be_skipped, need_root

INSIDE = "QUEUECTL_TEST_PID_NAMESPACE"
ROOT = Path(__file__).parents[2]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "pid_namespace: runs as the only user of its pids, so that it can force reuse")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a marked test by another pytest in a fresh pid namespace, under a shell that reaps what is orphaned."""
    if pyfuncitem.get_closest_marker("pid_namespace") is None or INSIDE in os.environ:
        return None
    need_root("a pid namespace")
    base = pyfuncitem._request.getfixturevalue("tmp_path") / "inside"
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", f"--basetemp={base}"]
    done = subprocess.run(
        [
            "unshare",
            "-pf",
            "--mount-proc",
            "--kill-child",
            "sh",
            "-c",
            '"$@" & wait $!',
            "sh",
            *command,
            pyfuncitem.nodeid,
        ],
        cwd=ROOT,
        env={**os.environ, INSIDE: "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare failed" in done.stderr:
        must_not_be_skipped(done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    print(done.stdout)
    return True
