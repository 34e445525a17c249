"""check_attributes: what keeps even its owner from changing a file or a directory (chattr +i, +a).

Source:     ioctl_iflags(2).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from queuectl.doctor.home import is_kept
from queuectl.doctor.result import ERROR, Finding, few, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.doctor.context import Context


def kept(context: Context) -> Iterator[Finding]:
    """Directories and job files that were made so."""
    paths = [path for path in context.folders() if _is_kept_folder(path)]
    paths += [seen.path for seen in context.scan.of("kept")]
    if paths:
        named = few([context.within(path) for path in paths])
        text = f"{named} cannot be changed, even by you (chattr +i or +a): jobs cannot be moved into or out of it"
        yield Finding(ERROR, text, f"sudo chattr -i -a {' '.join(quoted(path) for path in paths[:MOST])}")


def _is_kept_folder(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False  # other checks say so
    try:
        return is_kept(fd)
    finally:
        os.close(fd)


MOST = 20  # on one command line
