"""record: the bytes of a job file, read strictly or after a crash, and how they grow.

A job file is one JSON object: the author's members, then `history`, a list that only ever grows.

Guarantees: whatever prefix of a growth reached the disk, with NULs or old bytes behind it, reads as the job before
            that growth; the author's members are never guessed.
Fails with: InvalidData, with line, column and what was expected.
Source:     RFC 8259; spool/FORMAT.md.
"""

from __future__ import annotations

import json
from math import isfinite

from queuectl import fields as author
from queuectl.errors import InvalidData

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, NoReturn

    from queuectl.fields import Fields

    Entry = dict[str, Any]

MAX_BYTES = 1 << 20  # of a whole job file
MAX_ENTRY_BYTES = 2048  # of one history entry
MAX_DEPTH = 32
MAX_DIGITS = 4300  # Python's own limit for reading an integer
SPACE = " \t\n\r"
CLOSE = b"]}\n"
EVENTS = (
    *("started", "completed", "failed", "died", "expired", "interrupted", "requeued", "snoozed"),
    *("cancelled", "revived", "held", "released", "edited", "compacted"),
)
ENTRY_MEMBERS: dict[str, type | tuple[type, ...]] = {
    **{"event": str, "at": str, "run_at": str, "worker": str, "reason": str, "error": str, "signal": str},
    **{"attempt": int, "exit_code": int, "max_rss_bytes": int, "cpu_s": (int, float), "set": dict, "kept": dict},
    **{"timed_out": bool, "output_limit": bool, "failed_to_start": bool, "last_event": str},
}
KEPT = ("attempts", "failures", "interruptions", "snoozes", "run_at", "updated_at")


class Record:
    """What one job file says.

    Attributes:
        fields: the author's members, in the author's order.
        history: the entries, oldest first.
        grow_at: byte offset at which the next entry is written.
        joint: what stands before that entry.
        tail: the bytes from `grow_at` to the end of the file when it was read.
        torn: the file ends in a growth that did not complete; `tail` must be cut off before the next one.
        has_history: the file has a `history` member, so it was written or taken by QueueCTL.
    """

    __slots__ = ("fields", "grow_at", "has_history", "history", "joint", "tail", "torn")

    def __init__(
        self, fields: Fields, history: list[Entry], grow_at: int, joint: bytes, tail: bytes, *, torn: bool = False
    ) -> None:
        self.fields = fields
        self.history = history
        self.grow_at = grow_at
        self.joint = joint
        self.tail = tail
        self.torn = torn
        self.has_history = b"history" not in joint

    def growth(self, entry: Entry) -> bytes:
        """Return the bytes to write at `grow_at` so that `entry` is the last of the history."""
        return (self.joint + render_entry(entry) + CLOSE).ljust(len(self.tail))

    def grown(self, entry: Entry, growth: bytes) -> Record:
        """Return the record as it reads once `growth` has been written."""
        closing = growth.rfind(CLOSE)
        return Record(
            self.fields, [*self.history, entry], self.grow_at + closing, b",", growth[closing:]
        )

    def shrunk(self) -> Record:
        """Return the record as it reads once the torn tail has been cut off."""
        return Record(self.fields, self.history, self.grow_at, self.joint, b"")

    def render(self) -> bytes:
        """Return the whole file anew."""
        members = {**self.fields, "history": self.history}
        return encode(members)[:-2] + CLOSE


