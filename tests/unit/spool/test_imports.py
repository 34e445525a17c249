"""What `enqueue` pays for: the spool is imported by every call of the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
TOO_DEAR = {
    *(
        "dataclasses",
        "typing",
        "pathlib",
        "datetime",
        "inspect",
        "ctypes",
        "tempfile",
        "logging",
        "socket",
        "threading",
    ),
    *("sqlite3", "psutil", "yaml", "filelock", "subprocess", "argparse", "asyncio", "shlex", "difflib", "random"),
}


def modules_after(code: str) -> set[str]:
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_spool_imports_little_beyond_json() -> None:
    ours = modules_after("import queuectl.spool.spool")
    json = modules_after("import json, os, fcntl, math")
    extra = {name for name in ours - json if not name.startswith("queuectl")}
    print(sorted(extra))
    assert not extra & TOO_DEAR
    assert extra <= {"__future__", "errno", "_stat", "stat", "time", "_thread", "contextlib"}


def test_enqueueing_imports_neither_ctypes_nor_datetime(tmp_path: Path) -> None:
    code = (
        "from queuectl.spool.spool import Spool; from queuectl.spool.layout import Layout; "
        "from queuectl.config.settings import Settings; "
        f"layout = Layout({str(tmp_path / 'home')!r}); Spool(layout, Settings()).enqueue({{'command': 'true'}})"
    )
    assert not modules_after(code) & TOO_DEAR
