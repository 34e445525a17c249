"""operation: one method of one path: what a request may contain, which answers it has, and the function that makes them.

Owns:       the kinds of values that a parameter or a member of a body may have, each with its check and its JSON Schema.
Guarantees: what a table row does not name is refused. The fields of a job are checked where they are used (job.fields).
Fails with: Problem, with a pointer to each fault.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

from queuectl.errors import InvalidData
from queuectl.ids import ID_GRAMMAR, is_id
from queuectl.job.checks import flag, string
from queuectl.job.fields import EDITABLE, FIELDS, spell_value
from queuectl.job.strict_json import read_value
from queuectl.web.http_request import WRITES
from queuectl.web.response import JSON, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from queuectl.job.checks import Check
    from queuectl.web.app import Request
    from queuectl.web.response import Fault, Response

    Schema = dict[str, Any]

OBJECT = "an object"


class Kind(NamedTuple):
    """What a value may be: its JSON Schema, and a function that yields the faults of a value at a pointer."""

    schema: Schema
    faults: Callable[[Any, str], Iterable[Fault]]


class Field(NamedTuple):
    """A parameter of the path or the query, or a member of a body."""

    name: str
    kind: Kind
    help: str = ""
    is_required: bool = False


class Answer(NamedTuple):
    """One kind of answer: the name of its schema in answers.json, or the media types of what is not JSON."""

    schema: str = ""
    description: str = "OK"
    kinds: tuple[str, ...] = (JSON,)
    headers: tuple[tuple[str, str, str], ...] = ()  # name, type, description


# --- kinds


def checked(schema: Schema, check: Check, choices: Sequence[str] = ()) -> Kind:
    """Return the kind of what a check of job.fields accepts; `choices` are for the hint."""

    def faults(value: Any, pointer: str) -> Iterator[Fault]:
        expected = check(value)
        if expected is not None:
            near = get_close_matches(str(value), choices, 1)
            hint = f'did you mean "{near[0]}"?' if near else None
            yield pointer, f"must be {expected}, not {spell_value(value)}", hint

    return Kind(schema, faults)


def integer(low: int, high: int | None = None) -> Kind:
    """An integer in this range."""
    words = f"an integer of {low} or more" if high is None else f"an integer from {low} to {high}"

    def check(value: object) -> str | None:
        fine = (
            isinstance(value, int) and not isinstance(value, bool) and low <= value and (high is None or value <= high)
        )
        return None if fine else words

    limits = {"minimum": low} if high is None else {"minimum": low, "maximum": high}
    return checked({"type": "integer", **limits}, check)


def choice(*words: str) -> Kind:
    """One of these words."""
    return checked(
        {"type": "string", "enum": [*words]}, lambda value: None if value in words else " or ".join(words), words
    )


def matching(pattern: str, expected: str) -> Kind:
    """A text that matches a pattern."""
    found = re.compile(pattern.replace("$", r"\Z"))
    return checked(
        {"type": "string", "pattern": pattern},
        lambda value: None if isinstance(value, str) and found.search(value) else expected,
    )


def list_of(kind: Kind, most: int = 1000) -> Kind:
    """A list of 1 to `most` values."""

    def faults(value: Any, pointer: str) -> Iterator[Fault]:
        if not isinstance(value, list):
            yield pointer, f"must be a list, not {spell_value(value)}", None
        elif not value:
            yield pointer, "must not be empty", None
        elif len(value) > most:
            yield pointer, f"must have at most {most} items", None
        else:
            for number, item in enumerate(value):
                yield from kind.faults(item, f"{pointer}/{number}")

    return Kind({"type": "array", "items": kind.schema, "minItems": 1, "maxItems": most}, faults)


def members(*fields: Field, least: int = 0) -> Kind:
    """An object with these members and no others, at least `least` of them."""
    known = {field.name: field for field in fields}

    def faults(value: Any, pointer: str) -> Iterator[Fault]:
        if not isinstance(value, dict):
            yield pointer, f"must be {OBJECT}, not {spell_value(value)}", None
            return
        if len(value) < least:
            yield pointer, "must not be empty", f"known: {', '.join(known)}"
        for field in fields:
            if field.is_required and field.name not in value:
                yield f"{pointer}/{field.name}", "is missing", None
        for name, member in value.items():
            place = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            if name in known:
                yield from known[name].kind.faults(member, place)
            else:
                yield place, "is unknown", hint_of(name, known)

    schema = {
        "type": "object",
        "properties": {field.name: described(field) for field in fields},
        "required": [field.name for field in fields if field.is_required],
        "additionalProperties": False,
    }
    return Kind({**schema, "minProperties": least} if least else schema, faults)


def described(field: Field) -> Schema:
    """Return the schema of a field with its description."""
    return {**field.kind.schema, "description": field.help} if field.help else field.kind.schema


def hint_of(name: str, known: Iterable[str]) -> str:
    """Return the likely spelling of an unknown name, or all names that there are."""
    near = get_close_matches(name, [*known], 1)
    return f'did you mean "{near[0]}"?' if near else f"known: {', '.join(known) or 'none'}"


def fields_of_a_job(schema_name: str, needed: Sequence[str] = ()) -> Kind:
    """An object, checked by job.fields where the job is made or changed; with one of the `needed` fields, if there are any."""

    def faults(value: Any, pointer: str) -> Iterator[Fault]:
        if not isinstance(value, dict):
            yield pointer, f"must be {OBJECT}, not {spell_value(value)}", None
        elif needed and not value:
            yield pointer, "must not be empty", f"known: {', '.join(needed)}"

    return Kind({"$ref": f"#/components/schemas/{schema_name}"}, faults)


TEXT = checked({"type": "string"}, string)
FLAG = checked({"type": "boolean"}, flag)
ID = checked(
    {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$"},
    lambda value: None if is_id(value) else ID_GRAMMAR,
)
JOB = fields_of_a_job("Fields")
CHANGES = fields_of_a_job("Edit", [name for name in FIELDS if name in EDITABLE])


def one_or_many(kind: Kind, most: int) -> Kind:
    """An object, or a list of 1 to `most` of them."""
    many = list_of(kind, most)

    def faults(value: Any, pointer: str) -> Iterable[Fault]:
        if isinstance(value, (dict, list)):
            return (many if isinstance(value, list) else kind).faults(value, pointer)
        return [(pointer, f"must be a list or {OBJECT}, not {spell_value(value)}", None)]

    return Kind({"oneOf": [kind.schema, many.schema]}, faults)


# --- operations


class Operation:
    """One method of one path.

    Args:
        id: the operationId.
        fields: the parameters; those that are not in the path are in the query.
        body: None where there is none; it may be left out unless `needs_body`.
        answers: by status; ETag adds 304.
        problems: statuses of problems besides those that every such operation can have.
        is_open: needs no token.
    """

    def __init__(
        self,
        id: str,
        method: str,
        path: str,
        handler: Callable[[Request], Response],
        summary: str,
        *,
        fields: tuple[Field, ...] = (),
        body: Kind | None = None,
        needs_body: bool = True,
        answers: dict[int, Answer],
        problems: tuple[int, ...] = (),
        is_open: bool = False,
        description: str = "",
    ) -> None:
        self.id = id
        self.method = method
        self.path = path
        self.handler = handler
        self.summary = summary
        self.description = description
        names = re.findall(r"\{(\w+)\}", path)
        self.in_path = tuple(field for name in names for field in fields if field.name == name)
        self.in_query = {field.name: field for field in fields if field.name not in names}
        self.body = body
        self.needs_body = body is not None and needs_body
        self.answers = answers
        self.problems = problems
        self.is_open = is_open
        self.is_write = method in WRITES
        self.pattern = re.compile(re.sub(r"\\\{\w+\\\}", "([^/]+)", re.escape(path)))

    def places(self, path: str) -> dict[str, str] | None:
        """Return the parameters in a path; None when it is not a path of this operation."""
        found = self.pattern.fullmatch(path)
        if found is None:
            return None
        values = {field.name: decode(text) for field, text in zip(self.in_path, found.groups(), strict=True)}
        return None if any(any(field.kind.faults(values[field.name], "")) for field in self.in_path) else values

    def read_query(self, text: str) -> dict[str, Any]:
        """Return the parameters of a query string as their types.

        Raises:
            Problem: one is unknown, is given twice, is missing, or holds what it may not.
        """
        made: dict[str, Any] = {}
        wrong: list[Fault] = []
        for pair in text.split("&") if text else ():
            name, _, value = (decode(part.replace("+", " ")) for part in pair.partition("="))
            field = self.in_query.get(name)
            if field is None:
                wrong.append((f"?{name}", f'unknown parameter "{name}"', hint_of(name, self.in_query)))
            elif name in made:
                wrong.append((f"?{name}", f'"{name}" is given twice', None))
            else:
                made[name] = _typed(field.kind.schema["type"], value)
                wrong += [
                    (at, f'"{name}" {words}', hint) for at, words, hint in field.kind.faults(made[name], f"?{name}")
                ]
        for name, field in self.in_query.items():
            if field.is_required and name not in made:
                wrong.append((f"?{name}", f'"{name}" is missing', field.help or None))
        if wrong:
            raise problem_of_faults(400, wrong)
        return made

    def read_body(self, data: bytes) -> Any:
        """Return the body, read as strictly as a file in the spool; None where there is none.

        Raises:
            Problem: it is missing, is not JSON, or is not what the operation takes.
        """
        is_empty = not data.strip()
        if self.body is None and not is_empty and data.strip() != b"{}":
            raise Problem(400, "this request takes no body")
        if self.needs_body and is_empty:
            raise Problem(400, "this request needs a body")
        if self.body is None or is_empty:
            return None
        try:
            body = read_value(data)
        except InvalidData as error:
            words = str(error).removeprefix("not a valid job: ").replace("the file", "the body")
            raise Problem(400, f"the body is not valid JSON: {words}", error.hint) from None
        faults = [(at, f"{_name_of(at)} {words}", hint) for at, words, hint in self.body.faults(body, "")]
        if faults:
            raise problem_of_faults(422, faults)
        return body


def problem_of_faults(status: int, faults: Sequence[Fault]) -> Problem:
    """Return the problem that names the first faults, and points at all of them."""
    return Problem(status, "; ".join(words for _, words, _ in faults[:3]), faults[0][2], errors=faults)


def _name_of(pointer: str) -> str:
    """Return the name of what a pointer into the body points at: priority, ids[3], the body."""
    above, _, last = pointer.rpartition("/")
    if last.isdigit():
        return f"{above.rpartition('/')[2] or 'body'}[{last}]"
    return last or "the body"


def decode(text: str) -> str:
    """Undo percent-encoding, once.

    Raises:
        Problem: the result is not text.
    """
    try:
        made = unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise Problem(400, "the address holds bytes that are not UTF-8") from None
    if "\0" in made:
        raise Problem(400, "the address holds the character NUL")
    return made


def _typed(type_name: str, text: str) -> Any:
    """Return a parameter's text as its type; as text where it is not of that type."""
    if type_name == "integer" and re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    if type_name == "boolean" and text in ("true", "false"):
        return text == "true"
    return text