def encode(value: object) -> bytes:
    """Return compact JSON; text that cannot be UTF-8 is replaced, for it can only come from a command's output."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")


def render_new(fields: Mapping[str, Any]) -> bytes:
    """Return the bytes of a job that nothing has happened to yet."""
    return encode({**fields, "history": []})[:-2] + CLOSE


def render_entry(entry: Entry) -> bytes:
    """Return one history entry; a long `error` text loses its beginning until the entry fits MAX_ENTRY_BYTES."""
    data = encode(entry)
    while len(data) > MAX_ENTRY_BYTES:
        text = entry.get("error") or ""
        if not text:
            raise AssertionError("a history entry without error text is over MAX_ENTRY_BYTES")
        entry["error"] = text[max(1, (len(data) - MAX_ENTRY_BYTES) // 4) :]
        data = encode(entry)
    return data


# --- reading strictly


class _Refused(ValueError):
    """The scanner met something that JSON allows and we do not; `word` is what to look for in the text."""

    def __init__(self, message: str, word: str) -> None:
        super().__init__(message)
        self.word = word


def _unique(pairs: list[tuple[str, Any]]) -> Fields:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Refused(f'the key "{key}" stands twice in one object', json.dumps(key, ensure_ascii=False))
            seen.add(key)
    return made


def _constant(word: str) -> NoReturn:
    raise _Refused(f"expected a JSON value, found {word}", word)


def _float(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise _Refused(f"the number {text} is too large", text)
    return value


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise _Refused(f"a number has {len(text)} digits; at most {MAX_DIGITS} are read", text[:40])
    return int(text)


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant, parse_float=_float, parse_int=_int)


def parse(data: bytes) -> Record:
    """Read a whole and valid job file.

    Raises:
        InvalidData: it is not one; the message gives line, column and what was expected.
    """
    text = _decode(data)
    start = _skip(text, 0)
    try:
        value, end = _decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise _invalid(text, error.pos, _expected(error, text)) from None
    except _Refused as error:
        where = text.rfind(error.word) if "twice" in str(error) else text.find(error.word)
        raise _invalid(text, max(where, 0), str(error)) from None
    except RecursionError:
        raise InvalidData(f"not a valid job: nested more than {MAX_DEPTH} deep") from None
    if not isinstance(value, dict):
        raise _invalid(text, start, "expected an object, as {" + '"command": "..."}')
    rest = _skip(text, end)
    if rest < len(text):
        raise _invalid(text, rest, "expected the end of the file after the object")
    _check_strings_and_depth(text, value)
    history = _check_history(text, value)
    try:
        author.validate(value)
        if history:
            author.validate(edited(value, history))
    except author.InvalidField as error:
        raise _invalid(text, _place_of(text, error.field), str(error)) from None
    return _strict_record(data, value, history)


def _strict_record(data: bytes, value: Fields, history: list[Entry] | None) -> Record:
    brace = len(data.rstrip()) - 1
    if history is None:
        return Record(value, [], brace, b',"history":[', data[brace:])
    bracket = len(data[:brace].rstrip()) - 1
    return Record(value, history, bracket, b"," if history else b"", data[bracket:])


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise InvalidData(f"not a valid job: {len(data)} bytes; a job file has at most {MAX_BYTES}")
    if data.startswith(b"\xef\xbb\xbf"):
        raise InvalidData("not a valid job: line 1, column 1: a byte order mark; expected UTF-8 without one")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or data[:2] in (b"{\0", b"\0{"):
        raise InvalidData("not a valid job: line 1, column 1: UTF-16; expected UTF-8")
    nul = data.find(0)
    if nul >= 0:
        raise InvalidData(f"not a valid job: byte {nul} is NUL; expected JSON text")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        text = data[: error.start].decode("utf-8")
        raise _invalid(text, len(text), f"byte 0x{data[error.start]:02x} is not UTF-8") from None


def _check_strings_and_depth(text: str, value: Fields) -> None:
    if "\\u" not in text and text.count("{") + text.count("[") <= MAX_DEPTH:
        return
    todo: list[tuple[object, int]] = [(value, 1)]
    while todo:
        item, depth = todo.pop()
        if isinstance(item, str):
            if "\0" in item:
                raise _invalid(text, max(text.lower().find("\\u0000"), 0), "a string holds the character NUL")
            if any("\ud800" <= c <= "\udfff" for c in item):
                raise _invalid(text, max(text.lower().find("\\ud"), 0), "half of a surrogate pair is not text")
        elif isinstance(item, (dict, list)):
            if depth > MAX_DEPTH:
                raise InvalidData(f"not a valid job: nested more than {MAX_DEPTH} deep")
            members = [*item, *item.values()] if isinstance(item, dict) else item
            todo.extend((member, depth + 1) for member in members)


def _check_history(text: str, value: Fields) -> list[Entry] | None:
    if "history" not in value:
        return None
    if next(reversed(value)) != "history":
        raise _invalid(text, _place_of(text, "history"), '"history" must be the last member')
    history = value.pop("history")
    place = _place_of(text, "history")
    if not isinstance(history, list):
        raise _invalid(text, place, '"history" must be a list')
    for number, entry in enumerate(history, 1):
        wrong = _wrong_with(entry)
        if wrong:
            raise _invalid(text, place, f"history entry {number}: {wrong}")
    return history


def _wrong_with(entry: object) -> str | None:
    """Say what is wrong with a history entry; None when nothing is."""
    if not isinstance(entry, dict):
        return "expected an object"
    if entry.get("event") not in EVENTS:
        return f'"event" must be one of {", ".join(EVENTS)}'
    if "at" not in entry:
        return '"at" is missing'
    for key, value in entry.items():
        kind = ENTRY_MEMBERS.get(key)
        if kind is not None and (not isinstance(value, kind) or isinstance(value, bool) != (kind is bool)):
            return f'"{key}" holds {author.spell_value(value)}'
        if key in ("at", "run_at") and author.FIELDS["run_at"](value):
            return f'"{key}" must be {author.FIELDS["run_at"](value)}'
    if entry["event"] == "compacted" and not set(KEPT) <= set(entry.get("kept", ())):
        return '"kept" is incomplete'
    return None


def edited(fields: Fields, history: list[Entry]) -> Fields:
    """Return the author's members as later edits left them; an edit to `null` takes a member away."""
    made = fields
    for entry in history:
        if entry["event"] == "edited":
            made = {k: v for k, v in {**made, **entry.get("set", {})}.items() if v is not None}
    return made


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in SPACE:
        at += 1
    return at


