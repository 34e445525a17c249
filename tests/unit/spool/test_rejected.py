"""What is no job, or cannot be read, or has more names than one."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.job.job import DEAD, DONE, PENDING, PROCESSING
from queuectl.job.job_file import MAX_BYTES, MAX_FILE_BYTES
from queuectl.spool.fs import Files
from queuectl.spool.intake import ClaimRefused
from tests.support.spools import Home
from tests.unit.spool.conftest import Answer, both, claim, look

GRACE = 5.0  # drop_grace
IS_ROOT = os.geteuid() == 0


# --- what is never a job

BROKEN: list[tuple[str | bytes, str]] = [
    (b"", "line 1, column 1: expected an object, the file is empty"),
    ("[]", "line 1, column 1: expected an object"),
    ('{"command": "echo "hi""}', "line 1, column 20: expected ',' or '}'"),
    (b'{"command":"\xff"}', "line 1, column 13: byte 0xff is not UTF-8"),
    (b'\xef\xbb\xbf{"command":"true"}', "byte order mark"),
    (b'{"command":"a\0"}', "byte 13 is NUL"),
    ('{"command":"a\\u0000"}', "line 1, column 12: this string contains the character NUL"),
    ('{"command":"true","x":NaN}', "line 1, column 23: expected a JSON value, found NaN"),
    ('{"command":"true","x":1e999}', "the number 1e999 is too large"),
    ('{"command":"a","command":"b"}', 'line 1, column 16: the key "command" occurs twice'),
    ('{"command":"\\ud800"}', "half of a surrogate pair"),
    ('{"command":"true","x":' + "[" * 40 + "]" * 40 + "}", "nested more than 32 deep"),
    ('{"command":"true","x":' + "[" * 100_000, "nested more than 32 deep"),
    ('{"command":"true","x":' + "9" * 5000 + "}", "a number of 5000 characters"),
    ('{"command":"true"} {"command":"true"}', "expected the end of the file"),
    ('{"command":"true",\n "priority":"high"}', 'line 2, column 2: "priority" must be an integer from -1000 to 1000'),
    ('{"command":"true","after":"a"}', "a list of 1 to 1,000 different job ids"),
    ('{"history":[],"command":"true"}', '"history" must be the last member'),
    ('{"command":"true","history":[{"event":"completed"}]}', 'history entry 1: "at" is missing'),
    ('{"command":"true"}' + " " * MAX_BYTES, f"at most {MAX_BYTES} are accepted"),
    (b"\0" * 4096, "byte 0 is NUL"),
]


@pytest.mark.parametrize(("data", "words"), BROKEN, ids=[words for _, words in BROKEN])
def test_a_file_that_is_no_job_is_rejected_with_the_exact_reason(spool: Home, data: str | bytes, words: str) -> None:
    path = spool.drop("a.json", data)
    written = path.read_bytes()
    reason, answer = look(spool, "a.json")
    assert isinstance(answer, ClaimRefused)
    assert reason == "rejected"
    assert words in answer.detail
    assert "\n" not in answer.detail
    assert (Path(spool.layout.rejected) / "a.json").read_bytes() == written
    assert words in spool.rejected()["a.json"]


@pytest.mark.parametrize("data", [data for data, _ in BROKEN[:6]])
def test_claiming_what_is_no_job_rejects_it_too(spool: Home, data: str | bytes) -> None:
    spool.drop("a.json", data)
    assert claim(spool, "a")[0] == "rejected"


def make_socket(path: Path) -> None:
    made = socket.socket(socket.AF_UNIX)
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(path.parent)  # the path of a socket may not be long
        made.bind(path.name)
    finally:
        os.fchdir(here)
        os.close(here)
        made.close()


def make_giant(path: Path) -> None:
    path.touch()
    os.truncate(path, 10 << 30)


def make_open(path: Path) -> None:
    path.write_text('{"command":"true"}')
    path.chmod(0o606)


def make_foreign(path: Path) -> None:
    path.write_text('{"command":"true"}')
    os.chown(path, 12345, -1)


ENTRIES: dict[str, tuple[Callable[[Path], object], str]] = {
    "symlink": (lambda path: path.symlink_to("/etc/passwd"), "a symbolic link, not a regular file"),
    "symlink to a job": (lambda path: path.symlink_to("b.json"), "a symbolic link"),
    "dangling": (lambda path: path.symlink_to("nowhere"), "a symbolic link"),
    "FIFO": (os.mkfifo, "a FIFO, not a regular file"),
    "directory": (lambda path: (path / "inside").mkdir(parents=True), "a directory, not a regular file"),
    "socket": (make_socket, "a socket, not a regular file"),
    "world-writable": (make_open, "is writable by all users (mode 0606)"),
    "sparse giant": (make_giant, f"{10 << 30} bytes; at most {MAX_FILE_BYTES} are accepted"),
}
if IS_ROOT:
    ENTRIES["device"] = (lambda path: os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3)), "a device")
    ENTRIES["block device"] = (lambda path: os.mknod(path, 0o600 | stat.S_IFBLK, os.makedev(7, 250)), "a device")
    ENTRIES["foreign owner"] = (make_foreign, "belongs to user 12345")


@pytest.mark.parametrize("ask", [look, claim])
@pytest.mark.parametrize("kind", ENTRIES)
def test_an_entry_that_cannot_be_a_job_is_set_aside_itself(
    spool: Home, kind: str, ask: Callable[[Home, str], tuple[str, Answer]]
) -> None:
    """Never what it points to, and nothing is waited for."""
    make, words = ENTRIES[kind]
    spool.drop("b.json", '{"command":"true"}')
    path = spool.path(PENDING, "a")
    make(path)
    before = os.lstat(path)
    reason, answer = ask(spool, "a.json" if ask is look else "a")
    assert isinstance(answer, ClaimRefused)
    assert reason == "rejected"
    assert words in answer.detail
    after = os.lstat(Path(spool.layout.rejected) / "a.json")
    assert (after.st_ino, after.st_mode, after.st_uid) == (before.st_ino, before.st_mode, before.st_uid)
    assert words in spool.rejected()["a.json"]
    assert both(spool, "b") == ("job", "claimed")


@pytest.mark.parametrize(
    "name",
    [b"a b.json", b"\xff\xfe.json", b"a\nb.json", b"-rf.json", "é.json".encode(), b"x" * 129 + b".json", b"$(id).json"],
)
def test_a_bad_name_is_set_aside_and_shown_on_one_line(spool: Home, name: bytes) -> None:
    """Proves G18."""
    path = os.path.join(os.fsencode(spool.layout.directory(PENDING)), name)
    Path(os.fsdecode(path)).write_text('{"command":"true"}')
    reason, answer = look(spool, os.fsdecode(name))
    assert isinstance(answer, ClaimRefused)
    assert (reason, answer.again_s) == ("rejected", None)
    assert answer.detail.isprintable()
    assert "bad name" in answer.detail
    assert not os.path.lexists(path)
    assert sorted(os.listdir(os.fsencode(spool.layout.rejected))) == [name, name + b".reason"]


def test_the_longest_name_can_be_set_aside_with_its_reason(spool: Home) -> None:
    for _ in range(3):
        name = "x y" + "z" * 247 + ".json"
        spool.drop(name, "{}")
        assert look(spool, name)[0] == "rejected"
    kept = spool.rejected()
    assert len(kept) == 3
    assert all("bad name" in reason for reason in kept.values())


def test_nothing_in_rejected_is_overwritten(spool: Home) -> None:
    """Proves G9."""
    for text in ("one", "two", "three"):
        spool.drop("a.json", text)
        assert look(spool, "a.json")[0] == "rejected"
    rejected = Path(spool.layout.rejected)
    assert sorted(spool.rejected()) == ["a.json", "a.json.1", "a.json.2"]
    assert [(rejected / name).read_text() for name in sorted(spool.rejected())] == ["one", "two", "three"]
    (rejected / "b.json.reason").write_text("of another")
    spool.drop("b.json", "four")
    assert look(spool, "b.json")[0] == "rejected"
    assert (rejected / "b.json.reason").read_text() == "of another"
    assert (rejected / "b.json.1").read_text() == "four"


def test_what_cannot_be_set_aside_is_reported_and_left(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    spool.drop("a b.json", "x")
    spool.drop("c.json", "x")
    monkeypatch.setattr(Files, "move", refuse)
    for name in ("a b.json", "c.json"):
        reason, answer = look(spool, name)
        assert isinstance(answer, ClaimRefused)
        assert (reason, answer.again_s) == ("unreadable", 30.0)
        assert "cannot be moved to rejected/" in answer.detail


def test_a_reason_that_cannot_be_written_does_not_leave_the_entry_in_the_way(
    spool: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    spool.drop("a.json", "x")
    monkeypatch.setattr(Files, "write", refuse)
    assert look(spool, "a.json")[0] == "rejected"


def test_a_broken_file_that_somebody_has_locked_is_left_to_him(spool: Home) -> None:
    path = spool.drop("a.json", "garbage")
    fd = os.open(path, os.O_RDONLY)
    assert spool.files.try_lock(fd)
    assert both(spool, "a") == ("busy", "busy")
    os.close(fd)
    assert look(spool, "a.json")[0] == "rejected"


# --- what cannot be read


@pytest.mark.parametrize(
    ("number", "again_s"), [(errno.EACCES, 30.0), (errno.EIO, 30.0), (errno.EMFILE, 0.2), (errno.ENFILE, 0.2)]
)
def test_what_cannot_be_opened_is_kept_and_tried_again(
    spool: Home, number: int, again_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = spool.drop("a.json", '{"command":"true"}')

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Files, "open", refuse)
    for answer in (spool.examine("a.json"), spool.claim("a", "w")):
        assert isinstance(answer, ClaimRefused)
        assert (answer.reason, answer.again_s) == ("unreadable", again_s)
        assert os.strerror(number) in answer.detail
    monkeypatch.undo()
    assert path.exists()
    assert both(spool, "a") == ("job", "claimed")


def test_what_cannot_be_read_is_kept_and_tried_again(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.drop("a.json", '{"command":"true"}')

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Files, "read", refuse)
    assert both(spool, "a") == ("unreadable", "unreadable")
    monkeypatch.undo()
    assert both(spool, "a") == ("job", "claimed")


# --- more than one link


def test_a_producers_link_is_waited_for(spool: Home) -> None:
    """`ln tmp/x pending/a.json; rm tmp/x`: between the two another name may be written to."""
    tmp = Path(spool.layout.tmp, "x")
    tmp.write_text('{"command":"true"}')
    tmp.chmod(0o600)
    os.link(tmp, spool.path(PENDING, "a"))
    spool.clock.advance(os.stat(tmp).st_ctime - spool.clock.now())
    reason, answer = claim(spool, "a")
    assert isinstance(answer, ClaimRefused)
    assert (reason, answer.again_s) == ("linked", 0.005)
    spool.clock.advance(1)
    reason, answer = claim(spool, "a")
    assert isinstance(answer, ClaimRefused)
    assert (reason, answer.again_s) == ("linked", 0.25)
    tmp.unlink()
    assert both(spool, "a") == ("job", "claimed")


def test_a_link_that_stays_is_copied_into_an_inode_of_our_own(spool: Home, tmp_path: Path) -> None:
    path = spool.drop("a.json", '{"command":"true"}')
    os.link(path, tmp_path / "mine")
    spool.clock.advance(os.stat(path).st_ctime + GRACE + 1 - spool.clock.now())
    got = spool.start("a")
    (tmp_path / "mine").write_text('{"command":"false"}')
    got.finish({})
    got.close()
    assert (spool.job("a").command, spool.job("a").state) == ("true", "completed")
    assert os.stat(tmp_path / "mine").st_nlink == 1
    assert spool.litter() == []


def test_a_link_from_the_future_is_copied_too(spool: Home, tmp_path: Path) -> None:
    path = spool.drop("a.json", '{"command":"true"}')
    os.link(path, tmp_path / "mine")
    spool.clock.set_back(10**9)
    assert claim(spool, "a")[0] == "linked"
    spool.clock.advance(GRACE)
    assert claim(spool, "a")[0] == "claimed"


@pytest.mark.parametrize("directory", [DONE, DEAD])
def test_the_second_name_of_a_job_that_has_ended_is_taken_away(spool: Home, directory: str) -> None:
    job_id = spool.put("completed" if directory == DONE else "dead")
    os.link(spool.path(directory, job_id), spool.path(PENDING, job_id))
    assert claim(spool, job_id)[0] == "gone"
    assert spool.where(job_id) == [directory]


def test_of_pending_and_processing_pending_stays(spool: Home) -> None:
    job_id = spool.put("failed")
    os.link(spool.path(PENDING, job_id), spool.path(PROCESSING, job_id))
    spool.clock.advance(60)
    assert claim(spool, job_id)[0] == "claimed"
    assert spool.where(job_id) == [PROCESSING]


def test_one_bad_file_does_not_disturb_the_others(spool: Home) -> None:
    """Proves G11."""
    for number, (data, _) in enumerate(BROKEN):
        spool.drop(f"bad-{number}.json", data)
    for number, (make, _) in enumerate(ENTRIES.values()):
        make(spool.path(PENDING, f"entry-{number}"))
    jobs = [spool.put("pending") for _ in range(5)]
    for name in os.listdir(spool.layout.directory(PENDING)):
        spool.examine(name)
    assert sorted(spool.ids(PENDING)) == jobs
    assert len(spool.rejected()) == len(BROKEN) + len(ENTRIES)
    for job_id in jobs:
        spool.start(job_id).close()
