"""strict_json: the JSON that a job may be written in, and where a text is not valid.

Guarantees: what `read_object` accepts holds no duplicate key, NaN, infinity, NUL or half surrogate pair, is at most
            MAX_DEPTH deep, and no number in it is longer than MAX_DIGITS.
Fails with: InvalidData, naming line, column and what was expected.
Source:     RFC 8259; RFC 7493 (I-JSON).
"""

from __future__ import annotations

from math import isfinite

from queuectl.errors import InvalidData
from queuectl.job.json_engine import make_encoder, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn

    from queuectl.job.fields import Fields

MAX_DEPTH = 32
MAX_DIGITS = 4300  # Python's own limit for reading an integer
SPACE = " \t\n\r"
EXCERPT_CHARS = 100
WORDS = {
    "Expecting value": "expected a JSON value",
    "Unterminated string starting at": "this string has no closing quote",
    "Invalid control character at": "a control character in a string; write it as \\n, \\t or \\u00..",
    "Invalid \\escape": "an escape that JSON does not have",
    "Invalid \\uXXXX escape": "an incomplete \\u escape",
}


class _Refused(ValueError):
    """Text that the decoder accepts and a job file must not contain."""


class _Fault(Exception):
    """The first error in a text, and its place."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at


def _unique(pairs: list[tuple[str, Any]]) -> Fields:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Refused("a key occurs twice in one object")
    return made


def _constant(word: str) -> NoReturn:
    raise _Refused(f"expected a JSON value, found {word}")


def _number_of(text: str) -> str:
    if len(text) > MAX_DIGITS:
        raise _Refused(f"a number of {len(text)} characters; at most {MAX_DIGITS} are read")
    return text


def _float(text: str) -> float:
    value = float(_number_of(text))
    if not isfinite(value):
        raise _Refused(f"the number {_shown(text)} is too large")
    return value


def _int(text: str) -> int:
    return int(_number_of(text))


_scan = make_scanner(pairs=_unique, constant=_constant, floating=_float, integer=_int)
_scan_loosely = make_scanner(constant=str, floating=str, integer=str)
_encode = make_encoder()


def encode(value: object) -> bytes:
    """Return compact JSON.

    Raises:
        InvalidData: there is no JSON for this, or a text in it is not Unicode.
    """
    try:
        return _encode(value).encode()
    except UnicodeEncodeError:
        raise InvalidData("not a valid job: a text contains half of a surrogate pair, which is not Unicode") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidData(f"not a valid job: it cannot be written as JSON ({error})") from None


def read_object(data: bytes) -> tuple[str, Fields]:
    """Return the text of a file and the one object it holds.

    Raises:
        InvalidData: the first fault, with line, column and what was expected.
    """
    text = _decode(data)
    try:
        value, end = _scan(text, skip(text, 0))
        is_accepted = skip(text, end) == len(text) and isinstance(value, dict) and not _is_suspicious(text, value)
    except (ValueError, RecursionError):
        is_accepted = False
    fault = None if is_accepted else _first_fault(text)
    if fault is not None:
        raise invalid(text, fault.at, str(fault))
    return text, value


def read_value(data: bytes) -> Any:
    """Return the one value that a text holds, read as strictly as a job.

    Raises:
        InvalidData: the first fault, with line, column and what was expected.
    """
    text = _decode(data)
    try:
        value, end = _scan(text, skip(text, 0))
        is_accepted = skip(text, end) == len(text) and not _is_suspicious(text, {"": value})
    except (ValueError, RecursionError, StopIteration):
        is_accepted = False
    fault = None if is_accepted else _first_fault(text, is_object=False)
    if fault is not None:
        raise invalid(text, fault.at, str(fault))
    return value


def is_json(text: str) -> bool:
    """Tell whether a text keeps to the grammar of JSON, acceptable to us or not."""
    try:
        _, end = _scan_loosely(text, skip(text, 0))
    except ValueError:
        return False
    except RecursionError:
        return True
    return skip(text, end) == len(text)


def _is_suspicious(text: str, value: Fields) -> bool:
    """Tell whether a fault may be left that the decoder does not see; true for few texts that have none."""
    if "\\u0000" in text:
        return True
    if text.count("{") + text.count("[") > MAX_DEPTH and _is_too_deep(value):
        return True
    if "\\ud" in text or "\\uD" in text:
        try:
            encode(value)
        except InvalidData:
            return True
    return False


def _is_too_deep(value: Fields) -> bool:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        inside = [item for each in level for item in (each.values() if isinstance(each, dict) else each)]
        level = [item for item in inside if isinstance(item, (dict, list))]
    return bool(level)


def _decode(data: bytes) -> str:
    if data.startswith(b"\xef\xbb\xbf"):
        raise invalid("", 0, "a byte order mark; expected UTF-8 without one")
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        raise invalid("", 0, "UTF-32; expected UTF-8")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or _has_every_other(data[:4]):
        raise invalid("", 0, "UTF-16; expected UTF-8")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        text = data[: error.start].decode()
        raise invalid(text, len(text), f"byte 0x{data[error.start]:02x} is not UTF-8") from None
    if "\0" in text:
        raise invalid(text, text.index("\0"), f"byte {data.index(0)} is NUL; expected JSON text")
    return text


def _has_every_other(data: bytes) -> bool:
    """Tell whether every other byte is NUL, as in UTF-16 without a mark."""
    return [byte == 0 for byte in data] in ([True, False, True, False], [False, True, False, True])


def text_before_damage(data: bytes) -> str:
    """Return the beginning of a file up to the first byte that is NUL or not UTF-8."""
    data = data.partition(b"\0")[0]
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        return data[: error.start].decode()


# --- where things stand


def members(text: str) -> Iterator[tuple[str, int, int, int]]:
    """Yield (key, its place, the place of its value, the end of the value) of each whole top-level member.

    Ends without a word where the text ends or goes wrong. A member is whole when something follows it: without that,
    10 may be the beginning of 100. A list called `history` ends the series and is not gone into: its end is its place.
    """
    at = skip(text, 0)
    opened = "{"
    while text[at : at + 1] == opened:
        start = skip(text, at + 1)
        found = value_at(text, start)
        if found is None or not isinstance(found[0], str):
            return
        key, colon = found[0], skip(text, found[1])
        if text[colon : colon + 1] != ":":
            return
        begin = skip(text, colon + 1)
        if key == "history" and text[begin : begin + 1] == "[":
            yield key, start, begin, begin
            return
        found = value_at(text, begin)
        at = len(text) if found is None else skip(text, found[1])
        if found is None or at == len(text):
            return
        yield key, start, begin, found[1]
        opened = ","


def value_at(text: str, at: int) -> tuple[Any, int] | None:
    """Return the value that begins at `at` and its end; None when it is not whole."""
    try:
        return _scan(text, at)
    except (ValueError, RecursionError):
        return None


def place_of(text: str, key: str) -> int:
    """Return where a top-level key stands; 0 when it does not."""
    return next((start for name, start, _, _ in members(text) if name == key), 0)


def skip(text: str, at: int) -> int:
    """Return the next place that is not white space."""
    while at < len(text) and text[at] in SPACE:
        at += 1
    return at


def invalid(text: str, at: int, message: str) -> InvalidData:
    """Return the error that names a place, with a mark under it where its line can be shown."""
    line = text.count("\n", 0, at) + 1
    start = text.rfind("\n", 0, at) + 1
    column = at - start + 1
    shown_from = max(start, at - EXCERPT_CHARS * 3 // 4)
    shown = text[shown_from : shown_from + EXCERPT_CHARS].split("\n", 1)[0].rstrip("\r")
    excerpt = f"{shown}\n{' ' * (at - shown_from)}^" if shown.isprintable() and shown else None
    return InvalidData(f"not a valid job: line {line}, column {column}: {message}", excerpt=excerpt)


def _shown(text: str) -> str:
    text = text if len(text) <= 60 else text[:57] + "..."
    return text if text.isprintable() else ascii(text)[1:-1]


def _first_fault(text: str, *, is_object: bool = True) -> _Fault | None:
    """Return what is wrong with a text; the same whichever version of Python's decoder has refused it."""
    at = skip(text, 0)
    try:
        if at == len(text):
            raise _Fault(at, f"expected {'an object' if is_object else 'a JSON value'}, the file is empty")
        if is_object and text[at] != "{":
            raise _Fault(at, 'expected an object, as {"command": "..."}')
        end = skip(text, _walk(text, at, 1))
        if end < len(text):
            raise _Fault(end, f"expected the end of the file after the {'object' if is_object else 'value'}")
    except _Fault as fault:
        return fault
    return None


