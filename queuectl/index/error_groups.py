"""error_groups: computes a fingerprint of an error, by which similar failures are grouped.

Guarantees: pure; 8 hexadecimal digits, the same for the same kind of end, program and last lines of output, whatever
            numbers, paths, names in quotes and long hexadecimal words they contain.
"""

from __future__ import annotations

import re
import zlib

LONGEST_LINE = 300
_COLOURS = re.compile(r"\x1b\[[0-9;]*[a-z]")
_VARYING = re.compile(
    r"'[^']*'|\"[^\"]*\"|`[^`']*[`']"  # what is quoted
    r"|(?:~|\.\.?)?/[^\s:,;)\]]+"  # paths
    r"|\b0x[0-9a-f]+|\b(?=[0-9a-f-]*\d)[0-9a-f-]{8,}\b"  # addresses, hashes, UUIDs
    r"|\d+"
)


def fingerprint(how: str, command: str, error: str | None) -> str:
    """Return the fingerprint of a failure.

    Args:
        how: what ended it: outcome and exit code, or the reason why it is dead.
        command: of which the first word counts.
        error: of which the last line that is not empty counts.
    """
    lines = (line.strip() for line in reversed((error or "").splitlines()))
    last = next((line for line in lines if line), "")[-LONGEST_LINE:].lower()
    program = command.split(None, 1)[0].rpartition("/")[2] if command.strip() else ""
    text = "\n".join((how, program, _VARYING.sub("*", _COLOURS.sub("", last))))
    return f"{zlib.crc32(text.encode('utf-8', 'replace')):08x}"
