"""timing: small things that several benches measure with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[2]
PATIENCE_S = 600.0

# The command of a latency: the time is the first thing that it asks for.
PROBE_C = """
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    char text[64], name[4096];
    int length = snprintf(text, sizeof text, "%lld\\n", now.tv_sec * 1000000000LL + now.tv_nsec);
    snprintf(name, sizeof name, "%s.part", argv[1]);
    int file = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    return write(file, text, length) != length || close(file) || rename(name, argv[1]);
}
"""
PROBE_PYTHON = """import time; now = time.monotonic_ns()
import os, sys
with open(sys.argv[1] + ".part", "w") as file: file.write(f"{now}\\n")
os.rename(sys.argv[1] + ".part", sys.argv[1])
"""


def make_probe(directory: Path) -> str:
    """Return the beginning of a shell command that writes CLOCK_MONOTONIC to the file named behind it.

    A C program where there is a compiler; else Python, whose own start then is in both sides of a comparison.
    """
    compiler = shutil.which("cc")
    if compiler is not None:
        (directory / "probe.c").write_text(PROBE_C)
        program = directory / "probe"
        subprocess.run([compiler, "-O2", "-w", "-o", program, directory / "probe.c"], check=True)
        return str(program)
    (directory / "probe.py").write_text(PROBE_PYTHON)
    return f"{sys.executable} -S {directory / 'probe.py'}"


def wait_for(holds: Callable[[], bool], what: str, every_s: float = 0.002, patience_s: float = PATIENCE_S) -> None:
    """Look again and again until something holds."""
    deadline = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"never came true: {what}")
        time.sleep(every_s)


def read_mark(path: Path) -> int:
    """Return the nanoseconds that a probe wrote, once it has."""
    wait_for(path.exists, f"{path.name} was written")
    return int(path.read_text())


def seconds_of(arguments: Sequence[str], environ: dict[str, str] | None = None) -> float:
    """Return how long a process took from before its spawn until it was reaped; its output goes nowhere."""
    nowhere = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    began = time.perf_counter()
    pid = os.posix_spawn(arguments[0], arguments, environ or dict(os.environ), file_actions=nowhere)
    _, status = os.waitpid(pid, 0)
    took = time.perf_counter() - began
    if status != 0:
        raise RuntimeError(f"exit status {status}: {' '.join(arguments)}")
    return took


def percentile(numbers: Sequence[float], share: float) -> float:
    """Return the number below which a share of them lies."""
    return sorted(numbers)[min(len(numbers) - 1, int(share * len(numbers)))]


MEASURED = """import json, sys, time
began = time.perf_counter()
from queuectl.cli.main import main
code = main(sys.argv[1:])
took = time.perf_counter() - began
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([code, took, int(peak.split()[1]) / 1024]), file=sys.stderr)
"""


def measured_command(home: Path, *arguments: str) -> tuple[float, float]:
    """Run one queuectl command in a process of its own; return its seconds and its peak memory in MB."""
    from tests.bench.service import environment

    command = [sys.executable, "-c", MEASURED, "--home", str(home), *arguments]
    done = subprocess.run(
        command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True
    )
    code, took, peak = json.loads(done.stderr.splitlines()[-1])
    if code != 0:
        raise RuntimeError(done.stderr)
    return took, peak
