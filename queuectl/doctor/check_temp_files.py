"""leftovers: what processes that died, and deletions by hand, have left lying about.

Guarantees: only what this program makes for itself and never reads again is removed: files in tmp/ that nobody holds,
            half-written copies, notes about files that have gone. What a job wrote is kept, only moved aside.
Source:     spool/FORMAT.md § Replacing ("Neither is ever read"), § Rejected files.
"""

from __future__ import annotations

import stat
from functools import partial
from typing import TYPE_CHECKING

from queuectl.atomic_file import make_directory
from queuectl.doctor.context import quoted
from queuectl.doctor.result import INFO, WARN, Finding, few
from queuectl.job.fields import is_id
from queuectl.maintenance.output import ORPHAN_S
from queuectl.maintenance.temp_files import left
from queuectl.spool.fs import READ
from queuectl.spool.layout import REASON, run_of, shown
from queuectl.spool.rejected import set_aside
from queuectl.units import plural, spell_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from queuectl.doctor.context import Home

LITTER_S = 3600.0
ORPHANS = "_orphans"  # no id, and no name of an output


def litter(home: Home) -> Iterator[Finding]:
    """Files that were being written when their writer died."""
    old = [path for path in sorted(left(home.layout, home.files)) if _is_litter(home, path)]
    if old:
        size = sum(status.st_size for path in old if (status := home.lstat(path)))
        text = (
            f"{plural(len(old), 'file')} ({spell_size(size)}) that somebody began over an hour ago and never finished"
        )
        yield Finding(WARN, f"{text}: {few([home.within(p) for p in old])}", mend=partial(_remove_litter, home, old))


def _is_litter(home: Home, path: str) -> bool:
    """Tell whether it is a file, untouched for an hour, that nobody has locked or open for writing."""
    status = home.lstat(path)
    if status is None or not stat.S_ISREG(status.st_mode) or home.age_s(status) < LITTER_S:
        return False
    try:
        fd = home.files.open(path, READ)
    except OSError:
        return False
    try:
        return not home.files.is_locked(fd) and not home.files.has_writer(path)
    except OSError:
        return False
    finally:
        home.files.close(fd)


def _remove_litter(home: Home, paths: Sequence[str]) -> str:
    still = [path for path in paths if _is_litter(home, path)]
    for path in still:
        home.files.unlink(path)
    return f"removed {plural(len(still), 'unfinished file')}"


def outputs(home: Home) -> Iterator[Finding]:
    """What jobs wrote that are not there any more."""
    yield from _orphans(home, "output", "the output of jobs that are gone")


def inputs(home: Home) -> Iterator[Finding]:
    """What jobs were to read that are not there any more."""
    yield from _orphans(home, "input", "the input of jobs that are gone")


def _orphans(home: Home, folder: str, what: str) -> Iterator[Finding]:
    found = [name for name in home.names(folder) if _is_orphan(home, folder, name)]
    if not found:
        return
    paths = [f"{home.layout.home}/{folder}/{name}" for name in found]
    size = sum(status.st_size for path in paths if (status := home.lstat(path)))
    text = f"{folder}/ holds {what}: {few([shown(name) for name in found])}, {spell_size(size)}; it moves to"
    yield Finding(WARN, f"{text} {folder}/{ORPHANS}/", mend=partial(_move_aside, home, folder, found))


def _is_orphan(home: Home, folder: str, name: str) -> bool:
    """Tell whether it belongs to a job that is in no directory, and nobody has written to it for a day or runs."""
    run = run_of(name) if folder == "output" else (name, 0) if is_id(name) else None
    if run is None or home.spool.find(run[0]) is not None:
        return False
    status = home.lstat(f"{home.layout.home}/{folder}/{name}")
    if status is None or home.age_s(status) <= ORPHAN_S:
        return False
    return not (run[1] and home.spool.run_is_locked(*run))  # its job was taken away while it runs


def _move_aside(home: Home, folder: str, names: Sequence[str]) -> str:
    target = f"{home.layout.home}/{folder}/{ORPHANS}"
    if home.lstat(target) is None:
        make_directory(target)
    moved = 0
    for name in names:
        if _is_orphan(home, folder, name):
            number, kept = 0, name
            while home.lstat(f"{target}/{kept}") is not None:
                number += 1
                kept = f"{name}.{number}"
            home.files.move(f"{home.layout.home}/{folder}/{name}", f"{target}/{kept}")
            moved += 1
    return f"moved {plural(moved, 'file')} to {folder}/{ORPHANS}/; when nobody wants them: rm -r {quoted(target)}"


def rejected(home: Home) -> Iterator[Finding]:
    """Files that were set aside, which somebody meant to be jobs."""
    found = set_aside(home.names("spool/rejected"))
    if found:
        first = _reason(home, found[0]) or "no reason was noted"
        count = "1 file is" if len(found) == 1 else f"{len(found):,} files are"
        text = f"{count} set aside as no job: {few([shown(name) for name in found])} ({first})"
        cure = "mend it and move it to pending/, or delete it with its reason"
        yield Finding(WARN, text, f"less {quoted(f'{home.layout.rejected}/{found[0]}{REASON}')}; {cure}")


def _reason(home: Home, name: str) -> str:
    try:
        with open(f"{home.layout.rejected}/{name}{REASON}", encoding="utf-8", errors="replace") as file:
            return file.readline(300).strip()
    except OSError:
        return ""


def reasons(home: Home) -> Iterator[Finding]:
    """Notes about files that were taken out of rejected/."""
    names = home.names("spool/rejected")
    notes = set(names).difference(set_aside(names))
    alone = sorted(name for name in notes if name.removesuffix(REASON) not in names)
    if alone:
        text = f"{plural(len(alone), 'note')} in spool/rejected about what is not there any more: {few(alone)}"
        yield Finding(INFO, text, mend=partial(_remove_reasons, home, alone))


def _remove_reasons(home: Home, names: Sequence[str]) -> str:
    for name in names:
        if home.lstat(f"{home.layout.rejected}/{name.removesuffix(REASON)}") is None:
            home.files.unlink(f"{home.layout.rejected}/{name}")
    return f"removed {plural(len(names), 'note')}"