# --- saying where


def _invalid(text: str, at: int, message: str) -> InvalidData:
    line = text.count("\n", 0, at) + 1
    start = text.rfind("\n", 0, at) + 1
    column = at - start + 1
    source = text[start:].split("\n", 1)[0]
    if source.isprintable() and len(source) <= 200:
        excerpt = f"{source}\n{' ' * (column - 1)}^"
    else:
        excerpt = None
    return InvalidData(f"not a valid job: line {line}, column {column}: {message}", excerpt=excerpt)


def _expected(error: json.JSONDecodeError, text: str) -> str:
    if error.msg.startswith("Expecting ',' delimiter"):
        return "expected ',' or ']'" if _inside_list(text[: error.pos]) else "expected ',' or '}'"
    words = {
        "Expecting value": "expected a JSON value",
        "Expecting ':' delimiter": "expected ':'",
        "Expecting property name enclosed in double quotes": "expected a key in double quotes",
        "Unterminated string starting at": "this string has no closing quote",
        "Invalid control character at": "a control character in a string; write it as \\n, \\t or \\u00..",
        "Invalid \\escape": "an escape that JSON does not know",
        "Invalid \\uXXXX escape": "an incomplete \\u escape",
        "Illegal trailing comma before end of object": "a comma before '}'",
        "Illegal trailing comma before end of array": "a comma before ']'",
    }
    found = error.msg.rstrip(": ")
    return "expected an object, the file is empty" if not text.strip() else words.get(found, found)


def _inside_list(text: str) -> bool:
    """Tell whether the innermost bracket still open at the end of `text` is a '['."""
    open_brackets: list[str] = []
    in_string = escaped = False
    for char in text:
        if escaped:
            escaped = False
        elif in_string:
            escaped, in_string = char == "\\", char != '"'
        elif char == '"':
            in_string = True
        elif char in "[{":
            open_brackets.append(char)
        elif char in "]}" and open_brackets:
            open_brackets.pop()
    return bool(open_brackets) and open_brackets[-1] == "["


def _place_of(text: str, key: str) -> int:
    return next((at for name, _, at, _ in _members(text) if name == key), 0)


# --- reading after a crash


def _members(text: str) -> Iterator[tuple[str, Any, int, int]]:
    """Yield (key, value, start, end) of each whole top-level member; `history` comes with value None and its start."""
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        return
    while True:
        start = _skip(text, at + 1)
        try:
            key, colon = _decoder.raw_decode(text, start)
            colon = _skip(text, colon)
            if not isinstance(key, str) or text[colon : colon + 1] != ":":
                return
            begin = _skip(text, colon + 1)
            if key == "history" and text[begin : begin + 1] == "[":
                yield key, None, start, begin
                return
            value, end = _decoder.raw_decode(text, begin)
        except (ValueError, RecursionError):
            return
        at = _skip(text, end)
        if at >= len(text):  # nothing proves that the value is whole: 10 may be the beginning of 100
            return
        yield key, value, start, end
        if text[at] != ",":
            return


def salvage(data: bytes, *, without_history: bool) -> Record | None:
    """Read a job file whose last growth did not complete: everything up to the last whole entry.

    Args:
        data: the bytes of the file.
        without_history: also accept a file in which not even `"history":[` can be read. Right where the file
            was whole before we grew it (processing/, done/, dead/); wrong in pending/, where it may be the
            first half of what a stranger writes.

    Returns:
        The record before the torn growth, or None when the author's members are not whole.
    """
    text = data.split(b"\0", 1)[0].decode("utf-8", "ignore")
    fields: Fields = {}
    end = 0
    for key, value, _, stop in _members(text):
        if key == "history":
            return _salvage_entries(text, fields, stop)
        if key in fields:
            return None
        fields[key] = value
        end = stop
    if not without_history or not fields:
        return None
    rest = text[end:].lstrip(SPACE)
    if rest.startswith("}") or ',"history":['.startswith(rest):
        return _torn(text, fields, [], end, b',"history":[')
    return None


def _salvage_entries(text: str, fields: Fields, bracket: int) -> Record | None:
    entries: list[Entry] = []
    at = end = bracket + 1
    while True:
        try:
            entry, stop = _decoder.raw_decode(text, _skip(text, at))
        except (ValueError, RecursionError):
            break
        if _wrong_with(entry):
            break
        entries.append(entry)
        end = stop
        at = _skip(text, stop)
        if text[at : at + 1] != ",":
            break
        at += 1
    return _torn(text, fields, entries, end, b"," if entries else b"")


def _torn(text: str, fields: Fields, history: list[Entry], end: int, joint: bytes) -> Record | None:
    try:
        author.validate(edited(fields, history))
    except InvalidData:
        return None
    return Record(fields, history, len(text[:end].encode()), joint, b"", torn=True)
