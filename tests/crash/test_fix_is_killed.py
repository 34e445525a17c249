"""`doctor --fix` is killed, or fails, at every change that it makes: no job is lost, and the next --fix mends the rest."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import queuectl.doctor.home
from queuectl.doctor.checks import examine, repair_all
from queuectl.doctor.scan import Context
from queuectl.job.job import DEAD, DIRECTORIES, DONE, PENDING, PROCESSING
from queuectl.spool.layout import Layout
from tests.doctor.conftest import damaged as damaged
from tests.support.damaged_home import DamagedHome
from tests.support.faulty_fs import DIED, Faulty, Point

CHANGES = (
    *("write", "truncate", "chmod", "set_mode", "unlink", "move", "exchange", "publish", "create", "append"),
    *("sync", "sync_data", "sync_directory"),
)
STAYS = {"workers", "rejected"}


class Changing(Faulty):
    """Counts what changes something; to die before anything else is to die before the change that follows."""

    def at(self, method: str, *args: Any) -> None:
        if method in CHANGES:
            super().at(method, *args)


def hurt(damaged: DamagedHome) -> None:
    """Plant one fault for each cure that touches a job, and some more."""
    damaged.run("interrupted")
    os.rename(damaged.end("unfiled", "completed"), damaged.file(PENDING, "unfiled"))
    os.rename(damaged.end("verdict", "dead"), damaged.file(PROCESSING, "verdict"))
    os.link(damaged.end("linked", "completed"), damaged.file(PENDING, "linked"))
    torn = damaged.end("torn", "completed")
    data = torn.read_bytes().rstrip()
    torn.write_bytes(data[: data.rindex(b"]")] + b',{"event":"can\0')
    damaged.file(DEAD, "done").write_bytes(damaged.file(DEAD, "gone").read_bytes().replace(b"gone", b"done"))
    damaged.file(DEAD, "done").chmod(0o600)
    damaged.write("spool/pending/gone.json", json.dumps({"id": "gone", "command": "echo duplicate"}))
    damaged.write("spool/done/junk.json", "{")
    damaged.write("spool/pending/junk.json", "{")
    damaged.write("spool/tmp/1.2.ab", "x")
    damaged.write("output/ghost.1.log", "x")
    damaged.write("spool/rejected/x.reason", "because")
    damaged.file(DONE, "torn").chmod(0o400)


def home_of(path: Path, point: Point | None = None) -> tuple[Context, Changing]:
    home = Context(Layout(str(path)), {"QUEUECTL_DROP_GRACE": "0"}, lambda _count: None)
    home.spool.files = home.files = files = Changing(point)
    return home, files


def where(path: Path) -> dict[str, list[str]]:
    """Return for each job the directories that have it, and for each file that was set aside its content."""
    found: dict[str, list[str]] = {}
    for directory in (*DIRECTORIES, "rejected"):
        for name in os.listdir(path / "spool" / directory):
            if not name.endswith(".reason"):
                found.setdefault(name, []).append(directory)
    return {name: sorted(places) for name, places in found.items()}


@pytest.mark.parametrize("error", [None, errno.EIO, errno.ENOSPC, errno.EACCES])
def test_a_cure_that_is_cut_short_loses_nothing(
    damaged: DamagedHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int | None
) -> None:
    """Proves G9. At each change the process dies, or the change fails; afterwards --fix leaves what it would have."""
    monkeypatch.setattr(queuectl.doctor.home, "LOOK_AGAIN_S", 0.0001)
    monkeypatch.setattr(queuectl.doctor.home, "SETTLE_S", 0.0001)
    hurt(damaged)
    whole = tmp_path / "whole"
    _copy(damaged.home, whole)
    home, files = home_of(whole)
    assert all(done.is_done for done in repair_all(home))
    expected, points = where(whole), len(files.trace)
    assert {finding.check for finding in examine(home_of(whole)[0])} <= STAYS
    assert points > 30, files.trace
    for number in range(1, points + 1):
        copy = tmp_path / f"at-{number}"
        _copy(damaged.home, copy)
        point = Point(number, error)
        if error is None:
            assert _in_a_child(copy, point), f"did not die at {number}"
        else:
            repair_all(home_of(copy, point)[0])
            assert point.happened
        mended = repair_all(home_of(copy)[0])
        assert all(done.is_done for done in mended), (files.trace[number - 1], [done.text for done in mended])
        assert where(copy) == expected, f"cut short at {number}, {files.trace[number - 1]}"
        left = [finding for finding in examine(home_of(copy)[0]) if finding.check not in STAYS]
        assert left == [], [finding.text for finding in left]
        shutil.rmtree(copy)
    print(f"{points} points, {'dead' if error is None else errno.errorcode[error]}")


def _copy(source: Path, target: Path) -> None:
    """Copy a home, hard links and times and all."""
    assert os.spawnlp(os.P_WAIT, "cp", "cp", "-a", str(source), str(target)) == 0


def _in_a_child(path: Path, point: Point) -> bool:
    pid = os.fork()
    if pid == 0:
        try:
            repair_all(home_of(path, point)[0])
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == DIED
