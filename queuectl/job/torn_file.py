"""salvage: reads a job file whose last growth was torn by a crash.

A growth replaces the closing brackets by an entry and new brackets; the first one of a file without a history stands
behind the author's last bracket, which becomes a comma once that is durable. After a power cut each sector from there on
may be the new one, the old one, or NUL where the file ended before.

Guarantees: whatever of a growth reached the disk, the file reads as the job before it, or with the entry when all of
            that is there; what the author wrote is never guessed and never cut: that it is whole has to show, by the
            bracket that ended it or by the `history` that took its place, which a sector never splits.
Source:     spool/FORMAT.md § Torn writes.
"""

from __future__ import annotations

from queuectl.errors import InvalidData
from queuectl.job.history import wrong_with
from queuectl.job.job_file import CLOSE, MAX_FILE_BYTES, Record, parse
from queuectl.job.strict_json import is_json, members, skip, text_before_damage, value_at


def salvage(data: bytes, *, without_history: bool) -> Record | None:
    """Read a job file that `parse` does not accept, because its last growth did not complete.

    Args:
        without_history: also accept a whole object without a history that something else follows. Right in
            processing/, done/ and dead/, and where the inode has `MARK`; else wrong in pending/, where a stranger's file
            is to be what he meant.

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
    bracket = skip(text, end)
    if text[bracket : bracket + 1] != "}":
        return None
    return _begun(data, text, bracket) or (_cut(data, text, end, b"}") if without_history else None)


def _begun(data: bytes, text: str, bracket: int) -> Record | None:
    """Read a first growth behind the author's last bracket, which has not given way yet; None when no entry is there.

    No more bytes could make a job of such a file: it is half of nobody's.
    """
    joined = f"{text[:bracket]},{text[bracket + 1 :]}"
    start = next((begin for key, _, begin, _ in members(joined) if key == "history"), None)
    if start is None:
        return None
    at = len(text[:bracket].encode())
    record = _cut(data[:at] + b"," + data[at + 1 :], joined, _end_of_entries(joined, start), CLOSE)
    if record is None or not record.history:
        return None
    is_whole = b"".join(record.tail.split()) == b"]}"
    return Record(record.fields, record.history, record.body, record.tail, torn=not is_whole, bracket_at=at)


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
