"""check_directories: the directories of a home: their owners, modes, attributes and file systems."""

from __future__ import annotations

import errno
import os
import re
import stat
from functools import partial
from typing import TYPE_CHECKING

from queuectl.atomic_file import make_directory
from queuectl.doctor.home import is_kept
from queuectl.doctor.result import ERROR, FIX, INFO, WARN, Finding, few, quoted
from queuectl.ids import is_id
from queuectl.maintenance.temp_files import HALF_WRITTEN
from queuectl.scheduling.limits import ALL_PAUSED
from queuectl.spool.hooks import report_of
from queuectl.spool.layout import FOLDERS
from queuectl.spool.reading import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from queuectl.doctor.scan import Context

MINE, OTHERS_WRITE, OTHERS_READ = 0o700, 0o022, 0o055
KNOWN = re.compile(r"format|config\.yaml|web\.token|index\.sqlite3(-wal|-shm|-journal|\.\d+)?")
PROVEN = ("ext2", "ext3", "ext4", "xfs", "btrfs")
VOLATILE = ("tmpfs", "ramfs")
SECRETS = ("web.token",)
NOTHING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
FILES = ("config.yaml", *SECRETS, "index.sqlite3")
OF_STATE: dict[str, Callable[[str], bool]] = {
    "batches": lambda name: is_id(name.removeprefix(".")),
    "hooks": lambda name: report_of(name) is not None,
    "paused": lambda name: name == ALL_PAUSED or is_id(name.removeprefix("@")),
    "schedules": is_id,
}
BESIDE_INDEX = ("index.sqlite3-wal", "index.sqlite3-shm")


def folders(context: Context) -> Iterator[Finding]:
    """Directories that are missing, or are not directories."""
    missing = []
    for path in context.folders():
        status, moves = context.lstat(path), "/spool/" in path.removeprefix(context.layout.home)
        if status is None:
            missing.append(context.within(path))
        elif stat.S_ISLNK(status.st_mode):
            yield from _link(path, moves=moves)
        elif not stat.S_ISDIR(status.st_mode):
            kind = KINDS.get(stat.S_IFMT(status.st_mode), "a file")
            text = f"{path} is {kind}, not a directory; it will be renamed"
            yield Finding(ERROR, text, repair=partial(_rename, context, path))
    if missing:
        level = ERROR if context.has_supervisor and any(name.startswith("spool") for name in missing) else WARN
        yield Finding(level, f"{context.layout.home} has no {few(missing)}", repair=partial(_make, context, missing))


def _link(path: str, *, moves: bool) -> Iterator[Finding]:
    target = os.path.join(os.path.dirname(path), os.readlink(path))
    if moves and not os.path.isdir(path):
        text = f"{path} is a symbolic link to {target}, which is not a directory"
        yield Finding(ERROR, text, f"rm {quoted(path)}, then: {FIX}")
    elif moves:
        text = f"{path} is a symbolic link to {target}: jobs are moved by renaming, never through a link"
        cure = f"replace the link by the directory: rm {quoted(path)} && mv {quoted(target)} {quoted(path)}"
        yield Finding(ERROR, text, cure)
    elif not os.path.isdir(path):
        text = f"{path} is a symbolic link to {target}, which is not a directory"
        is_loop = os.path.normpath(target) == path
        yield Finding(ERROR, text, f"rm {quoted(path)}, then: {FIX}" if is_loop else f"mkdir -p {quoted(target)}")


def _rename(context: Context, path: str) -> str:
    number = 1
    while context.lstat(f"{path}.{number}") is not None:
        number += 1
    context.files.move(path, f"{path}.{number}")
    make_directory(path)
    return f"renamed {context.within(path)} to {context.within(path)}.{number} and created the directory"


def _make(context: Context, missing: list[str]) -> str:
    for name in missing:
        if context.lstat(f"{context.layout.home}/{name}") is None:
            make_directory(f"{context.layout.home}/{name}")
    return f"created {few(missing)}"


