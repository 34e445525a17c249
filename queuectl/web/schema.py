"""schema: the part of JSON Schema that openapi.json uses for what comes in.

Guarantees: pure; faults are told in words, each with a JSON pointer. What queuectl.job.fields checks itself is left to it
            (the schemas Fields and Edit).
Source:     JSON Schema 2020-12.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from queuectl.job.fields import spell_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    Fault = tuple[str, str, str | None]  # pointer, words that go on after a name, hint

ELSEWHERE = frozenset(("#/components/schemas/Fields", "#/components/schemas/Edit"))
TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "object": ((dict,), "an object"),
    "array": ((list,), "a list"),
    "string": ((str,), "a string"),
    "integer": ((int,), "an integer"),
    "number": ((int, float), "a number"),
    "boolean": ((bool,), "true or false"),
    "null": ((type(None),), "null"),
}


def faults(schema: Mapping[str, Any], value: Any, named: Mapping[str, Any], pointer: str = "") -> list[Fault]:
    """Return what is wrong with a value; `named` are the schemas that it may refer to."""
    return [*_faults(schema, value, named, pointer)]


def _faults(schema: Mapping[str, Any], value: Any, named: Mapping[str, Any], pointer: str) -> Iterator[Fault]:
    if "$ref" in schema:
        target = named[schema["$ref"].rpartition("/")[2]]
        if schema["$ref"] in ELSEWHERE:
            target = {"type": "object", "minProperties": target.get("minProperties", 0)}
        yield from _faults(target, value, named, pointer)
        return
    if "oneOf" in schema:
        kinds = [each for each in schema["oneOf"] if any(_is(value, name) for name in _types(each, named))]
        tried = [faults(each, value, named, pointer) for each in kinds]
        if not kinds:
            yield (
                pointer,
                _not_of(sorted({name for each in schema["oneOf"] for name in _types(each, named)}), value),
                None,
            )
        elif [] not in tried:  # the one that fits best is the one whose faults lie deepest
            yield from max(tried, key=lambda each: max(len(place) for place, _, _ in each))
        return
    types = _types(schema, named)
    if not any(_is(value, name) for name in types):
        yield pointer, _not_of(types, value), None
        return
    if "enum" in schema and value not in schema["enum"]:
        near = get_close_matches(str(value), [str(each) for each in schema["enum"]], 1)
        hint = f'did you mean "{near[0]}"?' if near else None
        yield pointer, f"must be {' or '.join(str(e) for e in schema['enum'])}, not {spell_value(value)}", hint
        return
    if isinstance(value, str):
        yield from _text(schema, value, pointer)
    elif isinstance(value, dict):
        yield from _object(schema, value, named, pointer)
    elif isinstance(value, list):
        yield from _list(schema, value, named, pointer)
    elif isinstance(value, (int, float)):
        yield from _number(schema, value, pointer)


def _types(schema: Mapping[str, Any], named: Mapping[str, Any]) -> list[str]:
    """Return the names of the types that a value may have."""
    types = named[schema["$ref"].rpartition("/")[2]]["type"] if "$ref" in schema else schema.get("type", [*TYPES])
    return [types] if isinstance(types, str) else types


def _not_of(types: list[str], value: object) -> str:
    return f"must be {' or '.join(TYPES[name][1] for name in types)}, not {spell_value(value)}"


def _is(value: object, name: str) -> bool:
    return isinstance(value, TYPES[name][0]) and (name == "boolean" or not isinstance(value, bool))


def _text(schema: Mapping[str, Any], value: str, pointer: str) -> Iterator[Fault]:
    if len(value) < schema.get("minLength", 0):
        yield pointer, "must not be empty", None
    elif len(value) > schema.get("maxLength", len(value)):
        yield pointer, f"must have at most {schema['maxLength']} characters", None
    elif "pattern" in schema and not re.search(schema["pattern"].replace("$", r"\Z"), value):
        yield pointer, f"must match {schema['pattern']}, which {spell_value(value)} does not", None


def _number(schema: Mapping[str, Any], value: float, pointer: str) -> Iterator[Fault]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        limits = f"from {low} to {high}" if high is not None else f"{low} or more"
        yield pointer, f"must be {limits}, not {spell_value(value)}", None


def _object(
    schema: Mapping[str, Any], value: dict[str, Any], named: Mapping[str, Any], pointer: str
) -> Iterator[Fault]:
    known = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{pointer}/{name}", "is missing", None
    if len(value) < schema.get("minProperties", 0):
        yield pointer, "must not be empty", f"known: {', '.join(known)}"
    for name, member in value.items():
        place = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
        if name in known:
            yield from _faults(known[name], member, named, place)
        elif schema.get("additionalProperties") is False:
            near = get_close_matches(name, known, 1)
            yield place, "is unknown", f'did you mean "{near[0]}"?' if near else f"known: {', '.join(known) or 'none'}"


def _list(schema: Mapping[str, Any], value: list[Any], named: Mapping[str, Any], pointer: str) -> Iterator[Fault]:
    if len(value) < schema.get("minItems", 0):
        yield pointer, "must not be empty", None
    elif len(value) > schema.get("maxItems", len(value)):
        yield pointer, f"must have at most {schema['maxItems']} items", None
    elif "items" in schema:
        for number, item in enumerate(value):
            yield from _faults(schema["items"], item, named, f"{pointer}/{number}")
