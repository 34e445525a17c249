"""The examples of every --help do what they say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from queuectl.cli.verbs import load_all
from tests.cli.support import Jobs

EXAMPLES = [(name, example) for name, command in load_all().items() for example in command.examples]
ENDLESS = (  # until Ctrl-C
    *("queuectl worker start --count 2 --foreground", "queuectl worker logs supervisor -f"),
    *("queuectl web", "queuectl web --read-only --port 8080", "queuectl status --watch 5"),
    *("queuectl events -f --type failed,died -o jsonl", "queuectl top", "queuectl top --every 0.5"),
)
FINE = {"check": (0, 1, 2)}  # what it finds is the machine's: nobody works, or the disk is nearly full


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[example for _, example in EXAMPLES])
def test_an_example_works(name: str, example: str, jobs: Jobs, environ: dict[str, str], tmp_path: Path) -> None:
    if example in ENDLESS or name == "run":  # for which there is no worker
        pytest.skip("goes on until Ctrl-C; tested with that elsewhere")
    (tmp_path / "a.mov").touch()
    getattr(jobs, "completed" if name in ("wait", "check") else "dead")("01JDFQ8Z4T")
    if name in ("hold", "release", "edit", "priority"):  # elsewhere they would be waited for
        jobs.pending("01JDFW11AA")
        jobs.held("01JDFX22BB")

    def shell(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-c", line],
            env={**environ, "EDITOR": "echo"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    is_about_workers = name.startswith("worker")
    try:
        if is_about_workers:
            assert shell("queuectl worker start --count 2").returncode == 0
        done = shell(example)
        assert "bug" not in done.stderr, done
        assert done.returncode in FINE.get(name, (0,)), done
    finally:
        if is_about_workers:
            shell("queuectl worker stop --now --wait")