def strangers(context: Context) -> Iterator[Finding]:
    """Files and directories that do not belong to QueueCTL."""
    top = {folder.split("/")[0] for folder in FOLDERS}
    unknown = [
        n for n in context.names("") if n not in top and not KNOWN.fullmatch(n) and not HALF_WRITTEN.fullmatch(n)
    ]
    spool = {folder.split("/")[1] for folder in FOLDERS if "/" in folder}
    within = [f"spool/{name}" for name in context.names("spool") if name not in spool]
    if within:
        yield Finding(
            WARN,
            f"{few(within)} does not belong to QueueCTL: jobs in it are never run",
            "move job files to spool/pending, and other files out of the spool",
        )
    ignored = [*_ignored_in_state(context)]
    if ignored:
        yield Finding(WARN, f"{few(ignored)} does not belong to QueueCTL and has no effect", "move it elsewhere")
    if unknown:
        yield Finding(INFO, f"{few(unknown)} in {context.layout.home} does not belong to QueueCTL", "move it elsewhere")


def _ignored_in_state(context: Context) -> Iterator[str]:
    """Yield the entries of state/ that no part of this program reads: those of other names, and directories."""
    for folder, is_ours in OF_STATE.items():
        for name in context.names(f"state/{folder}"):
            status = context.lstat(f"{context.layout.home}/state/{folder}/{name}")
            if status is None or (folder == "paused" and is_ours(name)):  # whatever it is, it pauses
                continue
            if not (is_ours(name) and stat.S_ISREG(status.st_mode)):
                yield f"state/{folder}/{name}"


def modes(context: Context) -> Iterator[Finding]:
    """Modes that let other users read or write."""
    for path in context.folders():
        status = _behind_links(path)
        if status is None or not stat.S_ISDIR(status.st_mode):
            continue
        wrong = _wrong_with_directory(status.st_mode, is_home=path == context.layout.home)
        if wrong is not None:
            level, text = wrong
            mode = f"(mode {stat.S_IMODE(status.st_mode):04o})"
            repair = partial(_set, context, [os.path.realpath(path)], MINE)
            yield Finding(level, f"{path} {mode} {text}", f"chmod 700 {quoted(path)}", repair=repair)
        if path == context.layout.home and context.is_closed:  # nothing in it can be looked at
            return
    for name in FILES:
        path = f"{context.layout.home}/{name}"
        status = context.lstat(path)
        if status is None or not stat.S_ISREG(status.st_mode):
            continue
        allowed = 0o600 if name in SECRETS else 0o644
        if status.st_mode & 0o777 & ~allowed & 0o077:
            may = "is readable by other users" if name in SECRETS else "is writable by other users"
            mode = f"(mode {stat.S_IMODE(status.st_mode):04o})"
            text = f"{path} {mode} {may}, who could run commands as you"
            yield Finding(ERROR, text, repair=partial(_set, context, [path], 0o600))
    run = {
        f"{context.layout.run}/{name}": context.lstat(f"{context.layout.run}/{name}") for name in context.names("run")
    }
    open_to_others = [
        path
        for path, status in run.items()
        if status is not None and not stat.S_ISLNK(status.st_mode) and status.st_mode & OTHERS_WRITE
    ]
    if open_to_others:
        named = [context.within(path) for path in open_to_others]
        yield Finding(
            ERROR, f"{few(named)} is writable by other users", repair=partial(_set, context, open_to_others, 0o600)
        )
    if found := context.scan.of("mode"):
        text = f"the mode of {context.scan.described('mode')} prevents the job from being read or changed, or lets other users write"
        yield Finding(WARN, text, repair=partial(_set, context, [seen.path for seen in found], 0o600))


def _behind_links(path: str) -> os.stat_result | None:
    """Return the status of a path, links followed; None when there is none."""
    try:
        return os.stat(path)
    except OSError as error:
        if error.errno in NOTHING:
            return None
        raise


