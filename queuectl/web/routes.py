"""routes: openapi.json, read at start: the routes, and what a request may contain.

Owns:       openapi.json; matching paths; checking parameters and bodies.
Guarantees: what is not documented does not exist: every route, parameter and member of a body comes from that file.
Fails with: Problem, with a pointer to each fault.
"""

from __future__ import annotations

import json
import os
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from queuectl.web.response import Problem
from queuectl.web.schema import faults

if TYPE_CHECKING:
    from typing import Any

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "openapi.json")


class Operation:
    """One method of one path.

    Attributes:
        is_open: needs no token.
        is_write: changes something.
        body: the schema of the body; None when it has none.
    """

    def __init__(self, method: str, path: str, spec: dict[str, Any]) -> None:
        self.method = method
        self.path = path
        self.id: str = spec["operationId"]
        self.is_open = spec["security"] == []
        self.is_write = method in ("POST", "PUT", "DELETE")
        self.parameters = {p["name"]: p for p in spec.get("parameters", ())}
        body = spec.get("requestBody")
        self.body: dict[str, Any] | None = body and body["content"]["application/json"]["schema"]
        self.needs_body = bool(body and body["required"])


class Routes:
    """The whole document.

    Attributes:
        text: the file itself.
        operations: all of them, in the order of the file.
    """

    def __init__(self, path: str = PATH) -> None:
        with open(path, "rb") as file:
            self.text = file.read()
        document = json.loads(self.text)
        self.schemas: dict[str, Any] = document["components"]["schemas"]
        self.operations = [
            Operation(method.upper(), path, spec)
            for path, methods in document["paths"].items()
            for method, spec in methods.items()
        ]
        # A word of its own comes before a parameter: /jobs/{id} after /jobs/search, were there one.
        self._by_path: dict[str, list[Operation]] = {}
        for operation in sorted(self.operations, key=lambda each: each.path.count("{")):
            self._by_path.setdefault(operation.path, []).append(operation)
        self._patterns = [
            (re.compile(re.sub(r"\\\{\w+\\\}", "([^/]+)", re.escape(path))), operations)
            for path, operations in self._by_path.items()
        ]

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]]:
        """Return the operation that a request means, with the parameters in its path.

        Raises:
            Problem: there is none.
        """
        for pattern, operations in self._patterns:
            found = pattern.fullmatch(path)
            if found is None:
                continue
            names = re.findall(r"\{(\w+)\}", operations[0].path)
            places = dict(zip(names, (decode(part) for part in found.groups()), strict=True))
            if any(faults(operations[0].parameters[n]["schema"], text, self.schemas) for n, text in places.items()):
                continue
            for operation in operations:
                if operation.method == ("GET" if method == "HEAD" else method):
                    return operation, places
            allowed = [operation.method for operation in operations]
            allow = ", ".join([*allowed, "HEAD"] if "GET" in allowed else allowed)
            raise Problem(
                405, f"{method} is not allowed for this address", f"allowed: {allow}", headers={"Allow": allow}
            )
        raise Problem(404, "there is nothing at this address", "the API is described at /api/v1/openapi.json")

    def query(self, operation: Operation, text: str) -> dict[str, Any]:
        """Return the parameters of a query string.

        Raises:
            Problem: one is unknown, stands there twice, or holds what it may not.
        """
        known = {name: p["schema"] for name, p in operation.parameters.items() if p["in"] == "query"}
        made: dict[str, Any] = {}
        wrong: list[tuple[str, str, str | None]] = []
        for pair in text.split("&") if text else ():
            name, _, value = (decode(part.replace("+", " ")) for part in pair.partition("="))
            if name not in known:
                near = get_close_matches(name, known, 1)
                hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(known) or 'none'}"
                wrong.append((f"?{name}", f'unknown parameter "{name}"', hint))
            elif name in made:
                wrong.append((f"?{name}", f'"{name}" stands there twice', None))
            else:
                made[name] = typed(known[name], value)
                wrong += [
                    (f"?{name}", f'"{name}" {words}', hint) for _, words, hint in faults(known[name], made[name], {})
                ]
        if wrong:
            raise Problem(400, "; ".join(detail for _, detail, _ in wrong[:3]), wrong[0][2], errors=wrong)
        return made

    def check_body(self, operation: Operation, body: object) -> None:
        """Refuse a body that is not what the operation takes."""
        wrong = faults(operation.body or {}, body, self.schemas)
        if wrong:
            told = [(pointer, f"{name_of(pointer)} {words}", hint) for pointer, words, hint in wrong]
            raise Problem(422, "; ".join(detail for _, detail, _ in told[:3]), told[0][2], errors=told)


def name_of(pointer: str) -> str:
    """Return what a pointer into the body leads to as a word for a sentence: priority, ids[3], the body."""
    above, _, last = pointer.rpartition("/")
    if last.isdigit():
        return f"{above.rpartition('/')[2] or 'body'}[{last}]"
    return last or "the body"


def decode(text: str) -> str:
    """Undo percent-encoding, once.

    Raises:
        Problem: what comes out is no text.
    """
    try:
        made = unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise Problem(400, "the address holds bytes that are not UTF-8") from None
    if "\0" in made:
        raise Problem(400, "the address holds the character NUL")
    return made


def typed(schema: dict[str, Any], text: str) -> Any:
    """Return a parameter's text as its type; as text where it is none."""
    if schema["type"] == "integer" and re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    if schema["type"] == "boolean" and text in ("true", "false"):
        return text == "true"
    return text
