"""Every file and directory of a home has its mode under every umask, and a home that its mode closes is explained."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.permissions import as_if_not_root

ROOT = Path(__file__).resolve().parents[2]
UMASKS = ("0", "022", "0777")  # nothing is taken away, the usual, everything
Queuectl = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def queuectl(tmp_path: Path) -> Queuectl:
    """Run a command line under a umask, as a user whose modes count."""

    def run(*words: str, umask: str = "022") -> subprocess.CompletedProcess[str]:
        script = f'umask {umask}; exec "$@"'
        program = [*as_if_not_root(), sys.executable, "-B", str(ROOT / "queuectl"), *words]
        environ = {**os.environ, "QUEUECTL_HOME": str(tmp_path / "new/home")}
        return subprocess.run(
            ["/bin/sh", "-c", script, "sh", *program], env=environ, capture_output=True, text=True, check=False
        )

    return run


def modes(home: Path) -> dict[str, str]:
    """Return what does not have the mode that it should."""
    wrong = {}
    for path in (home, *home.rglob("*")):
        status = path.lstat()
        wanted = 0o700 if stat.S_ISDIR(status.st_mode) else 0o600
        if stat.S_IMODE(status.st_mode) != wanted:
            wrong[str(path.relative_to(home))] = f"{stat.S_IMODE(status.st_mode):04o}"
    return wrong


@pytest.mark.parametrize("umask", UMASKS)
def test_every_mode_is_the_intended_one(queuectl: Queuectl, tmp_path: Path, umask: str) -> None:
    home, figures = tmp_path / "new/home", tmp_path / "queuectl.prom"

    def do(*words: str) -> str:
        done = queuectl(*words, umask=umask)
        assert done.returncode == 0, (words, done)
        return done.stdout.strip()

    job_id = do("enqueue", "--unique", "u", "--command", "umask; touch made; stat -c %a made; rm made")
    try:
        do("config", "set", "timeout", "5m")
        do("worker", "start")
        do("wait", job_id)
        do("web", "token")
        do("metrics", "--textfile", str(figures))
        (home / "run/config.json").unlink(missing_ok=True)
        os.utime(home / "config.yaml", (1, 1))
        do("list")
        assert modes(home) == {}  # of sockets, the index and what belongs to it as well: the supervisor runs
        seen = do("logs", job_id).splitlines()
        assert int(seen[0], 8) == int(umask, 8)  # the command has the umask of whoever started the workers
    finally:
        queuectl("worker", "stop", "--wait", "--now")
    do("maintenance")
    do("index", "rebuild")
    assert modes(home) == {}
    assert stat.S_IMODE(figures.stat().st_mode) == 0o644
    assert queuectl("doctor").returncode == 0


@pytest.mark.parametrize("closed", ["", "run", "spool/pending"])
def test_a_home_that_its_mode_closes_is_explained_with_the_command_that_opens_it(
    queuectl: Queuectl, tmp_path: Path, closed: str
) -> None:
    queuectl("enqueue", "--id", "a", "--command", "true")
    directory = tmp_path / "new/home" / closed
    directory.chmod(0o600)
    cure = f"chmod 700 {directory}"
    enqueue = ("enqueue", "--command", "true")
    for words in (("worker", "start"), *([] if closed == "run" else [enqueue])):  # which needs no run/
        ran = queuectl(*words)
        assert (ran.returncode, ran.stdout) == (8, ""), ran
        assert cure in ran.stderr
    for words in (("list",), ("status",), ("show", "a")) if not closed else ():
        ran = queuectl(*words)
        assert (ran.returncode, ran.stderr.splitlines()[-1]) == (8, f"          hint: {cure}"), ran
    found = queuectl("doctor")
    assert found.returncode == 1
    assert cure in found.stdout
    assert queuectl("doctor", "--fix").returncode == 0
    assert queuectl("list", "-o", "name").stdout == "a\n"
