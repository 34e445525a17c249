"""The corpus of bad entries: everything that may lie in the directories of jobs and is none.

Each entry says how it comes about, what has to become of it and, where it is set aside, which words the reason holds.
Commands that none may ever run leave a mark in a directory that has to stay empty.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from queuectl.job.job import DEAD, DONE, PENDING, PROCESSING
from tests.support.chaos import NOBODY
from tests.support.invalid_texts import AT, Text, all_texts

REJECTED, STAYS, ENDS_DONE, ENDS_DEAD = "rejected", "stays", "done", "dead"
IS_ROOT = os.geteuid() == 0
BAD_NAMES = (
    *(b"a b.json", b"-a.json", b"_a.json", b"a\nb.json", b"a\tb.json", b"a\x1b[31mb.json", b"\x7f.json", b"\x01.json"),
    *(b"\xff.json", b"a\xc3.json", b"\xed\xa0\x80.json", "é.json".encode(), "\u202efdp.json".encode()),
    *("a\u200bb.json".encode(), "ａ.json".encode(), "😀.json".encode(), "a\u2028b.json".encode()),
    *(b"$(touch x).json", b"`touch x`.json", b"a;touch x.json", b"a|b.json", b"a&b.json", b"*.json", b"?.json"),
    *(b"a'b.json", b'a"b.json', b"a\\b.json", b"%s%n.json", b"a:b.json", b"a=b.json", b"~a.json", b"#a.json"),
    *(b"a" * 129 + b".json", b"a" * 196 + b".json", b"a" * 250 + b".json", "é".encode() * 125 + b".json"),
    *(b"a,b.json", b"a+b.json", b"{a}.json", b"<a>.json", b"a!.json", b"(a).json", b"a .json"),
)
IGNORED_NAMES = (
    *(b".hidden.json", b".json", b"..json", b"...", b".a.swp", b"a.json.tmp", b"a.json.part", b"a.json~", b"a.tmp"),
    *(b"A.JSON", b"a.Json", b"a", b"json", b"a.json ", b"a.json.bak", b"a.jsonl", b"a.json.reason", b"a.yaml", b"core"),
    *(b"a\n", b"\xff", b"a" * 255, b"Makefile", b"a.json\n"),
)


class Bad(NamedTuple):
    """One entry.

    Attributes:
        make: creates it under this path.
        fate: rejected, stays (as it is), done or dead (it is a job that may not run, or cannot).
        words: what the reason, or the last error of the dead, has to hold.
    """

    label: str
    directory: str
    name: bytes
    make: Callable[[bytes], None]
    fate: str
    words: tuple[str, ...] = ()


class Corpus:
    """Makes the entries.

    Args:
        base: an empty directory beside the home, for the marks and for what links lead to.
        taken: the id of a job that exists.
    """

    def __init__(self, base: Path, taken: str) -> None:
        self.marks = base / "marks"
        self.outside = base / "outside"  # what links lead to; nobody may even open it
        self.elsewhere = base / "elsewhere"  # where entries have a second name
        self._taken = taken
        for path in (self.marks, self.outside, self.elsewhere):
            path.mkdir()
        (self.outside / "directory").mkdir()
        for name in ("secret", "directory/secret"):
            (self.outside / name).write_text(json.dumps({"command": self.mark("through-a-link")}))
            (self.outside / name).chmod(0o600)

    def mark(self, label: str) -> str:
        """Return the command that none may run."""
        return f"touch {self.marks}/{label}"

    def entries(self) -> list[Bad]:
        """Return all of them; each has a name of its own."""
        found: list[Bad] = []
        for text in all_texts(self.mark):
            found += self._of_text(text)
        for make in (self._names, self._kinds, self._owners, self._jobs):
            found += make()
        return found

    def _of_text(self, text: Text) -> Iterator[Bad]:
        """Every text in pending/; each kind of it in the other directories as well."""
        yield Bad(text.label, PENDING, f"p-{text.label}.json".encode(), _writing(text.data), REJECTED, text.words)
        if text.only_pending or (text.label.startswith(("field-", "entry-", "cut-")) and not text.label.endswith("1")):
            return
        yield Bad(text.label, PROCESSING, f"r-{text.label}.json".encode(), _writing(text.data), REJECTED, text.words)
        if len(text.data) < 1 << 20:
            yield Bad(text.label, DONE, f"d-{text.label}.json".encode(), _writing(text.data), STAYS)
            yield Bad(text.label, DEAD, f"x-{text.label}.json".encode(), _writing(text.data), STAYS)

    def _names(self) -> Iterator[Bad]:
        for number, name in enumerate(BAD_NAMES):
            job = self._job(f"name-{number}")
            words = ("bad name", "ID.json", "letters, digits")
            for directory in (PENDING, PROCESSING):
                yield Bad(f"name-{number}", directory, name, job, REJECTED, words)
            yield Bad(f"name-{number}", DONE if number % 2 else DEAD, name, job, STAYS)
        for number, name in enumerate(IGNORED_NAMES):
            job = self._job(f"ignored-{number}")
            yield Bad(f"ignored-{number}", PENDING, name, job, STAYS)
            yield Bad(f"ignored-{number}", PROCESSING, name, job, REJECTED, ("bad name", "ID.json"))
            yield Bad(f"ignored-{number}", DONE if number % 2 else DEAD, name, job, STAYS)

    def _job(self, label: str, mode: int = 0o600, **fields: object) -> Callable[[bytes], None]:
        return _writing(json.dumps({"command": self.mark(label), **fields}).encode(), mode)

    def _kinds(self) -> Iterator[Bad]:
        made: dict[str, tuple[Callable[[bytes], None], str]] = {}
        targets = {
            "file": self.outside / "secret",
            "directory": self.outside / "directory",
            "inside": self.outside / "directory/secret",
            "nowhere": self.outside / "no such file",
            "up": "../../../outside/secret",
            "device": "/dev/zero",
            "memory": "/proc/self/mem",
            "long": "a" * 4000,
            "itself": "k-link-itself.json",
        }
        for label, target in targets.items():
            made[f"link-{label}"] = (_linking(os.fsencode(target)), "a symbolic link")
        made["directory"] = (lambda path: os.mkdir(path, 0o700), "a directory")
        made["directory-full"] = (self._full_directory, "a directory")
        if os.geteuid() == 0:  # nobody else can move a directory that he may not write to: it stays, and is told of
            made["directory-closed"] = (lambda path: os.mkdir(path, 0), "a directory")
        made["fifo"] = (lambda path: os.mkfifo(path, 0o600), "a FIFO")
        made["fifo-closed"] = (lambda path: os.mkfifo(path, 0), "a FIFO")
        made["socket"] = (lambda path: os.mknod(path, stat.S_IFSOCK | 0o600), "a socket")
        if _can_make_devices(self.elsewhere):
            for label, kind, numbers in (
                ("null", stat.S_IFCHR, (1, 3)),
                ("zero", stat.S_IFCHR, (1, 5)),
                ("tty", stat.S_IFCHR, (5, 0)),
                ("loop", stat.S_IFBLK, (7, 99)),
            ):
                made[f"device-{label}"] = (_device(kind, os.makedev(*numbers)), "a device")
        for label, (make, word) in made.items():
            for directory in (PENDING, PROCESSING):
                name = f"k-{label}.json".encode()
                yield Bad(f"kind-{label}", directory, name, make, REJECTED, (word, "not a regular file"))
            yield Bad(f"kind-{label}", DONE, f"k-{label}.json".encode(), make, STAYS)
            yield Bad(f"kind-{label}", DEAD, f"k-dead-{label}.json".encode(), make, STAYS)
        for size in ((2 << 20) + 1, 1 << 30, 1 << 40):
            words = (f"{size} bytes", "at most 2097152 are accepted")
            for directory, fate in ((PENDING, REJECTED), (PROCESSING, REJECTED), (DONE, STAYS)):
                yield Bad(f"sparse-{size}", directory, f"s-{size}.json".encode(), _sparse(size), fate, words)
        yield Bad("sparse", PENDING, b"s-small.json", _sparse(1 << 20), REJECTED, ("line 1, column 1", "byte 0 is NUL"))
        wrong = ('"priority" must be', "line 1, column")
        for label in ("a", "b"):
            bad = {"command": self.mark("hard-link"), "priority": "high"}
            yield Bad("hard-link", PENDING, f"h-{label}.json".encode(), self._hard_link(label, bad), REJECTED, wrong)

    def _full_directory(self, path: bytes) -> None:
        os.mkdir(path, 0o700)
        self._job("inside-a-directory")(path + b"/job.json")

    def _hard_link(self, label: str, fields: dict[str, object]) -> Callable[[bytes], None]:
        def make(path: bytes) -> None:
            other = self.elsewhere / label
            other.write_text(json.dumps(fields))
            other.chmod(0o600)
            os.link(other, path)

        return make

    def _reads_everything(self) -> bool:
        """Tell whether modes hide nothing from us: so it is for root, and for whoever has that capability."""
        hidden = self.elsewhere / "hidden"
        hidden.touch(mode=0o000)
        try:
            hidden.read_bytes()
        except PermissionError:
            return False
        finally:
            hidden.unlink()
        return True

    def _owners(self) -> Iterator[Bad]:
        for mode in (0o602, 0o606, 0o622, 0o666, 0o777, 0o1666, 0o4777):
            words = ("is writable by all users", f"mode {mode:04o}", "chmod 600")
            make = self._job(f"mode-{mode:o}", mode)
            for directory, fate in ((PENDING, REJECTED), (PROCESSING, REJECTED), (DEAD, STAYS)):
                yield Bad(f"mode-{mode:o}", directory, f"m-{mode:o}.json".encode(), make, fate, words)
        for mode in (0o400, 0o4600, 0o2660, 0o660, 0o755):  # as good as any other, but for what it says
            make = self._job(f"mode-{mode:o}", mode, priority="high")
            words = ('"priority" must be', "line 1, column")
            yield Bad(f"mode-{mode:o}", PENDING, f"m-{mode:o}.json".encode(), make, REJECTED, words)
        for mode in (0o000, 0o200):
            make = self._job(f"mode-{mode:o}", mode, priority="high")
            fate = REJECTED if self._reads_everything() else STAYS
            yield Bad(f"mode-{mode:o}", PENDING, f"m-{mode:o}.json".encode(), make, fate, ('"priority" must be',))
        if not IS_ROOT:
            return
        for mode in (0o600, 0o644, 0o4755):
            make = self._given_away(f"owner-{mode:o}", mode)
            words = (f"belongs to user {NOBODY}", "the owner of the queue (0)")
            for directory, fate in ((PENDING, REJECTED), (PROCESSING, REJECTED), (DONE, STAYS), (DEAD, STAYS)):
                name = f"o-{directory}-{mode:o}.json".encode()
                yield Bad(f"owner-{mode:o}", directory, name, make, fate, words)

    def _given_away(self, label: str, mode: int) -> Callable[[bytes], None]:
        def make(path: bytes) -> None:
            self._job(label)(path)
            os.chown(path, NOBODY, NOBODY)
            os.chmod(path, mode)

        return make

    def _jobs(self) -> Iterator[Bad]:
        """Well-formed, and yet not to be run: another has the id, it has ended, it is too late, it cannot be started."""

        def job(label: str, fate: str, *words: str, **fields: object) -> Bad:
            return Bad(label, PENDING, f"j-{label}.json".encode(), self._job(label, **fields), fate, words)

        for number in range(3):
            words = (f"duplicate-of {self._taken}", "a job of this id is in")
            yield job(f"duplicate-{number}", REJECTED, *words, id=self._taken)
        for event, fate in (("completed", DONE), ("cancelled", DONE), ("died", DEAD), ("expired", DEAD)):
            yield job(f"ended-{event}", fate, history=[{"event": event, "at": AT}])
        yield job("too-late", DEAD, expires_at="2001-01-01T00:00:00Z")
        yield job("too-late-zone", DEAD, expires_at="2001-01-01T00:00:00-12:00")
        yield job("after-itself", REJECTED, 'job "j-after-itself" cannot come after itself', after=["j-after-itself"])
        yield job("after-nothing", DEAD, "after: nowhere does not exist", after=["nowhere"])
        yield job("after-rejected", DEAD, "after: p-bom does not exist", after=["p-bom"])
        yield job("needs-nothing", DEAD, "the setting resources.gpu is 0", needs={"gpu": 1})
        for label, fields in {
            "cwd-missing": {"cwd": str(self.outside / "no such directory")},
            "cwd-file": {"cwd": "/etc/passwd"},
            "cwd-long": {"cwd": "/" + "a" * 5000},
        }.items():
            yield job(label, DEAD, "cannot", max_retries=0, **fields)
        for label, env in {"env-long": {"A": "a" * 200_000}, "name-long": {"A" * 200_000: "a"}}.items():
            yield job(label, REJECTED, '"env" must be', "more than 131071 bytes", env=env)
        for label, argv in {"no-program": ["/no/such/program"], "no-script": [str(self.outside)]}.items():
            data = json.dumps({"argv": argv, "max_retries": 0}).encode()
            yield Bad(label, PENDING, f"j-{label}.json".encode(), _writing(data), DEAD, ("cannot",))


# --- ways to make an entry


def _writing(data: bytes, mode: int = 0o600) -> Callable[[bytes], None]:
    def make(path: bytes) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(fd, data)
            os.fchmod(fd, mode)
        finally:
            os.close(fd)

    return make


def _linking(target: bytes) -> Callable[[bytes], None]:
    return lambda path: os.symlink(target, path)


def _sparse(size: int) -> Callable[[bytes], None]:
    def make(path: bytes) -> None:
        _writing(b"")(path)
        os.truncate(path, size)

    return make


def _device(kind: int, number: int) -> Callable[[bytes], None]:
    return lambda path: os.mknod(path, kind | 0o600, number)


def _can_make_devices(directory: Path) -> bool:
    """Only root can, and not in every container."""
    try:
        os.mknod(directory / "probe", stat.S_IFBLK | 0o600, os.makedev(7, 99))
    except OSError:
        return False
    os.unlink(directory / "probe")
    return True
