"""A system that reports no changed files: for the prelude of a supervisor, the C library as it answers at a limit."""

from __future__ import annotations

from pathlib import Path

# The C library refuses as long as a file is there.
REFUSING = """
import ctypes, os
real = ctypes.CDLL
def refuse(*_):
    ctypes.set_errno({number})
    return -1
def load(*arguments, **more):
    library = real(*arguments, **more)
    if os.path.exists({flag!r}):
        library.{function} = refuse
    return library
ctypes.CDLL = load
"""
NO_INSTANCE = {"function": "inotify_init1", "number": 24}  # EMFILE
NO_WATCH = {"function": "inotify_add_watch", "number": 28}  # ENOSPC


def refusing(tmp_path: Path, how: dict[str, object]) -> tuple[Path, str]:
    """Return the file that makes it so while it is there, and the prelude."""
    flag = tmp_path / "refuse"
    flag.touch()
    return flag, REFUSING.format(flag=str(flag), **how)
