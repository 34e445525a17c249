"""Faults of what a home lies on and of its names: none is called healthy, none hangs, and one reason is told once."""

from __future__ import annotations

import fcntl
import json
import os
import struct
from pathlib import Path

import pytest

from queuectl.doctor.home import GET_FLAGS, IMMUTABLE
from queuectl.job.job import DEAD, DONE, PENDING
from tests.support.damaged_home import DamagedHome

SET_FLAGS = GET_FLAGS ^ 3 << 30 ^ 3  # the other direction, number 2


def test_a_directory_behind_a_link_is_judged_as_one_that_is_in_its_place(damaged: DamagedHome) -> None:
    """The link itself says nothing of who may write to what it leads to."""
    target = damaged.home.parent / "elsewhere"
    os.rename(damaged.path("spool"), target)
    damaged.path("spool").symlink_to(target)
    assert damaged.findings("modes") == []
    target.chmod(0o777)
    [found] = damaged.findings("modes")
    assert (found["level"], found["fixable"]) == ("error", True)
    damaged.doctor("--fix")
    assert target.stat().st_mode & 0o777 == 0o700
    assert damaged.path("spool").is_symlink()


def set_flags(path: Path, flags: int) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, SET_FLAGS, struct.pack("l", flags))
    finally:
        os.close(fd)


@pytest.mark.parametrize("name", ["spool/pending/first.json", "spool/done/done.json", "spool/dead"])
def test_what_was_made_immutable_is_found(damaged: DamagedHome, name: str) -> None:
    """A job that is due and can never be claimed is a problem."""
    path = damaged.path(name)
    assert damaged.findings("attributes") == []
    try:
        set_flags(path, IMMUTABLE)
    except OSError:
        pytest.skip("only root can make a file immutable, and not everywhere")
    try:
        [found] = damaged.findings("attributes")
        assert (found["level"], found["fixable"]) == ("error", False)
        assert name in found["text"]
        assert found["cure"] == f"sudo chattr -i -a {path}"
        assert damaged.doctor("--fix").code == 7
    finally:
        set_flags(path, 0)
    assert damaged.findings("attributes") == []


@pytest.mark.parametrize("place", ["outside", "under another id"])
def test_a_file_that_somebody_else_has_too_becomes_the_jobs_own(
    damaged: DamagedHome, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """As of a copy made of hard links, which every growth of the job would change."""
    monkeypatch.setenv("QUEUECTL_DROP_GRACE", "0")
    path = damaged.file(DEAD, "gone")
    other = damaged.home.parent / "copy.json" if place == "outside" else damaged.file(DONE, "copy")
    os.link(path, other)
    before = other.read_bytes()
    [found] = damaged.findings("shared")
    assert (found["level"], "spool/dead/gone.json" in found["text"]) == ("warn", True)
    damaged.doctor("--fix")
    assert (path.stat().st_nlink, other.stat().st_nlink) == (1, 1)
    damaged.queue.retry("gone")
    assert other.read_bytes() == before
    assert damaged.file(PENDING, "gone").exists()
    assert damaged.findings("shared") == []


@pytest.mark.parametrize("name", ["index.sqlite3", "run/supervisor.json"])
def test_a_pipe_where_a_file_should_be_is_not_waited_for(damaged: DamagedHome, name: str) -> None:
    damaged.path(name).unlink(missing_ok=True)
    os.mkfifo(damaged.path(name), 0o600)
    assert damaged.doctor("--fix").code == 0
    assert len(damaged.queue.counts()) > 0
    assert not damaged.path(name).is_fifo()


def test_a_pipe_for_the_format_is_no_format(damaged: DamagedHome) -> None:
    os.mkfifo(damaged.path("format"), 0o600)
    ran = damaged.doctor()
    assert (ran.code, "has spool format unknown" in ran.err) == (6, True)


def test_one_reason_is_told_once(damaged: DamagedHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that cannot be read keeps many checks from being made: one paragraph, and their names."""

    def refuse(_directory: str) -> list[str]:
        raise PermissionError(13, "Permission denied", "spool/pending")

    monkeypatch.setattr("queuectl.spool.fs.Files.names", lambda _files, directory: refuse(directory))
    ran = damaged.doctor()
    assert ran.code == 1
    assert ran.out.count("spool/pending: Permission denied") == 1
    assert "for the same reason these checks could not be made" in " ".join(ran.out.split())
    assert "stranded, no-jobs" in " ".join(ran.out.split())
    checks = json.loads(damaged.doctor("--json").out)["checks"]
    assert {check["level"] for check in checks if check["name"] in ("stranded", "torn", "links")} == {"error"}
