"""Every system call on the spool does what its one line says."""

from __future__ import annotations

import errno
import os
import signal
import stat
from pathlib import Path

import pytest

from queuectl.spool.fs import APPEND, CHANGE, CREATE, READ, Files
from tests.support.faulty_fs import Named, Old


@pytest.fixture(params=[Files, Old, Named])
def files(request: pytest.FixtureRequest) -> Files:
    made: Files = request.param()
    return made


def test_a_move_takes_the_name_along_and_never_overwrites(files: Files, tmp_path: Path) -> None:
    """Proves G9."""
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    Path(a).write_text("a")
    files.move(a, b)
    assert os.listdir(tmp_path) == ["b"]
    Path(a).write_text("new")
    with pytest.raises(FileExistsError):
        files.move(a, b)
    with pytest.raises(FileNotFoundError):
        files.move(str(tmp_path / "none"), str(tmp_path / "c"))
    assert (Path(a).read_text(), Path(b).read_text()) == ("new", "a")


def test_a_move_takes_links_and_directories_themselves(files: Files, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "directory" / "inside").mkdir(parents=True)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "to").mkdir()
    for name in ("link", "directory", "fifo"):
        files.move(str(tmp_path / name), str(tmp_path / "to" / name))
    assert (tmp_path / "to" / "link").is_symlink()
    assert (tmp_path / "to" / "directory" / "inside").is_dir()
    assert stat.S_ISFIFO((tmp_path / "to" / "fifo").stat().st_mode)
    (tmp_path / "other").mkdir()
    with pytest.raises(FileExistsError):
        files.move(str(tmp_path / "other"), str(tmp_path / "to" / "directory"))
    assert (tmp_path / "target").read_text() == "x"


def test_an_exchange_swaps_or_says_that_it_replaced(files: Files, tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("a")
    b.write_text("b")
    swapped = files.exchange(str(a), str(b))
    assert swapped == (type(files) is Files)
    assert b.read_text() == "a"
    assert a.exists() == swapped


def test_a_published_file_appears_whole_under_one_name(files: Files, tmp_path: Path) -> None:
    tmp, target = tmp_path / "tmp", tmp_path / "target"
    tmp.mkdir()
    fd, name = files.create(str(tmp))
    assert (name is None) == (type(files) is not Named)
    files.write(fd, b"whole", 0)
    assert not target.exists()
    files.publish(fd, name, str(target))
    assert target.read_bytes() == b"whole"
    assert (os.fstat(fd).st_nlink, stat.S_IMODE(os.fstat(fd).st_mode)) == (1, 0o600)
    assert os.listdir(tmp) == []
    files.close(fd)
    fd, name = files.create(str(tmp))
    with pytest.raises(FileExistsError):
        files.publish(fd, name, str(target))
    files.close(fd)
    assert target.read_bytes() == b"whole"


def test_what_is_created_is_private_whatever_the_umask(files: Files, tmp_path: Path) -> None:
    """Proves G17."""
    before = os.umask(0)
    try:
        fd, _ = files.create(str(tmp_path))
        assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o600
        files.close(fd)
        files.close(files.open(str(tmp_path / "new"), CREATE))
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_a_file_system_without_unnamed_files_is_noticed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, real = Files(), os.open

    def refuse(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no")
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    for _ in range(2):
        fd, name = files.create(str(tmp_path))
        assert name is not None
        files.close(fd)
    assert len(os.listdir(tmp_path)) == 2


def test_nothing_is_opened_through_a_link_and_no_fifo_makes_us_wait(tmp_path: Path) -> None:
    files = Files()
    (tmp_path / "target").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / "fifo")
    for flags in (READ, CHANGE, APPEND):
        with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
            files.open(str(tmp_path / "link"), flags)
    for flags in (READ, CHANGE):
        files.close(files.open(str(tmp_path / "fifo"), flags))
    with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):
        files.open(str(tmp_path / "fifo"), APPEND)


def test_no_descriptor_reaches_a_command(tmp_path: Path) -> None:
    """Hole H9."""
    files = Files()
    path = str(tmp_path / "a")
    fds = [files.open(path, CREATE), files.open(path, READ), files.open(path, CHANGE), files.create(str(tmp_path))[0]]
    assert not any(os.get_inheritable(fd) for fd in fds)
    for fd in fds:
        files.close(fd)


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 200_000])
def test_a_file_is_read_whole_up_to_the_limit(tmp_path: Path, size: int) -> None:
    files = Files()
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    fd = files.open(str(tmp_path / "a"), READ)
    assert files.read(fd, 1 << 20) == data
    assert len(files.read(fd, 100_000)) <= 100_001
    assert files.read_at(fd, 10, 5) == data[5:15]
    files.close(fd)


def test_a_sparse_giant_is_not_read(tmp_path: Path) -> None:
    files = Files()
    path = tmp_path / "a"
    path.write_bytes(b"")
    os.truncate(path, 10 << 30)
    fd = files.open(str(path), READ)
    assert len(files.read(fd, 1 << 20)) == (1 << 20) + 1
    files.close(fd)


def test_a_write_that_comes_up_short_goes_on_or_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, real = Files(), os.pwrite
    fd = files.open(str(tmp_path / "a"), CREATE)
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, data[:3], offset))
    files.write(fd, b"0123456789", 2)
    assert files.read(fd, 100) == b"\0\x000123456789"
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: 0)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        files.write(fd, b"x", 0)
    files.close(fd)


