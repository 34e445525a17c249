"""job_file: the bytes of a job file, how they grow, and how a torn one is read.

A job file is one JSON object: the author's members, then `history`, a list that only ever grows.

Guarantees: `parse` accepts what `growth` has extended; the author's bytes are kept as they are, except
            for edits; an appended entry is at most MAX_ENTRY_BYTES.
Fails with: InvalidData, with line, column and what was expected.
Source:     RFC 8259; spool/FORMAT.md § The file, § Appending.
"""

from __future__ import annotations

from queuectl.errors import InvalidData
from queuectl.job.fields import InvalidField, validate
from queuectl.job.history import edited, with_changes, wrong_with
from queuectl.job.strict_json import (
    encode,
    invalid,
    is_json,
    members,
    place_of,
    read_object,
    skip,
    text_before_damage,
    value_at,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from queuectl.job.fields import Fields
    from queuectl.job.history import Entry

MAX_BYTES = 1 << 20  # of what an author writes
MAX_FILE_BYTES = 2 << 20  # of a file with its history; ours stay far below it, for histories are compacted
MAX_ENTRY_BYTES = 2048  # of one appended entry
MAX_START_BYTES = 16384  # of a `started` entry, which may have the numbers of many units
SHORTENED = ("error", "reason", "worker")  # the texts of an entry that may lose their beginnings
SECTOR_BYTES = 512  # what a disk writes whole or not at all
CLOSE = b"]}\n"
BEGIN_HISTORY = b'"history":['
OPEN_HISTORY = b"," + BEGIN_HISTORY


class Record:
    """The content of one job file.

    Attributes:
        fields: the author's members, in the author's order, without edits.
        history: the entries, oldest first.
        body: the bytes up to where the next entry is written.
        tail: the bytes from there to the end of the file, as they stand on the disk.
        has_history: the file has a `history` member, so QueueCTL wrote or claimed it.
        torn: the file ends in an incomplete write: `tail` must be cut off before the next one.
        bracket_at: the place of the author's last bracket, where the file still has it and `body` has the comma that
            follows; None once the file has that too.
    """

    __slots__ = ("body", "bracket_at", "fields", "has_history", "history", "tail", "torn")

    def __init__(
        self,
        fields: Fields,
        history: list[Entry],
        body: bytes,
        tail: bytes,
        *,
        has_history: bool = True,
        torn: bool = False,
        bracket_at: int | None = None,
    ) -> None:
        self.fields = fields
        self.history = history
        self.body = body
        self.tail = tail
        self.has_history = has_history
        self.torn = torn
        self.bracket_at = bracket_at

    @property
    def grow_at(self) -> int:
        """The place in the file at which the next entry is written."""
        return len(self.body)

    @property
    def closing(self) -> bytes:
        """The least that has to stand at `grow_at` for the file to be whole."""
        return CLOSE if self.has_history else b"}\n"

    @property
    def history_bytes(self) -> int:
        """About how long the history is."""
        return sum(len(encode(entry)) for entry in self.history)

    def growth(self, entry: Entry) -> bytes:
        """Return the bytes to write at `grow_at` so that `entry` is the last of the history.

        They cover the whole tail, so that no byte of it stays behind them.
        """
        joint = b"," if self.history else b"" if self.has_history else OPEN_HISTORY
        return (joint + render_entry(entry) + CLOSE).ljust(len(self.tail))

    def grown(self, entry: Entry, growth: bytes) -> Record:
        """Return the record as it reads once `growth` has been written."""
        closing = growth.rindex(CLOSE)
        return Record(self.fields, [*self.history, entry], self.body + growth[:closing], growth[closing:])

    def first_growth(self, entry: Entry) -> bytes:
        """Return the bytes to write behind a file without a history: what its author wrote stays as it is."""
        return BEGIN_HISTORY + render_entry(entry) + CLOSE

    def begun(self, entry: Entry, growth: bytes) -> Record:
        """Return the record as it reads once `growth` stands behind the file, all but the comma: see `bracket_at`."""
        whole = self.body + b"," + self.tail[1:] + growth[: -len(CLOSE)]
        return Record(self.fields, [entry], whole, CLOSE, bracket_at=len(self.body))

    @property
    def rest(self) -> bytes:
        """The bytes of the file from the first on that is to be changed."""
        if self.bracket_at is None:
            return self.tail
        return b"}" + self.body[self.bracket_at + 1 :] + self.tail

    def joined(self) -> Record:
        """Return the record of a file whose author's last bracket was replaced by the comma."""
        return Record(self.fields, self.history, self.body, self.tail, torn=self.torn)

    def ending(self, tail: bytes, *, torn: bool = False) -> Record:
        """Return the record of the same file with something else after `grow_at`."""
        has_history, bracket_at = self.has_history, self.bracket_at
        return Record(
            self.fields, self.history, self.body, tail, has_history=has_history, torn=torn, bracket_at=bracket_at
        )

    def rewritten(self) -> Record:
        """Return the record of a new file that says the same, is whole and has a history."""
        body = self.body if self.has_history else self.body.rstrip() + OPEN_HISTORY
        return Record(self.fields, self.history, body, CLOSE)

    def compacted(self, entry: Entry) -> Record:
        """Return the record in which `entry` stands for the whole history; edits become the author's own members."""
        fields = edited(self.fields, self.history)
        return Record(fields, [entry], self._author(fields) + OPEN_HISTORY + encode(entry), CLOSE)

    def with_edit(self, entry: Entry) -> Record:
        """Return the record in which `entry`, and all edits before, have become the author's own members.

        Raises:
            InvalidData: the author's part would be longer than MAX_BYTES.
        """
        fields = with_changes(edited(self.fields, self.history), entry["set"])
        body = self._author(fields)
        if len(body) > MAX_BYTES:
            raise _too_long(len(body), MAX_BYTES)
        history = [_without_changes(entry) for entry in (*self.history, entry)]
        return Record(fields, history, body + OPEN_HISTORY + b",".join(map(encode, history)), CLOSE)

    def _author(self, fields: Fields) -> bytes:
        """Return the author's part of a new file that says `fields`; members that did not change keep their bytes."""
        text = (self.body + self.closing).decode()
        source = {key: text[start:end].encode() for key, start, _, end in members(text)}
        unchanged = {key for key, value in fields.items() if key in source and value is self.fields[key]}
        parts = [
            source[key] if key in unchanged else encode(key) + b":" + encode(value) for key, value in fields.items()
        ]
        return b"{" + b",".join(parts)


def render_new(fields: Mapping[str, Any]) -> bytes:
    """Return the bytes of a job that nothing has happened to yet.

    Raises:
        InvalidData: a value cannot be written as JSON.
    """
    return encode({**fields, "history": []})[:-2] + CLOSE


def render_entry(entry: Entry) -> bytes:
    """Return one history entry of at most MAX_ENTRY_BYTES; a text that is too long loses its beginning.

    The texts of an entry come from commands: NUL, and what is not Unicode, is replaced. `entry` is changed likewise.

    Raises:
        InvalidData: it is too long all the same.
    """
    for key in SHORTENED:
        text = entry.get(key)
        if text and not (text.isascii() and text.isprintable()):
            entry[key] = text[-MAX_ENTRY_BYTES:].replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    data = encode(entry)
    most = MAX_START_BYTES if "units" in entry else MAX_ENTRY_BYTES
    while len(data) > most:
        longest = max(SHORTENED, key=lambda key: len(entry.get(key, "")))
        text = entry.get(longest, "")
        if not text:
            raise InvalidData(f"a history entry of {len(data)} bytes; at most {most} are accepted")
        # No character takes more than 6 bytes, so this never cuts too much.
        entry[longest] = text[max(1, (len(data) - most) // 6) :]
        data = encode(entry)
    return data


def parse(data: bytes, refuse: Callable[[Fields], None] | None = None) -> Record:
    """Read a whole and valid job file.

    Args:
        refuse: given the members of a file without `history`; raises InvalidField for one that a new job must not have.

    Raises:
        InvalidData: it is not one; the message gives line, column and what was expected.
    """
    if len(data) > MAX_FILE_BYTES:
        raise _too_long(len(data), MAX_FILE_BYTES)
    text, value = read_object(data)
    has_history = "history" in value
    history = _take_history(text, value) if has_history else []
    if len(data) > MAX_BYTES:
        author_bytes = len(text[: place_of(text, "history")].encode()) if has_history else len(data)
        if author_bytes > MAX_BYTES:
            raise _too_long(author_bytes, MAX_BYTES)
    try:
        validate(value)
        if refuse is not None and not has_history:
            refuse(value)
    except InvalidField as error:
        found, *found.more = (_located(text, each) for each in (error, *error.more))
        raise found from None
    now = edited(value, history)
    if now is not value:
        try:
            validate(now)
        except InvalidField as error:
            raise invalid(text, place_of(text, "history"), f"a change in the history: {error}") from None
    end = len(data.rstrip()) - 1
    if has_history:
        end = len(data[:end].rstrip()) - 1
    return Record(value, history, data[:end], data[end:], has_history=has_history)


def _located(text: str, error: InvalidField) -> InvalidData:
    found = invalid(text, place_of(text, error.field), str(error))
    found.hint = error.hint
    return found


def _without_changes(entry: Entry) -> Entry:
    """Return an entry whose edit the author's members show; the last member that sets the time decides when it runs."""
    made = {key: value for key, value in entry.items() if key != "set"}
    if "run_at" in entry.get("set", ()):
        made["run_at"] = entry["set"]["run_at"] or entry["at"]
    return made


def _take_history(text: str, value: Fields) -> list[Entry]:
    if next(reversed(value)) != "history":
        raise invalid(text, place_of(text, "history"), '"history" must be the last member')
    history = value.pop("history")
    if not isinstance(history, list):
        raise invalid(text, place_of(text, "history"), '"history" must be a list')
    for number, entry in enumerate(history, 1):
        wrong = wrong_with(entry)
        if wrong:
            raise invalid(text, place_of(text, "history"), f"history entry {number}: {wrong}")
    return history


def _too_long(size: int, limit: int) -> InvalidData:
    return InvalidData(f"not a valid job: {size} bytes; at most {limit} are accepted")


# --- files whose last write a crash cut off
#
# An append replaces the closing brackets by an entry and new brackets. The first append to a file without a history
# stands behind the author's last bracket, which becomes a comma once the append is durable. After a power cut each sector
# from there on may be the new one, the old one, or NUL where the file ended before. Whatever reached the disk, the file
# reads as the job before the append, or with the entry when all of it is there. The author's bytes are never guessed and
# never cut: the bracket that ended them, or the `history` that took its place, proves that they are whole, and a sector
# never splits either. See spool/FORMAT.md § Torn writes.


def parse_torn(data: bytes, *, without_history: bool) -> Record | None:
    """Read a job file that `parse` does not accept because its last write is incomplete.

    Args:
        without_history: also accept a whole object without a history that something else follows. Right in
            processing/, done/ and dead/, and where the inode has `MARK`; else wrong in pending/, where the file may be the
            unfinished write of another program.

    Returns:
        The record before the torn write; None when the file is not a job with a torn write.
    """
    text = text_before_damage(data)
    if len(data) > MAX_FILE_BYTES or (len(text.encode()) == len(data) and is_json(text)):
        return None  # a complete text that breaks another rule was not torn
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
    """Read a first entry behind the author's last bracket, which is not a comma yet; None when there is no entry.

    Such a file cannot be the unfinished write of another program: no further bytes would make it valid.
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
    """Return the end of the last whole entry; the character after an entry proves that it is whole."""
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
