"""check_machine: the disk, the clock, the limits of the system, and the settings."""

from __future__ import annotations

import os
import resource
from functools import partial
from typing import TYPE_CHECKING

import queuectl
from queuectl.client.schedules import placed
from queuectl.clock import spell
from queuectl.config import config_file
from queuectl.config.settings import ALIASES, SETTINGS
from queuectl.disk_space import LOW_SHARE, is_full
from queuectl.doctor.result import ERROR, WARN, Finding, few, quoted
from queuectl.errors import QueueError
from queuectl.health import MORE_FILES
from queuectl.scheduling.schedules import read
from queuectl.spool import outputs
from queuectl.spool.context import BALLAST_BYTES
from queuectl.spool.enqueue import least_free
from queuectl.units import plural, spell_duration, spell_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.doctor.scan import Context

LOW_INODES_SHARE = 0.01
LOW_INODES = 1000
LOG_BYTES = 50 << 20  # logs are rotated at 10 MiB
FEW_FILES = 600  # bulk enqueue has 512 files open at a time
SMALLEST_JUMP_S = 60.0


def disk(context: Context) -> Iterator[Finding]:
    """A disk that is full, nearly full or read-only."""
    space = os.statvfs(context.layout.home)
    free, total = space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize
    floor = least_free(context.settings, total)
    where = f"the disk of {context.layout.home}"
    if space.f_flag & os.ST_RDONLY:
        yield Finding(ERROR, f"{where} is read-only: nothing can be enqueued or run", "dmesg says why; mount it again")
    elif free < floor:
        text = f"{where} has {spell_size(free)} left: below {spell_size(floor)} (min_free) nothing is enqueued"
        yield _full(context, ERROR, text, total)
    elif missing := is_full(free, None):
        yield _full(context, ERROR, f"{where} is full: {missing}: no job starts", total)
    elif total and free < LOW_SHARE * total:
        text = f"{where} is nearly full: {spell_size(free)} of {spell_size(total)} left"
        yield _full(context, WARN, text, total)


def _full(context: Context, level: str, text: str, total_bytes: int) -> Finding:
    """Return a finding that names the largest outputs, where some are large."""
    large, hint = outputs.how_to_free(context.spool, total_bytes)
    return Finding(level, f"{text}; {large}" if large else text, hint)


def inodes(context: Context) -> Iterator[Finding]:
    """A disk without free inodes."""
    space = os.statvfs(context.layout.home)
    if space.f_files and space.f_favail < max(LOW_INODES, LOW_INODES_SHARE * space.f_files):
        level = ERROR if space.f_favail < LOW_INODES // 10 else WARN
        text = f"the disk of {context.layout.home} has only {space.f_favail:,} free inodes; each job and each output needs one"
        yield Finding(level, text, MORE_FILES)


def ballast(context: Context) -> Iterator[Finding]:
    """The space that is reserved for the results of jobs on a full disk."""
    status = context.lstat(context.layout.ballast)
    reserved = None if status is None else status.st_blocks * 512
    if context.supervisor is None or (reserved is not None and reserved >= BALLAST_BYTES):
        return
    size = "is missing" if reserved is None else f"holds {spell_size(reserved)}, not {spell_size(BALLAST_BYTES)}"
    text = f"{context.layout.ballast} {size}: on a full disk the results of running jobs could not be recorded"
    yield Finding(WARN, text, repair=partial(_keep_ballast, context))


def _keep_ballast(context: Context) -> str:
    context.spool.free_ballast()
    context.spool.keep_ballast()
    status = context.lstat(context.layout.ballast)
    return f"reserved {spell_size(0 if status is None else status.st_blocks * 512)} in run/ballast"


def clock(context: Context) -> Iterator[Finding]:
    """A clock that is wrong, judged by the times of files."""
    scan = context.scan
    if scan.ahead:
        text = (
            f"{plural(scan.ahead, 'job file')} with a time in the future, up to {spell_duration(scan.ahead_s)}"
            f" from now ({spell(context.now)[:19]}Z): the clock was set back, or was wrong"
        )
        yield Finding(WARN, text, "timedatectl status; if the time is correct now, do nothing: jobs run anyway")
    installed = os.stat(queuectl.__file__).st_mtime
    if context.now < installed - SMALLEST_JUMP_S:
        text = f"it is {spell(context.now)[:19]}Z by the clock, {spell_duration(installed - context.now)} before QueueCTL was"
        yield Finding(WARN, f"{text} installed", "timedatectl set-ntp true, or set the time")


def limits(_context: Context) -> Iterator[Finding]:
    """A low limit of open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FEW_FILES:
        text = f"a process may have {soft} open files (ulimit -n): many workers, or many jobs at a time, need more"
        enough = 4096 if hard == resource.RLIM_INFINITY else min(hard, 4096)
        raise_it = (
            f"ulimit -n {enough}"
            if enough > soft
            else "as root, raise it in limits.conf, or with LimitNOFILE= of a service"
        )
        yield Finding(WARN, text, f"{raise_it}; then restart the workers")


def logs(context: Context) -> Iterator[Finding]:
    """Logs that are larger than the limit of rotation."""
    sizes = {
        name: status.st_size
        for name in context.names("logs")
        if (status := context.lstat(f"{context.layout.logs}/{name}")) is not None
    }
    huge = [f"{name} ({spell_size(size)})" for name, size in sizes.items() if size > LOG_BYTES]
    if huge:
        paths = " ".join(quoted(f"{context.layout.logs}/{n}") for n, size in sizes.items() if size > LOG_BYTES)
        text = f"logs/ contains files larger than the limit of rotation: {few(huge)}"
        yield Finding(WARN, text, f"see which message repeats at the end; then: truncate -s 0 {paths}")


def configuration(context: Context) -> Iterator[Finding]:
    """A config.yaml that is invalid or cannot be read."""
    try:
        config_file.load(context.layout.home, {})
    except QueueError as error:
        running = "; the supervisor continues with the last valid settings" if context.supervisor is not None else ""
        hint = f" ({error.hint})" if error.hint else ""
        cure = f"$EDITOR {quoted(f'{context.layout.home}/{config_file.FILE}')}; then: queuectl config check"
        yield Finding(ERROR, f"{error}{hint}{running}", cure)


def environment(context: Context) -> Iterator[Finding]:
    """Variables that override settings and are invalid or misspelt."""
    from difflib import get_close_matches

    known = {setting.variable: setting for setting in SETTINGS}
    known |= {f"QUEUECTL_{alias.upper()}": known[f"QUEUECTL_{name.upper()}"] for alias, name in ALIASES.items()}
    for name in sorted(context.environ):
        if not name.startswith("QUEUECTL_") or not context.environ[name]:
            continue
        if name in known:
            try:
                known[name].parse(context.environ[name])
            except ValueError as error:
                yield Finding(ERROR, f"{name} {error}", f"unset {name}, where it is set")
        elif (near := get_close_matches(name, [*known, "QUEUECTL_HOME"], 1, 0.85)) and near[0] != name:
            yield Finding(WARN, f"{name} in the environment is not a setting; did you mean {near[0]}?", f"unset {name}")


def schedules(context: Context) -> Iterator[Finding]:
    """A schedule that is not valid adds no jobs."""
    if not context.settings.schedules:
        return
    for error in read(context.settings)[1].values():
        cure = f"$EDITOR {quoted(f'{context.layout.home}/{config_file.FILE}')}; then: queuectl config check"
        yield Finding(WARN, f"{placed(error, context.layout)}; it adds no jobs", cure)