def test_a_lock_belongs_to_one_and_asking_does_not_take_it(tmp_path: Path) -> None:
    files = Files()
    path = str(tmp_path / "a")
    one, other, third = files.open(path, CREATE), files.open(path, READ), files.open(path, READ)
    assert not files.is_locked(other)
    assert not files.is_locked(third)  # although `other` has just asked
    files.close(other)
    files.close(third)
    other = files.open(path, READ)
    assert files.try_lock(one)
    assert not files.try_lock(other)
    assert files.is_locked(other)
    files.close(one)
    assert files.try_lock(other)
    files.close(other)


def test_a_writer_is_noticed_and_a_reader_is_none(tmp_path: Path) -> None:
    files = Files()
    path = str(tmp_path / "a")
    fd = files.open(path, CREATE)
    assert files.has_writer(path)
    files.close(fd)
    assert not files.has_writer(path)
    fd = files.open(path, READ)
    assert not files.has_writer(path)
    files.close(fd)
    with pytest.raises(FileNotFoundError):
        files.has_writer(str(tmp_path / "none"))


def test_a_lease_that_breaks_does_not_end_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody opens the file for writing the moment we hold the lease: the signal that tells so is ignored."""
    import fcntl

    path = str(tmp_path / "a")
    Path(path).touch()
    real = fcntl.fcntl
    told: list[int] = []
    before = signal.signal(signal.SIGIO, lambda number, _: told.append(number))

    def while_leased(fd: int, command: int, argument: int = 0) -> int:
        answer = real(fd, command, argument)
        if command == fcntl.F_SETLEASE and argument == fcntl.F_RDLCK:
            pid = os.fork()
            if pid == 0:
                try:
                    os.open(path, os.O_WRONLY | os.O_NONBLOCK)
                finally:
                    os._exit(0)
            os.waitpid(pid, 0)
        return int(answer)

    monkeypatch.setattr(fcntl, "fcntl", while_leased)
    try:
        assert not Files().has_writer(path)
    finally:
        signal.signal(signal.SIGIO, before)
    assert told == []
    assert signal.getsignal(signal.SIGURG) == signal.SIG_DFL


def test_a_file_system_without_leases_has_no_writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refuse(*_: object) -> int:
        raise OSError(errno.EINVAL, "no leases")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    (tmp_path / "a").touch()
    assert not Files().has_writer(str(tmp_path / "a"))


def test_what_was_appended_is_forgotten_and_what_came_meanwhile_is_kept(tmp_path: Path) -> None:
    files = Files()
    path = str(tmp_path / "changes")
    assert files.take(path) == b""
    files.append(path, b"a\n")
    files.append(path, b"b\n")
    seen = files.take(path)
    assert seen == b"a\nb\n"
    files.append(path, b"c\n")
    files.forget(path, len(seen))
    assert files.take(path) == b"c\n"
    files.forget(path, 2)
    files.forget(path, 2)
    assert files.take(path) == b""


def test_small_questions_have_answers(tmp_path: Path) -> None:
    files = Files()
    (tmp_path / "dangling").symlink_to("nowhere")
    assert files.exists(str(tmp_path / "dangling"))
    assert not files.exists(str(tmp_path / "nowhere"))
    assert files.lstat(str(tmp_path / "nowhere")) is None
    assert stat.S_ISLNK(files.lstat(str(tmp_path / "dangling")).st_mode)  # type: ignore[union-attr]
    assert set(files.names(str(tmp_path))) == {"dangling"}
    assert len({files.fresh_name("/x") for _ in range(100)}) == 100
    free, total = files.free_bytes(str(tmp_path))
    assert 0 < free <= total


def test_a_file_is_synced_cut_and_reserved(tmp_path: Path) -> None:
    files = Files()
    fd = files.open(str(tmp_path / "a"), CREATE)
    files.reserve(fd, 8192)
    assert files.fstat(fd).st_size == 8192
    files.truncate(fd, 10)
    files.chmod(fd, 0o400)
    files.sync(fd)
    files.sync_data(fd)
    files.sync_directory(str(tmp_path))
    assert (os.fstat(fd).st_size, stat.S_IMODE(os.fstat(fd).st_mode)) == (10, 0o400)
    files.close(fd)
    os.utime(tmp_path, (1, 1))
    files.touch(str(tmp_path))
    assert tmp_path.stat().st_mtime > 1


def test_however_much_was_appended_is_read_and_forgotten(tmp_path: Path) -> None:
    """run/changes grows with every change made while nobody reads it; its size must not decide what works."""
    files, path = Files(), str(tmp_path / "changes")
    lines = b"".join(b"job-%06d\n" % number for number in range(300_000))
    (tmp_path / "changes").write_bytes(lines)
    assert files.take(path) == lines
    files.append(path, b"late\n")
    files.forget(path, len(lines))
    assert files.take(path) == b"late\n"


def test_what_could_not_be_published_is_told_by_the_name_it_was_to_get(files: Files, tmp_path: Path) -> None:
    """An unnamed file has only the name /proc/self/fd/3, which tells nobody what is wrong."""
    fd, path = files.create(str(tmp_path))
    target = str(tmp_path / "none" / "a.json")
    with pytest.raises(FileNotFoundError) as error:
        files.publish(fd, path, target)
    files.close(fd)
    assert target in (error.value.filename, error.value.filename2)
