"""Bodies of requests: what is no job, and members that a request does not have, are refused, with the place and the reason."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from queuectl.web.routes import document

if TYPE_CHECKING:
    from tests.web.support import Served


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"command": "x", "priority": "high"}, 422, "/priority"),
        ({"command": "x", "priorty": 1}, 422, "/priorty"),
        ({"command": "x", "argv": ["y"]}, 422, "/argv"),
        ({}, 422, "/argv"),
        ({"command": ""}, 422, "/command"),
        ({"command": "x", "env": {"A": 1}}, 422, "/env"),
        ({"command": "x", "cwd": "here"}, 422, "/cwd"),
        ({"command": "x", "id": "../x"}, 422, "/id"),
        ({"command": "x", "after": ["y"]}, 422, "/after"),
        ([], 422, ""),
        ([{"command": "x"}] * 1001, 422, ""),
        (b"1", 422, ""),
        (b'"x"', 422, ""),
        (b"null", 422, ""),
        (b'[{"command": "x"}], "a": 1', 400, None),
        (b'[{"command": "x"}]}', 400, None),
        ({"command": "é" * 65536}, 422, "/command"),
        ({"argv": ["echo", "x" * 131072]}, 422, "/argv"),
        ({"command": "x", "env": {"A": "x" * 131070}}, 422, "/env"),
        (b"{", 400, None),
        (b'{"command": "x",}', 400, None),
        (b'{"command": "x", "command": "y"}', 400, None),
        (b'{"command": NaN}', 400, None),
        (b'{"command": "\\ud800"}', 400, None),
        (b'{"command": "\xff"}', 400, None),
        (b'[{"command": "x"},]', 400, None),
        (b"[" * 100000, 400, None),
        (b"", 400, None),
    ],
)
def test_what_is_no_job_is_refused(web: Served, body: Any, status: int, pointer: str | None) -> None:
    reply = web.ask("POST", "/api/v1/jobs", body)
    assert reply.status == status, reply
    if pointer is not None:
        assert reply.json["errors"][0]["pointer"] == pointer, reply
    assert not web.queue.list()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "the body must not be empty"),
        ([{"command": "x"}] * 1001, "the body must have at most 1000 items"),
        ([{"command": "x"}, 5], "body[1] must be an object, not 5"),
        (7, "the body must be a list or an object, not 7"),
        (b"", "this request needs a body"),
        (b'[{"command": "x"},\n {"command":}]', "the body is not valid JSON: line 2, column 13: expected a JSON value"),
        (
            b'[{"command": "x"}], "a": 1',
            "the body is not valid JSON: line 1, column 19: expected the end of the body after the value",
        ),
    ],
)
def test_what_is_wrong_with_a_list_is_said_of_the_list(web: Served, body: Any, words: str) -> None:
    assert web.ask("POST", "/api/v1/jobs", body).json["detail"] == words


def test_all_that_is_wrong_with_a_job_is_said_at_once(web: Served) -> None:
    """What cannot be in any job, and, where nothing of that kind is wrong, what cannot be in a job now."""
    past = "2020-01-01T00:00:00Z"
    never = {"command": "x", "expires_at": past, "env": {"A B": "1"}, "needs": {"gpu": 1}, "after": ["none"]}
    for body, pointers in (
        ({"priority": "high", "timeout": -1, "prioritty": 1}, ["/prioritty", "/priority", "/timeout", "/argv"]),
        (never, ["/expires_at", "/env", "/needs", "/after"]),
    ):
        for path in ("/api/v1/jobs", "/api/v1/jobs?dry_run=true"):
            reply = web.ask("POST", path, body)
            assert (reply.status, [each["pointer"] for each in reply.json["errors"]]) == (422, pointers)
            assert all(each["detail"] in reply.json["detail"] for each in reply.json["errors"][:3])
    several = web.ask("POST", "/api/v1/jobs?dry_run=true", [{"command": "x"}, {"priority": "high"}])
    assert [each["pointer"] for each in several.json["errors"]] == ["/1/priority", "/1/argv"]
    accepted = web.post("/api/v1/jobs", [{"command": "x"}, {"priority": "high"}])
    [refused] = accepted["refused"]
    assert (refused["index"], refused["pointer"]) == (1, "/1/priority")
    assert '"priority" must be' in refused["detail"]
    assert 'either "command" or "argv"' in refused["detail"]


def test_all_that_is_wrong_with_an_edit_is_said_at_once(web: Served) -> None:
    web.queue.enqueue("x", id="j")
    reply = web.ask("POST", "/api/v1/jobs/j/edit", {"set": {"priority": "high", "cwd": "here"}})
    assert sorted(each["pointer"] for each in reply.json["errors"]) == ["/set/cwd", "/set/priority"]


def _documented_bodies() -> list[tuple[str, str, tuple[str, ...]]]:
    """Return method and path of each operation with an object as its body, and the members of that."""
    found = []
    paths = json.loads(document())["paths"]
    for path, operations in paths.items():
        for method, operation in operations.items():
            schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            if path.startswith("/api/") and schema.get("type") == "object":
                at = re.sub(r"\{task\}", "0" * 16, path)
                at = at.replace("{key}", "web_port")
                found.append((method.upper(), re.sub(r"\{\w+\}", "any", at), tuple(schema.get("properties", ()))))
    return found


@pytest.mark.parametrize(("method", "path", "names"), _documented_bodies())
def test_no_member_of_a_body_is_ignored(web: Served, method: str, path: str, names: tuple[str, ...]) -> None:
    for name in ("no_such_member", *names):
        refused = web.ask(method, path, {name: [[True]]})
        assert refused.status in (400, 422), (name, refused)
        assert any(error["pointer"].startswith(f"/{name}") for error in refused.json["errors"]), (name, refused)
