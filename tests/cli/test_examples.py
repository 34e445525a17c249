"""The examples of every --help do what they say."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from queuectl.cli.verbs import load_all
from tests.cli.support import Jobs, Ran, Run

ENDLESS = (  # until Ctrl-C; tested with that elsewhere
    *("queuectl worker start --count 2 --foreground", "queuectl worker logs supervisor -f"),
    *("queuectl web", "queuectl web --read-only --port 8080", "queuectl status --watch 5"),
    *("queuectl events -f --type failed,died -o jsonl", "queuectl top", "queuectl top --every 0.5"),
)
EXAMPLES = [
    (name, example)
    for name, command in load_all().items()
    if name != "run"  # for which there is no worker
    for example in command.examples
    if example not in ENDLESS
]
FINE = {
    "check": (0, 1, 2),
    "signal": (0, 4, 5),
}  # what it finds is the machine's: nobody works, or the disk is nearly full


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[example for _, example in EXAMPLES])
def test_an_example_works(
    name: str, example: str, jobs: Jobs, cli: Run, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("a.mov").touch()
    monkeypatch.setenv("EDITOR", "echo")
    monkeypatch.setenv("HOME", environ["HOME"])
    monkeypatch.setenv("PATH", environ["PATH"])
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    getattr(jobs, "completed" if name in ("wait", "check") else "dead")("01JDFQ8Z4T")
    if name.startswith("schedule") and name != "schedule add":
        jobs.queue.add_schedule("nightly", "true", every="1h")
    for batch in ("movies", "nightly"):
        jobs.completed(f"of-{batch}", batch=batch)
    if name in ("hold", "release", "edit", "priority"):  # elsewhere they would be waited for
        jobs.pending("01JDFW11AA")
        jobs.held("01JDFX22BB")

    def do(line: str) -> Ran:
        """One plain command runs in this process, anything else in a shell."""
        words = shlex.split(line)
        if words[0] == "queuectl" and not set(line) & set("|&;<>$`*?~\\"):
            return cli(*words[1:])
        done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False, timeout=120)
        return Ran(done.returncode, done.stdout, done.stderr)

    is_about_workers = name.startswith("worker")
    try:
        if is_about_workers:
            assert do("queuectl worker start --count 2").code == 0
        done = do(example)
        assert "bug" not in done.err, done
        assert done.code in FINE.get(name, (0,)), done
    finally:
        if is_about_workers:
            do("queuectl worker stop --now --wait")
