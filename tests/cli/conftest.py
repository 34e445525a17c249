"""What the tests of the command line share: a home of their own, a clock that stands, jobs in every state, golden files."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from queuectl.cli.main import main
from queuectl.clock import Clock
from queuectl.spool.layout import Layout
from tests.cli.support import NOW, Jobs, Ran, Run

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of our own, with an empty queue, and nothing of the surroundings that could change a result."""
    for name in [name for name in os.environ if name.startswith("QUEUECTL_")]:
        monkeypatch.delenv(name)
    for name in ("COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    monkeypatch.setenv("QUEUECTL_HOME", str(home))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("TERM", "xterm")
    time.tzset()
    monkeypatch.chdir(tmp_path)
    Layout(str(home)).ensure()
    return home


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line in this process: `cli("list", "--json", stdin=b"...")`."""

    def run(*argv: str, stdin: bytes = b"") -> Ran:
        capfd.readouterr()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(argv)
        sys.stdout.flush()
        return Ran(code, *capfd.readouterr())

    return run


@pytest.fixture
def queuectl(home: Path) -> Run:
    """Run a command line in a process of its own: `queuectl("status", stdin=b"...", env={...})`."""

    def run(*argv: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Ran:
        done = subprocess.run(
            [sys.executable, str(ROOT / "queuectl"), *argv],
            input=stdin,
            capture_output=True,
            env={**os.environ, **(env or {})},
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def environ(home: Path, tmp_path: Path) -> dict[str, str]:
    """An environment in which `queuectl` is a command, and the user's own directory is a temporary one."""
    program = tmp_path / "bin" / "queuectl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT / "queuectl"} "$@"\n')
    program.chmod(0o755)
    own = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": ""}
    return {**os.environ, **own, "PATH": f"{program.parent}:{os.environ['PATH']}"}


@pytest.fixture
def terminal(home: Path) -> Callable[..., Ran]:
    """Run a command line on a terminal: `terminal("list", columns=60)`; what it shows is in `out`."""
    import pty
    import termios

    def run(*argv: str, columns: int = 80) -> Ran:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, columns)) if sys.version_info >= (3, 11) else _set_size(theirs, columns)
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "queuectl"), *argv], stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        shown = b""
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # Linux says so when the last writer has gone
                break
            if not data:
                break
            shown += data
        os.close(ours)
        return Ran(process.wait(), shown.decode().replace("\r\n", "\n"), "")

    return run


def _set_size(fd: int, columns: int) -> None:
    import fcntl
    import struct
    import termios

    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Time stands at NOW; call it with seconds to let them pass."""
    moment = [NOW]
    monkeypatch.setattr(Clock, "now", lambda self: moment[0])

    def passes(seconds: float) -> None:
        moment[0] += seconds

    return passes


@pytest.fixture
def jobs(home: Path) -> Jobs:
    """Jobs in every state."""
    return Jobs(home)


@pytest.fixture
def golden(home: Path) -> Callable[[str, str], None]:
    """Compare a text with a file in golden/; UPDATE_GOLDEN=1 writes it instead.

    What changes from run to run is a hole there: {{home}}, {{id}}, {{time}}, {{pid}}.
    """

    def compare(name: str, text: str) -> None:
        text = text.replace(str(home), "{{home}}")
        text = re.sub(r"\b0[0-9A-HJKMNP-TV-Z]{15}(?=  )", "{{id}}".ljust(16), text)  # keeps columns in line
        text = re.sub(r"\b0[0-9A-HJKMNP-TV-Z]{15}\b", "{{id}}", text)
        text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "{{time}}", text)
        text = re.sub(r"\bpid \d+", "pid {{pid}}", text)
        path = GOLDEN / f"{name}.txt"
        if os.environ.get("UPDATE_GOLDEN"):
            path.write_text(text)
        assert text == path.read_text(), f"differs from {path}; UPDATE_GOLDEN=1 accepts it"

    return compare
