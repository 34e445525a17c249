"""spawn: starts a program with every signal at its default action and none blocked, in a session of its own.

Owns:       posix_spawn.
Guarantees: a program inherits no signals that the supervisor ignores or blocks or was started with: nohup, `trap ''`, a
            shell's `&`, and the signals of the C library, which its posix_spawn ignores unless they are in the set.
Fails with: OSError, as execve would.
Source:     posix_spawn(3); glibc sysdeps/unix/sysv/linux/spawni.c: signals 32 and 33 become SIG_IGN unless they are members
            of the set of default signals, and neither sigaddset(3) nor os.posix_spawn lets them into it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Files = tuple[tuple[int, int | str], ...]

SETSIGDEF, SETSIGMASK, SETSID = 0x04, 0x08, 0x80  # glibc's <spawn.h>
OPAQUE_BYTES = 1024  # more than posix_spawnattr_t, posix_spawn_file_actions_t or sigset_t takes anywhere


def spawn(program: str, arguments: Sequence[str], environment: Mapping[str, str], files: Files) -> int:
    """Start `program` and return its pid.

    Args:
        files: for each descriptor of the program, a descriptor of this process, or the path of a device, opened for
            reading as descriptor 0 and for writing as any other.

    Raises:
        OSError: it cannot be executed.
        UnicodeEncodeError: the encoding of the system cannot represent an argument.
    """
    if _LIBRARY is None:
        return _spawn_elsewhere(program, arguments, environment, files)
    pid, actions = ctypes.c_int(), _actions(_LIBRARY, files)
    argv, envp = _strings(arguments), _strings([f"{name}={value}" for name, value in environment.items()])
    number = _LIBRARY.posix_spawn(ctypes.byref(pid), os.fsencode(program), actions, _ATTRIBUTES, argv, envp)
    if number:
        raise OSError(number, os.strerror(number), program)
    return pid.value


@lru_cache(maxsize=16)  # the output of most jobs of a worker has the same descriptor
def _actions(library: ctypes.CDLL, files: Files) -> ctypes.Array[ctypes.c_char]:
    made = ctypes.create_string_buffer(OPAQUE_BYTES)
    library.posix_spawn_file_actions_init(made)
    for target, source in files:
        if isinstance(source, int):
            library.posix_spawn_file_actions_adddup2(made, source, target)
        else:
            flags = os.O_WRONLY if target else os.O_RDONLY
            library.posix_spawn_file_actions_addopen(made, target, os.fsencode(source), flags, 0)
    return made


def _strings(values: Sequence[str]) -> ctypes.Array[ctypes.c_char_p]:
    encoding, errors = _ENCODING
    return (ctypes.c_char_p * (len(values) + 1))(*[value.encode(encoding, errors) for value in values])


def _spawn_elsewhere(program: str, arguments: Sequence[str], environment: Mapping[str, str], files: Files) -> int:
    actions = [
        (os.POSIX_SPAWN_DUP2, source, target)
        if isinstance(source, int)
        else (os.POSIX_SPAWN_OPEN, target, source, os.O_WRONLY if target else os.O_RDONLY, 0)
        for target, source in files
    ]
    return os.posix_spawn(
        program,
        [*arguments],
        environment,
        file_actions=actions,
        setsid=True,
        setsigmask=(),
        setsigdef=signal.valid_signals(),
    )


def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


def _attributes(library: ctypes.CDLL) -> ctypes.Array[ctypes.c_char]:
    made = ctypes.create_string_buffer(OPAQUE_BYTES)
    library.posix_spawnattr_init(made)
    library.posix_spawnattr_setsigdefault(made, b"\xff" * OPAQUE_BYTES)
    library.posix_spawnattr_setsigmask(made, bytes(OPAQUE_BYTES))
    library.posix_spawnattr_setflags(made, ctypes.c_short(SETSIGDEF | SETSIGMASK | SETSID))
    return made


_ENCODING = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
_LIBRARY = _glibc()
_ATTRIBUTES = None if _LIBRARY is None else _attributes(_LIBRARY)
