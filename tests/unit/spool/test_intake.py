"""What happens to files that strangers put into pending/: the whole table of FORMAT.md § Foreign files."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.clock import spell
from queuectl.job import DEAD, DONE, PENDING, PROCESSING, Job
from queuectl.record import MAX_BYTES, MAX_FILE_BYTES
from queuectl.spool.claim import Claim
from queuectl.spool.files import Files
from queuectl.spool.intake import NotNow
from tests.support.clock import NOON
from tests.support.faults import Old
from tests.support.spools import Home

GRACE = 5.0  # drop_grace
IS_ROOT = os.geteuid() == 0
Answer = Job | Claim | NotNow


def look(spool: Home, name: str) -> tuple[str, Answer]:
    answer = spool.examine(name)
    return (answer.reason if isinstance(answer, NotNow) else "job"), answer


def claim(spool: Home, job_id: str) -> tuple[str, Answer]:
    answer = spool.claim(job_id, "w")
    return (answer.reason if isinstance(answer, NotNow) else "claimed"), answer


def both(spool: Home, job_id: str) -> tuple[str, str]:
    """Look, then claim; what was claimed is let go."""
    seen, _ = look(spool, f"{job_id}.json")
    got, answer = claim(spool, job_id)
    if isinstance(answer, Claim):
        answer.close()
    return seen, got


# --- what is taken


@pytest.mark.parametrize(
    "text",
    [
        '{"command":"true"}',
        '{"command":"true"}\n',
        '\n  {\n  "command": "true",\n  "tags": ["a"]\n}\n\n',
        '{"argv":["echo","\\u00e9"],"x":{"y":[1]}}',
        '{"command":"true","history":[]}',
        '{"command":"true","state":"pending","attempts":0,"created_at":"2026-11-24T14:01:58Z"}',
    ],
)
def test_a_job_in_any_spelling_is_taken(spool: Home, text: str) -> None:
    spool.drop("a.json", text)
    assert both(spool, "a") == ("job", "claimed")
    assert spool.job("a").attempts == 1


def test_a_file_is_claimed_at_once_however_young_it_is(spool: Home) -> None:
    """Half a file never parses, so a whole one has no need to wait."""
    spool.drop("a.json", '{"command":"true"}', still_s=0)
    assert both(spool, "a") == ("job", "claimed")


def test_looking_at_a_file_does_not_change_it(spool: Home) -> None:
    """Hole H23."""
    path = spool.drop("a.json", '{"command":"true"}')
    before = path.stat()
    opened: list[int] = []

    class Watching(Files):
        def open(self, path: str, flags: int) -> int:
            opened.append(flags & os.O_ACCMODE)
            return super().open(path, flags)

    spool.files = Watching()
    assert look(spool, "a.json")[0] == "job"
    after = path.stat()
    assert (after.st_mtime_ns, after.st_ctime_ns, after.st_ino) == (
        before.st_mtime_ns,
        before.st_ctime_ns,
        before.st_ino,
    )
    assert opened == [os.O_RDONLY]


@pytest.mark.parametrize("mode", [0o660, 0o620, 0o664, 0o400, 0o444])
def test_a_mode_that_is_too_wide_or_too_narrow_is_set_right(spool: Home, mode: int) -> None:
    path = spool.drop("a.json", '{"command":"true"}')
    path.chmod(mode)
    assert both(spool, "a") == ("job", "claimed")
    if mode & 0o020 or not IS_ROOT:
        assert stat.S_IMODE(spool.path(PROCESSING, "a").stat().st_mode) == 0o600


def test_a_mode_that_others_may_read_is_left_alone(spool: Home) -> None:
    spool.drop("a.json", '{"command":"true"}').chmod(0o644)
    assert both(spool, "a") == ("job", "claimed")


# --- what is none of our business


@pytest.mark.parametrize("name", [".a.json", "a.json.tmp", "a.json.part", "a.json~", "a.txt", "a", "a.json.swp"])
def test_a_file_being_written_under_another_name_is_ignored(spool: Home, name: str) -> None:
    path = spool.drop(name, "garbage")
    assert look(spool, name)[0] == "ignored"
    assert path.read_text() == "garbage"


def test_a_file_that_has_gone_is_gone(spool: Home) -> None:
    assert both(spool, "a") == ("gone", "gone")


# --- what is still being written


@pytest.mark.parametrize("text", ["", "{", '{"command":"tr', '{"command":"true"', "garbage", '{"command":"true"}x'])
def test_what_does_not_parse_is_left_alone_until_it_has_been_still(spool: Home, text: str) -> None:
    path = spool.drop("a.json", text, still_s=0)
    assert both(spool, "a") == ("being written", "being written")
    spool.clock.advance(GRACE - 0.5)
    answer = spool.examine("a.json")
    assert isinstance(answer, NotNow)
    assert answer.again_s == pytest.approx(0.5)
    assert path.read_text() == text
    spool.clock.advance(0.5)
    assert look(spool, "a.json")[0] == "rejected"
    assert list(spool.rejected()) == ["a.json"]


def test_every_change_begins_the_waiting_anew(spool: Home) -> None:
    path = spool.drop("a.json", '{"comm', still_s=0)
    assert look(spool, "a.json")[0] == "being written"
    for text in ('{"command', '{"command":"tr'):
        spool.clock.advance(GRACE - 1)
        spool.drop("a.json", text, still_s=0)
        assert look(spool, "a.json")[0] == "being written"
    spool.clock.advance(GRACE - 1)
    path.write_text('{"command":"true"}')
    assert both(spool, "a") == ("job", "claimed")


def test_a_file_from_the_future_is_watched_on_the_clock_that_does_not_jump(spool: Home) -> None:
    """The wall clock was set back, or the file was made elsewhere: its age would never come. Proves G15."""
    spool.drop("a.json", "garbage", still_s=-86400.0)
    assert look(spool, "a.json")[0] == "being written"
    spool.clock.advance(GRACE - 1)
    assert look(spool, "a.json")[0] == "being written"
    spool.clock.set_back(10**6)
    spool.clock.advance(1)
    assert look(spool, "a.json")[0] == "rejected"


def test_a_file_from_the_future_that_is_a_job_runs_at_once(spool: Home) -> None:
    spool.drop("a.json", '{"command":"true"}', still_s=-86400.0)
    assert both(spool, "a") == ("job", "claimed")


def test_as_long_as_somebody_has_it_open_for_writing_it_waits(spool: Home) -> None:
    """Hole H22."""
    path = spool.drop("a.json", '{"command":"true"}')
    with path.open("r+"):
        assert both(spool, "a") == ("job", "being written")
        assert path.read_text() == '{"command":"true"}'
    with path.open("r"):
        assert both(spool, "a") == ("job", "claimed")


def test_a_broken_file_that_somebody_has_open_is_not_rejected(spool: Home) -> None:
    path = spool.drop("a.json", '{"command":"tr')
    with path.open("r+") as writer:
        assert both(spool, "a") == ("being written", "being written")
        assert path.exists()
        writer.write('{"command":"true"}')
    assert both(spool, "a") == ("job", "claimed")


def test_a_file_that_changes_between_two_looks_is_not_claimed(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its writer came back just when we had asked whether there was one."""
    path = spool.drop("a.json", '{"command":"true"}')

    def meanwhile(self: Files, name: str) -> bool:
        path.write_text('{"command":"true" }')
        return False

    monkeypatch.setattr(Files, "has_writer", meanwhile)
    assert claim(spool, "a")[0] == "being written"
    monkeypatch.undo()
    assert claim(spool, "a")[0] == "claimed"


