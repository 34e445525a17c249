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
from tests.support.damaged_home import Ward

SET_FLAGS = GET_FLAGS ^ 3 << 30 ^ 3  # the other direction, number 2


def test_a_directory_behind_a_link_is_judged_as_one_that_is_in_its_place(ward: Ward) -> None:
    """The link itself says nothing of who may write to what it leads to."""
    target = ward.home.parent / "elsewhere"
    os.rename(ward.path("spool"), target)
    ward.path("spool").symlink_to(target)
    assert ward.findings("modes") == []
    target.chmod(0o777)
    [found] = ward.findings("modes")
    assert (found["level"], found["fixable"]) == ("error", True)
    ward.doctor("--fix")
    assert target.stat().st_mode & 0o777 == 0o700
    assert ward.path("spool").is_symlink()


def set_flags(path: Path, flags: int) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, SET_FLAGS, struct.pack("l", flags))
    finally:
        os.close(fd)


@pytest.mark.parametrize("name", ["spool/pending/first.json", "spool/done/done.json", "spool/dead"])
def test_what_was_made_immutable_is_found(ward: Ward, name: str) -> None:
    """A job that is due and can never be claimed is not "all well"."""
    path = ward.path(name)
    assert ward.findings("attributes") == []
    try:
        set_flags(path, IMMUTABLE)
    except OSError:
        pytest.skip("only root can make a file immutable, and not everywhere")
    try:
        [found] = ward.findings("attributes")
        assert (found["level"], found["fixable"]) == ("error", False)
        assert name in found["text"]
        assert found["cure"] == f"sudo chattr -i -a {path}"
        assert ward.doctor("--fix").code == 7
    finally:
        set_flags(path, 0)
    assert ward.findings("attributes") == []


@pytest.mark.parametrize("place", ["outside", "under another id"])
def test_a_file_that_somebody_else_has_too_becomes_the_jobs_own(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """As of a copy made of hard links, which every growth of the job would change."""
    monkeypatch.setenv("QUEUECTL_DROP_GRACE", "0")
    path = ward.file(DEAD, "gone")
    other = ward.home.parent / "copy.json" if place == "outside" else ward.file(DONE, "copy")
    os.link(path, other)
    before = other.read_bytes()
    [found] = ward.findings("shared")
    assert (found["level"], "spool/dead/gone.json" in found["text"]) == ("warn", True)
    ward.doctor("--fix")
    assert (path.stat().st_nlink, other.stat().st_nlink) == (1, 1)
    ward.queue.retry("gone")
    assert other.read_bytes() == before
    assert ward.file(PENDING, "gone").exists()
    assert ward.findings("shared") == []


@pytest.mark.parametrize("name", ["index.sqlite3", "run/supervisor.json"])
def test_a_pipe_where_a_file_should_be_is_not_waited_for(ward: Ward, name: str) -> None:
    ward.path(name).unlink(missing_ok=True)
    os.mkfifo(ward.path(name), 0o600)
    assert ward.doctor("--fix").code == 0
    assert len(ward.queue.counts()) > 0
    assert not ward.path(name).is_fifo()


def test_a_pipe_for_the_format_is_no_format(ward: Ward) -> None:
    os.mkfifo(ward.path("format"), 0o600)
    ran = ward.doctor()
    assert (ran.code, "has spool format unknown" in ran.err) == (6, True)


def test_one_reason_is_told_once(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that cannot be read keeps many checks from being made: one paragraph, and their names."""

    def refuse(_directory: str) -> list[str]:
        raise PermissionError(13, "Permission denied", "spool/pending")

    monkeypatch.setattr("queuectl.spool.fs.Files.names", lambda _files, directory: refuse(directory))
    ran = ward.doctor()
    assert ran.code == 1
    assert ran.out.count("spool/pending: Permission denied") == 1
    assert "for the same reason it cannot be told" in " ".join(ran.out.split())
    assert "stranded, no-jobs" in " ".join(ran.out.split())
    checks = json.loads(ward.doctor("--json").out)["checks"]
    assert {check["level"] for check in checks if check["name"] in ("stranded", "torn", "links")} == {"error"}
