"""check_temp_files: files that killed processes, and deletions by hand, have left.

Guarantees: removes only files of this program that it never reads again: unlocked files in tmp/, unfinished copies, and
            reasons of rejected files that no longer exist. What a job wrote is moved, never removed.
Source:     spool/FORMAT.md § Replacing ("Neither is ever read"), § Rejected files.
"""

from __future__ import annotations

import stat
from functools import partial
from typing import TYPE_CHECKING

from queuectl.atomic_file import make_directory
from queuectl.doctor.result import INFO, WARN, Finding, few, quoted
from queuectl.ids import is_id
from queuectl.maintenance.output import ORPHAN_S
from queuectl.maintenance.temp_files import left
from queuectl.spool.fs import READ
from queuectl.spool.layout import REASON, run_of, shown
from queuectl.spool.rejected import rejected_files
from queuectl.units import plural, spell_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from queuectl.doctor.scan import Context

ABANDONED_S = 3600.0
ORPHANS = "_orphans"  # no id, and no name of an output


def temp_files(context: Context) -> Iterator[Finding]:
    """Unfinished files of processes that were killed."""
    old = [path for path in sorted(left(context.layout, context.files)) if _is_abandoned(context, path)]
    if old:
        size = sum(status.st_size for path in old if (status := context.lstat(path)))
        text = f"{plural(len(old), 'file')} ({spell_size(size)}) that were started over an hour ago and never finished"
        yield Finding(
            WARN, f"{text}: {few([context.within(p) for p in old])}", repair=partial(_remove_abandoned, context, old)
        )


def _is_abandoned(context: Context, path: str) -> bool:
    """Tell whether it is a file, unchanged for an hour, that no process has locked or open for writing."""
    status = context.lstat(path)
    if status is None or not stat.S_ISREG(status.st_mode) or context.age_s(status) < ABANDONED_S:
        return False
    try:
        fd = context.files.open(path, READ)
    except OSError:
        return False
    try:
        return not context.files.is_locked(fd) and not context.files.has_writer(path)
    except OSError:
        return False
    finally:
        context.files.close(fd)


def _remove_abandoned(context: Context, paths: Sequence[str]) -> str:
    still = [path for path in paths if _is_abandoned(context, path)]
    for path in still:
        context.files.unlink(path)
    return f"removed {plural(len(still), 'unfinished file')}"


def outputs(context: Context) -> Iterator[Finding]:
    """Output of jobs that no longer exist."""
    yield from _orphans(context, "output", "the output of jobs that no longer exist")


def inputs(context: Context) -> Iterator[Finding]:
    """Input of jobs that no longer exist."""
    yield from _orphans(context, "input", "the input of jobs that no longer exist")


def _orphans(context: Context, folder: str, what: str) -> Iterator[Finding]:
    found = [name for name in context.names(folder) if _is_orphan(context, folder, name)]
    if not found:
        return
    paths = [f"{context.layout.home}/{folder}/{name}" for name in found]
    size = sum(status.st_size for path in paths if (status := context.lstat(path)))
    text = f"{folder}/ contains {what}: {few([shown(name) for name in found])}, {spell_size(size)}; it moves to"
    yield Finding(WARN, f"{text} {folder}/{ORPHANS}/", repair=partial(_move, context, folder, found))


def _is_orphan(context: Context, folder: str, name: str) -> bool:
    """Tell whether its job is in no directory and not running, and it has not changed for a day."""
    run = run_of(name) if folder == "output" else (name, 0) if is_id(name) else None
    if run is None or context.spool.find(run[0]) is not None:
        return False
    status = context.lstat(f"{context.layout.home}/{folder}/{name}")
    if status is None or context.age_s(status) <= ORPHAN_S:
        return False
    return not (run[1] and context.spool.run_is_locked(*run))  # its job was removed while it runs


def _move(context: Context, folder: str, names: Sequence[str]) -> str:
    target = f"{context.layout.home}/{folder}/{ORPHANS}"
    if context.lstat(target) is None:
        make_directory(target)
    moved = 0
    for name in names:
        if _is_orphan(context, folder, name):
            number, kept = 0, name
            while context.lstat(f"{target}/{kept}") is not None:
                number += 1
                kept = f"{name}.{number}"
            context.files.move(f"{context.layout.home}/{folder}/{name}", f"{target}/{kept}")
            moved += 1
    return f"moved {plural(moved, 'file')} to {folder}/{ORPHANS}/; to delete them: rm -r {quoted(target)}"


def rejected(context: Context) -> Iterator[Finding]:
    """Files that were rejected."""
    found = rejected_files(context.names("spool/rejected"))
    if found:
        first = _reason(context, found[0]) or "no reason was recorded"
        count = "1 file was" if len(found) == 1 else f"{len(found):,} files were"
        text = f"{count} rejected as invalid: {few([shown(name) for name in found])} ({first})"
        cure = "then correct the file and move it to pending/, or delete it and its .reason file"
        yield Finding(WARN, text, f"less {quoted(f'{context.layout.rejected}/{found[0]}{REASON}')}; {cure}")


def _reason(context: Context, name: str) -> str:
    try:
        with open(f"{context.layout.rejected}/{name}{REASON}", encoding="utf-8", errors="replace") as file:
            return file.readline(300).strip()
    except OSError:
        return ""


def reasons(context: Context) -> Iterator[Finding]:
    """Reasons of files that were removed from rejected/."""
    names = context.names("spool/rejected")
    notes = set(names).difference(rejected_files(names))
    alone = sorted(name for name in notes if name.removesuffix(REASON) not in names)
    if alone:
        text = (
            f"{plural(len(alone), 'reason file')} in spool/rejected whose rejected file no longer exists: {few(alone)}"
        )
        yield Finding(INFO, text, repair=partial(_remove_reasons, context, alone))


def _remove_reasons(context: Context, names: Sequence[str]) -> str:
    for name in names:
        if context.lstat(f"{context.layout.rejected}/{name.removesuffix(REASON)}") is None:
            context.files.unlink(f"{context.layout.rejected}/{name}")
    return f"removed {plural(len(names), 'reason file')}"
