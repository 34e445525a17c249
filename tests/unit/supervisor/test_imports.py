"""What a supervisor loads before it forks: every worker has a share of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from queuectl.command_location import which

ROOT = Path(__file__).resolve().parents[3]
# Some 5 MB together, of which a supervisor and its workers need nothing.
HEAVY = ("filelock", "hashlib", "logging", "decimal", "pathlib", "dataclasses", "inspect", "shutil", "lzma", "argparse")


def test_a_supervisor_and_its_workers_load_nothing_that_is_heavy_and_not_needed() -> None:
    code = (
        "import sys\n"
        "import queuectl.cli.main, queuectl.cli.commands.worker, queuectl.supervisor.startup\n"
        "import queuectl.supervisor.supervisor_lock as lock, queuectl.supervisor.supervisor\n"
        "from queuectl.spool.layout import Layout\n"
        "lock._lock_of(Layout('/nowhere'))\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=_environ(), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def _environ() -> dict[str, str]:
    return {"PYTHONPATH": ":".join([str(ROOT), *(path for path in sys.path if path)])}


@pytest.mark.parametrize(
    "path", ["", "/nowhere", "{here}/empty:{here}/bin", "{here}/folders:{here}/bin", "{here}/plain"]
)
def test_a_program_is_found_where_the_library_finds_it(tmp_path: Path, path: str) -> None:
    import shutil

    for name in ("bin", "plain", "folders/tool", "empty"):
        (tmp_path / name).mkdir(parents=True)
    for name, mode in (("bin", 0o755), ("plain", 0o644)):
        (tmp_path / name / "tool").write_text("")
        (tmp_path / name / "tool").chmod(mode)
    path = path.format(here=tmp_path)
    assert which("tool", path) == shutil.which("tool", path=path)
