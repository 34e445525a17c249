"""The wheel, in an empty environment, without anything that only developers need."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment(tmp_path: Path) -> None:
    """Built, installed with its three dependencies, it queues and runs a job; no development package is there."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    source = tmp_path / "source"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if files.returncode:
        pytest.skip("not a git checkout")
    for name in files.stdout.decode().split("\0"):
        if name and (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([python, "-m", "pip", "install", "-q", str(source)], check=True, timeout=300)
    packages = subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout.lower()
    assert not {"pytest", "hypothesis", "mypy", "ruff"} & set(packages.split())
    environ = {**os.environ, "QUEUECTL_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    environ.pop("PYTHONPATH", None)

    def queuectl(*words: str) -> str:
        done = subprocess.run(
            [tmp_path / "venv/bin/queuectl", *words],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    assert queuectl("--version").split()[0].lower() == "queuectl"
    queuectl("worker", "start", "--count", "1")
    try:
        queuectl("enqueue", "--id", "first", "--command", "echo installed", "--wait")
        assert queuectl("logs", "first") == "installed\n"
    finally:
        queuectl("worker", "stop", "--wait")
    data = next((tmp_path / "venv/lib").glob("python*/site-packages/queuectl"))
    assert (data / "py.typed").exists()
    assert (data / "spool/FORMAT.md").exists()
    assert (data / "web/openapi.json").exists()
    assert sys.version_info >= (3, 10)