def _wrong_with_directory(mode: int, *, is_home: bool) -> tuple[str, str] | None:
    if mode & OTHERS_WRITE:
        return ERROR, "is writable by other users, who could run commands as you"
    if ~mode & MINE:
        return ERROR, "denies access to its owner"
    return (WARN, "lets other users read what is run") if is_home and mode & OTHERS_READ else None


def _set(context: Context, paths: list[str], mode: int) -> str:
    for path in paths:
        context.files.set_mode(path, mode)
    return f"set the mode of {few([context.within(path) for path in paths])} to {mode:04o}"


def owners(context: Context) -> Iterator[Finding]:
    """Files of another user, often because a command was run as root."""
    foreign = [seen.path for seen in context.scan.of("foreign")]
    paths = [*context.folders(), *(f"{context.layout.home}/{name}" for name in (*FILES, *BESIDE_INDEX))]
    paths += [f"{context.layout.home}/{folder}/{name}" for folder in ("run", "logs") for name in context.names(folder)]
    for path in paths:
        status = context.lstat(path)
        may_be_roots = context.within(path) in ("config.yaml", *SECRETS)
        if status is not None and status.st_uid != os.geteuid() and not (may_be_roots and status.st_uid == 0):
            foreign.append(path)
    if foreign:
        named = few([context.within(path) for path in sorted(foreign)])
        yield Finding(
            ERROR,
            f"{context.layout.home} contains files of another user, which are never run or changed: {named}",
            f"sudo chown -R {os.geteuid()} {quoted(context.layout.home)}",
        )


def file_system(context: Context) -> Iterator[Finding]:
    """File systems on which the guarantees do not hold."""
    from queuectl.supervisor.supervisor_lock import FORCE, NETWORK, file_system_of

    kinds = {file_system_of(os.path.realpath(path)): path for path in (context.layout.spool, context.layout.home)}
    for kind, path in kinds.items():
        if kind in NETWORK:
            level = WARN if context.environ.get(FORCE) else ERROR
            text = f"{path} is on a network file system ({kind}), where locks and renames are not reliable"
            yield Finding(level, text, "stop the workers and move the home to a local disk; then set QUEUECTL_HOME")
        elif kind in VOLATILE:
            text = f"{path} is in memory ({kind}): jobs are lost when the machine stops"
            yield Finding(WARN, text, "move the home to a disk; then set QUEUECTL_HOME")
        elif kind and kind not in PROVEN:
            text = f"{path} is on {kind}; the guarantees were tested on {', '.join(PROVEN[2:])}"
            yield Finding(INFO, text, "if jobs must survive a power cut, move the home to one of these; else nothing")
    spool = context.lstat(context.layout.spool)
    for path in context.folders():
        status = context.lstat(path)
        if spool and status and "/spool/" in path[len(context.layout.home) :] and status.st_dev != spool.st_dev:
            text = (
                f"{path} is on another file system than {context.layout.spool}: jobs are moved by rename, never copied"
            )
            yield Finding(ERROR, text, "unmount it, and keep all of spool/ on one file system")
    if not context.files.moves_at_once:
        text = (
            "this system has no renameat2: a move takes two steps, and a crash may leave two names, which are repaired"
        )
        yield Finding(INFO, text, "nothing; Linux 3.15 or newer moves in one step")


def kept(context: Context) -> Iterator[Finding]:
    """Directories and job files that cannot be changed (chattr +i or +a); see ioctl_iflags(2)."""
    paths = [path for path in context.folders() if _is_kept_folder(path)]
    paths += [seen.path for seen in context.scan.of("kept")]
    if paths:
        named = few([context.within(path) for path in paths])
        text = f"{named} cannot be changed, even by you (chattr +i or +a): jobs cannot be moved into or out of it"
        yield Finding(ERROR, text, f"sudo chattr -i -a {' '.join(quoted(path) for path in paths[:20])}")


def _is_kept_folder(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False  # other checks report it
    try:
        return is_kept(fd)
    finally:
        os.close(fd)