def test_a_file_that_changes_while_it_is_judged_is_not_rejected(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    path = spool.drop("a.json", '{"command":"tr')
    real = Files.read

    def meanwhile(self: Files, fd: int, limit: int) -> bytes:
        data = real(self, fd, limit)
        path.write_text('{"command":"true"}')
        return data

    monkeypatch.setattr(Files, "read", meanwhile)
    assert look(spool, "a.json")[0] == "being written"
    monkeypatch.undo()
    assert both(spool, "a") == ("job", "claimed")


def test_a_locked_file_is_tried_again_soon(spool: Home) -> None:
    """Hole H19."""
    job_id = spool.put("pending")
    with spool.take(job_id):
        reason, answer = claim(spool, job_id)
    assert isinstance(answer, NotNow)
    assert (reason, answer.again_s) == ("busy", 0.02)


# --- what is never a job

BROKEN: list[tuple[str | bytes, str]] = [
    (b"", "line 1, column 1: expected an object, the file is empty"),
    ("[]", "line 1, column 1: expected an object"),
    ('{"command": "echo "hi""}', "line 1, column 20: expected ',' or '}'"),
    (b'{"command":"\xff"}', "line 1, column 13: byte 0xff is not UTF-8"),
    (b'\xef\xbb\xbf{"command":"true"}', "byte order mark"),
    (b'{"command":"a\0"}', "byte 13 is NUL"),
    ('{"command":"a\\u0000"}', "line 1, column 12: this string holds the character NUL"),
    ('{"command":"true","x":NaN}', "line 1, column 23: expected a JSON value, found NaN"),
    ('{"command":"true","x":1e999}', "the number 1e999 is too large"),
    ('{"command":"a","command":"b"}', 'line 1, column 16: the key "command" stands twice'),
    ('{"command":"\\ud800"}', "half of a surrogate pair"),
    ('{"command":"true","x":' + "[" * 40 + "]" * 40 + "}", "nested more than 32 deep"),
    ('{"command":"true","x":' + "[" * 100_000, "nested more than 32 deep"),
    ('{"command":"true","x":' + "9" * 5000 + "}", "a number of 5000 characters"),
    ('{"command":"true"} {"command":"true"}', "expected the end of the file"),
    ('{"command":"true",\n "priority":"high"}', 'line 2, column 2: "priority" must be an integer from -1000 to 1000'),
    ('{"command":"true","after":["a"]}', "does not support it yet"),
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
    assert isinstance(answer, NotNow)
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
    "world-writable": (make_open, "may be written by everybody (mode 0606)"),
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
    assert isinstance(answer, NotNow)
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
    assert isinstance(answer, NotNow)
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
        assert isinstance(answer, NotNow)
        assert (reason, answer.again_s) == ("unreadable", 30.0)
        assert "cannot be set aside" in answer.detail


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
        assert isinstance(answer, NotNow)
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
    assert isinstance(answer, NotNow)
    assert (reason, answer.again_s) == ("linked", 0.005)
    spool.clock.advance(1)
    reason, answer = claim(spool, "a")
    assert isinstance(answer, NotNow)
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


# --- ids: a promise and a wish


@pytest.mark.parametrize("state", ["completed", "dead"])
def test_an_id_inside_is_a_promise(spool: Home, state: str) -> None:
    spool.put(state, id="taken")
    spool.drop("other.json", {"command": "true", "id": "taken"})
    reason, answer = look(spool, "other.json")
    assert isinstance(answer, NotNow)
    assert reason == "rejected"
    assert "duplicate-of taken" in answer.detail
    spool.drop("taken.json", {"command": "true", "id": "taken"})
    assert claim(spool, "taken")[0] == "rejected"


def test_a_promise_that_waits_already_is_a_duplicate(spool: Home) -> None:
    spool.put("pending", id="taken")
    spool.drop("other.json", {"command": "false", "id": "taken"})
    assert look(spool, "other.json")[0] == "rejected"
    assert spool.job("taken").command == "true"


def test_a_promise_under_another_name_is_renamed(spool: Home) -> None:
    for ask in (look, claim):
        name = "drop.json" if ask is look else "drop"
        spool.drop("drop.json", {"command": "true", "id": f"real-{ask.__name__}"})
        reason, answer = ask(spool, name)
        assert isinstance(answer, NotNow)
        assert (reason, answer.job_id, answer.again_s) == ("renamed", f"real-{ask.__name__}", 0.0)
        assert claim(spool, f"real-{ask.__name__}")[0] == "claimed"


@pytest.mark.parametrize("ask", [look, claim])
@pytest.mark.parametrize("state", ["completed", "dead", "processing"])
def test_a_name_is_a_wish(spool: Home, state: str, ask: Callable[[Home, str], tuple[str, Answer]]) -> None:
    """A nightly backup.json runs every night, and the jobs of earlier nights keep their id."""
    spool.drop("backup.json", {"command": "first"})
    running = spool.start("backup")
    if state != "processing":
        running.finish({}) if state == "completed" else running.bury("x", {})
    spool.drop("backup.json", {"command": "second"})
    reason, answer = ask(spool, "backup" if ask is claim else "backup.json")
    assert isinstance(answer, NotNow)
    assert reason == "renamed"
    assert answer.job_id is not None
    assert answer.job_id.startswith("backup-")
    with spool.start(answer.job_id) as got:
        assert got.job.command == "second"
    assert spool.rejected() == {}
    running.close()


def test_the_longest_wish_can_be_renamed(spool: Home) -> None:
    name = "x" * 128
    for _ in range(2):
        spool.drop(f"{name}.json", {"command": "true"})
        _, answer = claim(spool, name)
        if isinstance(answer, Claim):
            answer.finish({})
            answer.close()
    assert isinstance(answer, NotNow)
    assert answer.job_id is not None
    assert len(answer.job_id) == 128
    assert claim(spool, answer.job_id)[0] == "claimed"


# --- when a job may start


def test_a_job_waits_for_its_time(spool: Home) -> None:
    job_id = spool.put("pending", run_at=spell(NOON + 90))
    reason, answer = claim(spool, job_id)
    assert isinstance(answer, NotNow)
    assert (reason, answer.again_s) == ("early", 90.0)
    spool.clock.advance(90)
    assert claim(spool, job_id)[0] == "claimed"


def test_a_held_job_does_not_start(spool: Home) -> None:
    assert both(spool, spool.put("held")) == ("job", "held")


def test_a_job_that_has_expired_is_dead(spool: Home) -> None:
    job_id = spool.put("pending", expires_at=spell(NOON + 10))
    spool.clock.advance(11)
    assert claim(spool, job_id)[0] == "moved"
    job = spool.job(job_id)
    assert (job.state, job.dead_reason, job.attempts) == ("dead", "expired", 0)


def test_a_held_job_does_not_expire_before_it_is_released(spool: Home) -> None:
    job_id = spool.put("held", expires_at=spell(NOON + 10))
    spool.clock.advance(11)
    assert claim(spool, job_id)[0] == "held"


def test_a_retry_does_not_wait_for_a_clock_that_was_set_back(spool: Home) -> None:
    """Proves G15."""
    job_id = spool.put("failed")
    spool.clock.set_back(10 * 365 * 86400)
    assert claim(spool, job_id)[0] == "claimed"


@pytest.mark.parametrize(("state", "event"), [("completed", "completed"), ("dead", "died"), ("cancelled", "cancelled")])
def test_what_has_ended_never_runs_again_wherever_it_lies(spool: Home, state: str, event: str) -> None:
    """A revival that was cut off, or a file that somebody moved by hand. Proves G7. Hole H15."""
    job_id = spool.put(state)
    (directory,) = spool.where(job_id)
    os.rename(spool.path(directory, job_id), spool.path(PENDING, job_id))
    assert claim(spool, job_id)[0] == "moved"
    assert spool.where(job_id) == [directory]
    assert spool.events(job_id)[-1:] == [event]


def test_a_start_whose_move_was_lost_counts_as_an_interruption(spool: Home) -> None:
    """The power cut took back the move to processing/, but not the growth: a job that brings the machine down counts.

    Proves G5, G6.
    """
    job_id = spool.put("pending")
    spool.start(job_id).close()
    for number in (1, 2, 3):
        os.rename(spool.path(PROCESSING, job_id), spool.path(PENDING, job_id))
        reason, answer = claim(spool, job_id)
        if isinstance(answer, Claim):
            answer.close()
        assert reason == ("claimed" if number < 3 else "moved")
    assert spool.job(job_id).dead_reason == "interrupted"
    assert spool.events(job_id) == ["started", "interrupted"] * 2 + ["started", "died"]


def test_a_job_moved_back_by_hand_while_its_command_lives_does_not_start(spool: Home) -> None:
    """Proves G4."""
    job_id = spool.put("pending")
    spool.start(job_id).close()
    output = os.open(spool.layout.output_of(job_id, 1), os.O_CREAT | os.O_WRONLY)
    assert spool.files.try_lock(output)
    os.rename(spool.path(PROCESSING, job_id), spool.path(PENDING, job_id))
    assert claim(spool, job_id)[0] == "busy"
    os.close(output)
    assert claim(spool, job_id)[0] == "claimed"


# --- strangers that slip in


def test_a_stranger_that_takes_the_name_in_between_goes_back(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was locked and read is what runs, or nothing. Hole H20."""
    job_id = spool.put("pending")
    real = Files.move

    def slip_in(self: Files, source: str, target: str) -> None:
        monkeypatch.undo()
        os.rename(spool.drop(".new", '{"command":"evil"}'), source)
        real(self, source, target)

    monkeypatch.setattr(Files, "move", slip_in)
    assert claim(spool, job_id)[0] == "busy"
    assert spool.where(job_id) == [PENDING]
    assert spool.text(PENDING, job_id) == '{"command":"evil"}'


def test_a_stranger_that_finds_his_name_taken_on_the_way_back_gets_another(
    spool: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = spool.put("pending")
    real = Files.move
    moves: list[str] = []

    def slip_in(self: Files, source: str, target: str, **how: bool) -> None:
        moves.append(target)
        if len(moves) <= 2:  # in place of ours, then in the place it came from
            os.rename(spool.drop(".new", f'{{"command":"echo {len(moves)}"}}'), spool.path(PENDING, job_id))
        real(self, source, target, **how)

    monkeypatch.setattr(Files, "move", slip_in)
    assert claim(spool, job_id)[0] == "busy"
    monkeypatch.undo()
    commands = sorted(spool.job(each).command for each in spool.ids(PENDING))
    assert commands == ["echo 1", "echo 2"]
    assert spool.where(job_id) == [PENDING]
    assert os.listdir(spool.layout.directory(PROCESSING)) == []


def test_a_job_that_vanishes_in_between_is_not_claimed(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = spool.put("pending")
    real = Files.move

    def vanish(self: Files, source: str, target: str) -> None:
        os.unlink(source)
        real(self, source, target)

    monkeypatch.setattr(Files, "move", vanish)
    assert claim(spool, job_id)[0] == "busy"
    assert spool.where(job_id) == []


def test_somebody_in_processing_under_our_name_makes_way(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody but a claim has business there; it was not there when we looked."""
    job_id = spool.put("pending")
    real = Files.move

    def appear(self: Files, source: str, target: str) -> None:
        monkeypatch.undo()
        spool.path(PROCESSING, job_id).write_text("x")
        real(self, source, target)

    monkeypatch.setattr(Files, "move", appear)
    assert claim(spool, job_id)[0] == "claimed"
    assert list(spool.rejected()) == [f"{job_id}.json"]


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


def test_the_memory_of_restless_files_is_bounded(spool: Home) -> None:
    for number in range(30):
        spool.restless.still_in_s(spool, f"a{number}", spool.clock.now() + 10, (number,))
    assert len(spool.restless._seen) == 30
    spool.restless.forget("a3")
    assert len(spool.restless._seen) == 29


# --- renaming where the system cannot do it at once


class Killed(BaseException):
    """The process dies here."""


class DiesBetween(Old):
    """Dies after the link of a move in two steps, before the unlink."""

    def unlink(self, path: str) -> None:
        raise Killed


def test_a_renaming_cut_short_leaves_one_job(tmp_path: Path) -> None:
    """The file has both names; under which it is looked at first does not matter."""
    for first, second in (("drop", "real"), ("real", "drop")):
        spool = Home(tmp_path / first, files=DiesBetween())
        spool.drop("drop.json", {"id": "real", "command": "true"})
        with pytest.raises(Killed):
            claim(spool, "drop")
        assert sorted(spool.ids(PENDING)) == ["drop", "real"]
        spool.files = Old()
        for _ in range(3):
            for job_id in (first, second):
                seen, answer = look(spool, f"{job_id}.json")
                assert seen in ("job", "gone", "renamed"), answer
        assert list(spool.ids(PENDING)) == ["real"]
        assert claim(spool, "real")[0] == "claimed"
        assert spool.rejected() == {}


def test_a_renaming_to_a_fresh_id_takes_one_step(tmp_path: Path) -> None:
    """A name that is a wish gets an id of its own; with two of them it would run twice."""
    spool = Home(tmp_path / "home", files=DiesBetween())
    spool.drop("backup.json", {"command": "true"})
    spool.path(DONE, "backup").write_text('{"command":"true","history":[]}')
    seen, answer = look(spool, "backup.json")
    assert isinstance(answer, NotNow)
    assert (seen, list(spool.ids(PENDING))) == ("renamed", [answer.job_id])