def _walk(text: str, at: int, depth: int) -> int:
    """Go through the value at `at` and return its end; raise _Fault at the first place that is not accepted."""
    opening = text[at : at + 1]
    if opening not in ("{", "["):
        return _walk_scalar(text, at)
    if depth > MAX_DEPTH:
        raise _Fault(at, f"nested more than {MAX_DEPTH} deep")
    closing = "}" if opening == "{" else "]"
    keys: set[str] = set()
    at = skip(text, at + 1)
    if text[at : at + 1] == closing:
        return at + 1
    while True:
        if opening == "{":
            at = _walk_key(text, at, keys)
        at = skip(text, _walk(text, at, depth + 1))
        if text[at : at + 1] == closing:
            return at + 1
        if text[at : at + 1] != ",":
            raise _Fault(at, f"expected ',' or '{closing}'")
        comma, at = at, skip(text, at + 1)
        if text[at : at + 1] == closing:
            raise _Fault(comma, f"a comma before '{closing}'")


def _walk_key(text: str, at: int, keys: set[str]) -> int:
    if text[at : at + 1] != '"':
        raise _Fault(at, "expected a key in double quotes")
    end = _walk_scalar(text, at)
    key, _ = _scan(text, at)
    if key in keys:
        raise _Fault(at, f"the key {_shown(text[at:end])} occurs twice in one object")
    keys.add(key)
    colon = skip(text, end)
    if text[colon : colon + 1] != ":":
        raise _Fault(colon, "expected ':'")
    return skip(text, colon + 1)


def _walk_scalar(text: str, at: int) -> int:
    try:
        value, end = _scan(text, at)
    except _Refused as error:
        raise _Fault(at, str(error)) from None
    except ValueError as error:  # json.JSONDecodeError, which is not imported for nothing
        words = str(getattr(error, "msg", error)).rstrip(": ")
        raise _Fault(getattr(error, "pos", at), WORDS.get(words, words)) from None
    if isinstance(value, str):
        if "\0" in value:
            raise _Fault(at, "this string contains the character NUL")
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise _Fault(at, "this string contains half of a surrogate pair, which is not text")
    return end
