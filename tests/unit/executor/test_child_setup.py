"""Work that nobody waits for."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, psutil
from queuectl.executor.child_setup import lower_priority
before = os.getpriority(os.PRIO_PROCESS, 0)
lower_priority()
lower_priority()
print(before, os.getpriority(os.PRIO_PROCESS, 0), psutil.Process().ionice().value)
os.setpriority(os.PRIO_PROCESS, 0, 19)
lower_priority()
print(os.getpriority(os.PRIO_PROCESS, 0))
"""


def test_it_takes_what_others_leave_and_never_more_than_before() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    (before, after, disk), (least,) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert after == max(before, 10)
    assert disk == 7
    assert least == 19
