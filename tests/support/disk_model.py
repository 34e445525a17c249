"""What a disk may hold after the power went: a model of the weakest file system that our promises still rest on.

`Recorder` writes down what was done to names and bytes. `Disk` follows such a log and tells, at any moment, what a power
cut may leave:

* of the names in a directory, each as it was at any moment since the directory was last synced, whatever became of the
  others; a rename to another directory may have come true at its goal only (btrfs), never at its source only;
* of a file, each sector as it was at any moment since the file was last synced, and NUL where it had not existed at one
  of these; its length as at any of these moments, or at any sector between; its mark (`reading.MARK`) as at a moment
  when it was so long, for both stand in the inode, which fits into a sector;
* what a failed sync did not write is lost even if a later one succeeds, unless it was written once more.

A sync of a file says nothing about its name, a sync of a directory nothing about another. ext4, xfs and btrfs all keep
more than this.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from queuectl.job.job_file import SECTOR_BYTES
from queuectl.spool.layout import FOLDERS
from queuectl.spool.reading import MARK
from tests.support.fault_injection import FaultInjector

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tests.support.fault_injection import Act

    Name = tuple[str, str]  # directory, name
    Files = dict[Name, tuple[int, "Content"]]  # what a cut left: which inode, and what it holds

IGNORED = ("index", "supervisor")  # derived, or of no consequence


class Content(NamedTuple):
    """What a file holds, and whether its inode is marked."""

    data: bytes
    is_marked: bool = False


class Recorder(FaultInjector):
    """Writes a log of all that a disk is told.

    Attributes:
        log: tuples, the first member of which says what happened.
    """

    def __init__(self, home: str, act: Act | None = None) -> None:
        super().__init__(act)
        self._home = home
        self._ids: dict[int, int] = {}
        self._next = 0
        self.log: list[tuple[Any, ...]] = []
        for folder in FOLDERS:
            for entry in os.scandir(f"{home}/{folder}"):
                if entry.is_file(follow_symlinks=False) and not entry.name.startswith(IGNORED):
                    inode = entry.inode()
                    if inode not in self._ids:
                        self._ids[inode] = self._new()
                        self.log.append(("content", self._ids[inode], _content_of(entry.path)))
                    self._entry(entry.path, self._ids[inode])
                    self.log[-1] = ("was", *self.log[-1][1:])

    def _new(self) -> int:
        self._next += 1
        return self._next

    def _id(self, inode: int) -> int:
        if inode not in self._ids:
            self._ids[inode] = self._new()
            self.log.append(("content", self._ids[inode], Content(b"")))
        return self._ids[inode]

    def _of(self, fd: int) -> int:
        return self._id(os.fstat(fd).st_ino)

    def _at(self, path: str) -> int:
        return self._id(os.lstat(path).st_ino)

    def _entry(self, path: str, inode: int | None) -> None:
        self.log.append(("entry", os.path.split(path[len(self._home) + 1 :]), inode))

    # --- bytes

    def write(self, fd: int, data: bytes, offset: int) -> None:
        try:
            super().write(fd, data, offset)
        finally:  # a short write has written as well
            self._content(fd)

    def truncate(self, fd: int, size: int) -> None:
        super().truncate(fd, size)
        self._content(fd)

    def _content(self, fd: int) -> None:
        is_marked = bool(os.fstat(fd).st_mode & MARK)
        self.log.append(("content", self._of(fd), Content(os.pread(fd, 1 << 30, 0), is_marked)))

    def chmod(self, fd: int, mode: int) -> None:
        super().chmod(fd, mode)
        self._content(fd)

    def append(self, path: str, data: bytes) -> None:
        is_new = not os.path.lexists(path)
        super().append(path, data)
        inode = self._at(path)
        if is_new:
            self._entry(path, inode)
        self.log.append(("content", inode, _content_of(path)))

    def forget(self, path: str, size: int) -> None:
        super().forget(path, size)
        self.log.append(("content", self._at(path), _content_of(path)))

    # --- syncs

    def sync(self, fd: int) -> None:
        self._sync(fd, super().sync)

    def sync_data(self, fd: int) -> None:
        self._sync(fd, super().sync_data)

    def _sync(self, fd: int, call: Any) -> None:
        inode = self._of(fd)
        try:
            call(fd)
        except OSError:
            self.log.append(("not synced", inode))
            raise
        self.log.append(("synced", inode))

    def sync_directory(self, path: str) -> None:
        super().sync_directory(path)
        self.log.append(("directory synced", path[len(self._home) + 1 :]))

    # --- names

    def open(self, path: str, flags: int) -> int:
        is_new = bool(flags & os.O_CREAT) and not os.path.lexists(path)
        fd = super().open(path, flags)
        if is_new:
            self._forget(fd)
            self._entry(path, self._of(fd))
        return fd

    def create(self, directory: str) -> tuple[int, str | None]:
        fd, path = super().create(directory)
        self._forget(fd)
        if path is not None:
            self._entry(path, self._of(fd))
        return fd, path

    def _forget(self, fd: int) -> None:
        """The number may have been that of a file that has gone."""
        self._ids.pop(os.fstat(fd).st_ino, None)

    def publish(self, fd: int, path: str | None, target: str) -> None:
        super().publish(fd, path, target)
        if path is None:
            self._entry(target, self._of(fd))

    def link(self, source: str, target: str) -> None:
        super().link(source, target)
        self._entry(target, self._at(target))

    def unlink(self, path: str) -> None:
        super().unlink(path)
        self._entry(path, None)

    def move(self, source: str, target: str, *, is_fresh: bool = False) -> None:
        before = len(self.log)
        super().move(source, target, is_fresh=is_fresh)
        if len(self.log) == before:  # else it was linked and unlinked
            self._entry(target, self._at(target))
            self._entry(source, None)
            self.log[-2:] = [("rename", *self.log[-2][1:], self.log[-1][1])]

    def exchange(self, one: str, other: str) -> bool:
        was_swapped = super().exchange(one, other)
        self._entry(other, self._at(other))
        self._entry(one, self._at(one) if was_swapped else None)
        return was_swapped


def _content_of(path: str) -> Content:
    return Content(Path(path).read_bytes(), bool(os.lstat(path).st_mode & MARK))


class _Name:
    """The values of one name since its directory was last synced, each with the rename that is its condition."""

    def __init__(self) -> None:
        self.values: list[int | None] = [None]
        self.needs: list[tuple[Name, int] | None] = [None]  # another name, and the count from which it has to be
        self.first = 0  # the count of the first of `values`

    @property
    def now(self) -> int | None:
        return self.values[-1]

    @property
    def count(self) -> int:
        return self.first + len(self.values) - 1

    def set(self, value: int | None, need: tuple[Name, int] | None = None) -> None:
        self.values.append(value)
        self.needs.append(need)

    def settle(self, count: int) -> None:
        """Whatever was before `count` is over."""
        keep = count - self.first
        if keep > 0:
            del self.values[:keep], self.needs[:keep]
            self.first = count


class _Bytes:
    """The contents of one file since it was last synced."""

    def __init__(self) -> None:
        self.contents: list[Content] = [Content(b"")]
        self.is_doubtful = False

    def set(self, content: Content) -> None:
        self.contents.append(content)
        self.is_doubtful = False

    def synced(self) -> None:
        if not self.is_doubtful:
            del self.contents[:-1]

    def not_synced(self) -> None:
        self.is_doubtful = len(self.contents) > 1

    def mixed(self, chance: random.Random) -> Content:
        """Return one of the contents that a cut may leave."""
        if len(self.contents) == 1:
            return self.contents[0]
        lengths = sorted({len(content.data) for content in self.contents})
        between = range(lengths[0] // SECTOR_BYTES + 1, lengths[-1] // SECTOR_BYTES + 1)
        length = chance.choice([*lengths, *(number * SECTOR_BYTES for number in between)])
        parts = []
        for start in range(0, length, SECTOR_BYTES):
            end = min(start + SECTOR_BYTES, length)
            parts.append(chance.choice(self.contents).data[start:end].ljust(end - start, b"\0"))
        alike = [content for content in self.contents if len(content.data) == length]
        longer = [content for content in self.contents if len(content.data) > length]
        return Content(b"".join(parts), chance.choice(alike or longer).is_marked)


class Disk:
    """Follows a log."""

    def __init__(self) -> None:
        self._names: dict[Name, _Name] = {}
        self._bytes: dict[int, _Bytes] = {}

    def follow(self, step: tuple[Any, ...]) -> None:
        kind = step[0]
        if kind == "content":
            self._bytes.setdefault(step[1], _Bytes()).set(step[2])
        elif kind == "synced":
            self._bytes.setdefault(step[1], _Bytes()).synced()
        elif kind == "not synced":
            self._bytes.setdefault(step[1], _Bytes()).not_synced()
        elif kind == "was":
            self._bytes[step[2]].synced()
            name = self._name(step[1])
            name.set(step[2])
            name.settle(name.count)
        elif kind == "entry":
            self._name(step[1]).set(step[2])
        elif kind == "rename":
            goal = self._name(step[1])
            source = self._name(step[3])
            is_within = step[1][0] == step[3][0]
            goal.set(step[2], (step[3], source.count + 1) if is_within else None)
            source.set(None, (step[1], goal.count))
        elif kind == "directory synced":
            self._directory_synced(step[1])

    def _name(self, name: Name) -> _Name:
        return self._names.setdefault(name, _Name())

    def _directory_synced(self, directory: str) -> None:
        for key, name in self._names.items():
            if key[0] == directory:
                for need in name.needs:
                    if need is not None:
                        self._names[need[0]].settle(need[1])
                name.settle(name.count)

    # --- what a cut may leave

    def states(self, chance: random.Random, count: int) -> Iterator[Files]:
        """Yield what a cut may leave: nothing of what was not synced, all of it, all but one, one alone, and at random."""
        open_names = [key for key, name in self._names.items() if len(name.values) > 1]
        open_bytes = [inode for inode, data in self._bytes.items() if len(data.contents) > 1]
        yield self._state({}, {}, newest=False)
        if not open_names and not open_bytes:
            return
        yield self._state({}, {}, newest=True)
        for key in open_names:
            name = self._names[key]
            yield self._state({key: name.count}, {}, newest=False)
            yield self._state({key: name.first}, {}, newest=True)
        for _ in range(count):
            places = {key: chance.randint(self._names[key].first, self._names[key].count) for key in open_names}
            contents = {inode: self._bytes[inode].mixed(chance) for inode in open_bytes}
            yield self._state(places, contents, newest=chance.random() < 0.5)

    def worst(self) -> Files:
        """Return what is left when nothing survives that was not synced."""
        return self._state({}, {}, newest=False)

    def _state(self, places: dict[Name, int], contents: dict[int, Content], *, newest: bool) -> Files:
        where = {key: places.get(key, name.count if newest else name.first) for key, name in self._names.items()}
        is_settled = False
        while not is_settled:  # the goal of a rename is there before its source has gone
            is_settled = True
            for key, name in self._names.items():
                for need in name.needs[: where[key] - name.first + 1]:
                    if need is not None and where[need[0]] < need[1]:
                        where[need[0]] = need[1]
                        is_settled = False
        found: Files = {}
        for key, name in self._names.items():
            inode = name.values[where[key] - name.first]
            if inode is not None:
                versions = self._bytes[inode].contents
                found[key] = (inode, contents.get(inode, versions[-1] if newest else versions[0]))
        return found


def lay_out(files: Files, home: str) -> None:
    """Make a home that is what a cut left."""
    for folder in FOLDERS:
        os.makedirs(f"{home}/{folder}", 0o700)
    os.chmod(home, 0o700)
    first: dict[int, str] = {}
    for (directory, name), (inode, content) in files.items():
        path = f"{home}/{directory}/{name}"
        if inode in first:
            os.link(first[inode], path)
            continue
        first[inode] = path
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
        try:
            os.write(fd, content.data)
            if content.is_marked:
                os.fchmod(fd, stat.S_IRUSR | stat.S_IWUSR | MARK)
        finally:
            os.close(fd)
