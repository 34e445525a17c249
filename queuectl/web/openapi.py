"""openapi: the description of the API as an OpenAPI document, made from the table of routes.

Owns:       answers.json: the JSON Schemas of the answers. tests/web/support.py compares every answer of every test with them.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from queuectl.job.fields import EDITABLE, FIELDS
from queuectl.json_schema import JOB
from queuectl.web.response import JSON, PROBLEM

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from queuectl.web.operation import Answer, Field, Operation

ANSWERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "answers.json")
INFO = {
    "title": "QueueCTL",
    "version": "1",
    "license": {"name": "MIT", "identifier": "MIT"},
    "description": (
        "A local job queue over HTTP. Anyone who can enqueue can run commands as the queue's owner. Therefore every "
        "request needs the token, except those for the page itself and /livez. Every request can also be answered with "
        "421 (unknown Host), 405, 408 (the request took more than 30 s), 414, 431 or 500; unknown query parameters are "
        "errors. Instants are RFC 3339 in UTC; durations are seconds. Field names are those of the command line's --json."
    ),
}
PROBLEMS = {
    400: "The request, a parameter or the JSON is malformed",
    401: "No token, or a wrong one",
    403: "Refused: read-only, another origin, no X-QueueCTL-Token",
    404: "No such job, worker, setting or file",
    409: "The id exists, or the job is in another state",
    410: "The selection no longer exists",
    411: "A length is missing",
    413: "More than 1 MiB",
    415: "The content type is not application/json",
    422: "The body is valid JSON, but does not match the schema; or the job's file is damaged",
    429: "Too many wrong tokens",
    503: "Busy, full, or no supervisor; try again",
}
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "the token, for scripts"},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "queuectl-5000",
        "description": "set by POST /api/v1/session; the name ends in the port",
    },
    "writeToken": {
        "type": "apiKey",
        "in": "header",
        "name": "X-QueueCTL-Token",
        "description": "with the cookie, for every write: write_token of POST /api/v1/session",
    },
}
NOT_IN_NEW_JOBS = ("state", "attempts", "created_at", "updated_at")


def document_of(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document of these operations."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    with open(ANSWERS, "rb") as file:
        schemas = json.load(file)
    return {
        "openapi": "3.1.0",
        "info": INFO,
        "paths": paths,
        "components": {
            "schemas": {**schemas, **_fields()},
            "responses": {f"P{status}": _problem(words) for status, words in PROBLEMS.items()},
            "securitySchemes": SECURITY,
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    fields = [("path", field) for field in operation.in_path]
    fields += [("query", field) for field in operation.in_query.values()]
    ways: list[dict[str, list[str]]] = [
        {"bearer": []},
        {"cookie": [], **({"writeToken": []} if operation.is_write else {})},
    ]
    made: dict[str, Any] = {"operationId": operation.id, "summary": operation.summary}
    if operation.description:
        made["description"] = operation.description
    if fields:
        made["parameters"] = [_parameter(field, place) for place, field in fields]
    if operation.body is not None:
        made["requestBody"] = {"required": operation.needs_body, "content": {JSON: {"schema": operation.body.schema}}}
    answers = {str(status): _answer(answer) for status, answer in operation.answers.items()}
    if any("ETag" in answer.get("headers", ()) for answer in answers.values()):
        answers["304"] = {"description": "Unchanged since that ETag"}
    problems = {str(status): {"$ref": f"#/components/responses/P{status}"} for status in _problems(operation)}
    return {**made, "responses": {**problems, **answers}, "security": [] if operation.is_open else ways}


def _parameter(field: Field, place: str) -> dict[str, Any]:
    made = {
        "name": field.name,
        "in": place,
        "required": place == "path" or field.is_required,
        "schema": field.kind.schema,
    }
    return {**made, "description": field.help} if field.help else made


def _answer(answer: Answer) -> dict[str, Any]:
    text, schema = {"type": "string"}, {"$ref": f"#/components/schemas/{answer.schema}"}
    made: dict[str, Any] = {
        "description": answer.description,
        "content": {
            kind.partition(";")[0]: {"schema": schema if answer.schema and kind == JSON else text}
            for kind in answer.kinds
        },
    }
    if answer.headers:
        made["headers"] = {
            name: {"description": words, "schema": {"type": kind}} for name, kind, words in answer.headers
        }
    return made


def _problems(operation: Operation) -> list[int]:
    """Return the statuses of the problems that an operation can answer with."""
    found = {400, 503, *operation.problems}
    if not operation.is_open:
        found |= {401, 429}
    if operation.is_write:
        found |= {403, 415}
    if operation.in_path:
        found |= {404, 422} if operation.is_write else {404}
    if operation.body is not None:
        found |= {411, 413, 422}
    return sorted(found)


def _problem(words: str) -> dict[str, Any]:
    return {"description": words, "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def _fields() -> dict[str, dict[str, Any]]:
    """Return the schemas of a new job and of changes to one, from that of a job file."""
    new = {name: JOB[name] for name in FIELDS if name not in NOT_IN_NEW_JOBS}
    one = {
        "stdin_text": {
            "type": "string",
            "description": "what the command reads on its standard input; only of one job",
        },
        "stdin_base64": {"type": "string", "description": "the same as base64"},
    }
    changes = {name: _or_null(schema) for name, schema in new.items() if name in EDITABLE}
    return {
        "Fields": {
            "type": "object",
            "description": "the fields of a job; other members are kept, unless their names look like one of these: at, delay, prio, comand",
            "properties": {**new, **one},
        },
        "Edit": {
            "type": "object",
            "description": "fields to change; null removes a field",
            "properties": changes,
            "additionalProperties": False,
            "minProperties": 1,
        },
    }


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    return {**schema, "type": [schema["type"], "null"]}
