"""salvage: reads a job file whose last growth was torn by a crash.

A growth replaces the closing brackets by an entry and new brackets. After a power cut each sector from there on may be
the new one, the old one, or NUL where the file ended before.

Guarantees: whatever of a growth reached the disk, the file reads as the job before it, or with the entry when all of
            that is there; what the author wrote is never guessed and never cut: that it is whole has to show, by the
            bracket that ended it or by the `history` that took its place, which a sector never splits.
Source:     spool/FORMAT.md § Torn growths.
"""

from __future__ import annotations

from queuectl.errors import InvalidData
from queuectl.history import wrong_with
from queuectl.jsontext import SPACE, is_json, members, skip, text_before_damage, value_at
from queuectl.record import CLOSE, MAX_FILE_BYTES, Record, parse


def salvage(data: bytes, *, without_history: bool) -> Record | None:
    """Read a job file that `parse` does not accept, because its last growth did not complete.

    Args:
        without_history: also accept a whole object without a history that something else follows. Right in
            processing/, done/ and dead/; wrong in pending/, where we never grow a file without a history and a
            stranger's is to be what he meant.

    Returns:
        The record before the torn growth; None when the file is not a job with a torn growth.
    """
    text = text_before_damage(data)
    if len(data) > MAX_FILE_BYTES or (len(text.encode()) == len(data) and is_json(text)):
        return None  # a whole text that breaks another rule was written so
    end = 0
    for key, _, begin, after in members(text):
        if key == "history":
            return _cut(data, text, _end_of_entries(text, begin), CLOSE)
        end = after
    if without_history and text[end:].lstrip(SPACE).startswith("}"):
        return _cut(data, text, end, b"}")
    return None


def _end_of_entries(text: str, bracket: int) -> int:
    """Return the end of the last entry that is whole and has something behind it to prove it."""
    end = at = bracket + 1
    while (found := value_at(text, skip(text, at))) is not None and not wrong_with(found[0]):
        at = skip(text, found[1])
        behind = text[at : at + 1]
        if behind not in (",", "]") or not behind:
            break
        end = found[1]
        if behind == "]":
            break
        at += 1
    return end


def _cut(data: bytes, text: str, end: int, close: bytes) -> Record | None:
    good = text[:end].encode()
    try:
        record = parse(good + close)
    except InvalidData:
        return None
    return Record(record.fields, record.history, good, data[len(good) :], has_history=record.has_history, torn=True)
