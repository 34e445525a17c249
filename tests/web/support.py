"""A served page in this process, and clients for it: one that checks every answer against openapi.json, and raw bytes."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from queuectl.client.queue import Queue
from queuectl.web.routes import document
from queuectl.web.serve import ServeOptions, build

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = json.loads(document())
EVERYWHERE = {400, 405, 408, 414, 421, 431}  # as the document's description says
PATIENCE_S = 20.0


class Reply:
    """One answer."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"Reply({self.status}, {self.headers}, {self.body[:500]!r})"


class Served:
    """A server with a thread of its own; use as a context manager."""

    def __init__(self, home: Path, **wanted: Any) -> None:
        self.queue = Queue(home)
        self.home = home
        self.wanted = ServeOptions("127.0.0.1", 0, **wanted)

    def __enter__(self) -> Served:
        self.server = build(self.queue, self.wanted)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        self.server.app.close()

    @property
    def port(self) -> int:
        assert self.server.address is not None
        return self.server.address[1]

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return (self.home / "web.token").read_text().strip()

    # --- a client that behaves

    def ask(
        self, method: str, path: str, body: Any = None, *, auth: bool = True, headers: dict[str, str] | None = None
    ) -> Reply:
        """Ask, and hold the answer against the document."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self.token}"} if auth else {}
        if method in ("POST", "PUT") or data is not None:
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            reply = Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()
        check_documented(method, path.partition("?")[0], reply)
        return reply

    def get(self, path: str, **more: Any) -> Any:
        """Return the JSON of a 200."""
        reply = self.ask("GET", path, **more)
        assert reply.status == 200, reply
        return reply.json

    def post(self, path: str, body: Any, **more: Any) -> Any:
        """Return the JSON of a success."""
        reply = self.ask("POST", path, body, **more)
        assert reply.status in (200, 201, 202), reply
        return reply.json

    # --- a client that need not

    def connect(self, timeout_s: float = PATIENCE_S) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)

    def raw(self, data: bytes, *, shut: bool = False) -> bytes:
        """Send bytes, and return everything until the server hangs up or has answered."""
        with self.connect() as connection:
            try:
                connection.sendall(data)
                if shut:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has refused already, which is in what it sent
            return read_answer(connection, is_head=data.startswith(b"HEAD "))

    def head(self, method: str = "GET", target: str = "/api/v1/jobs", *lines: str, host: str | None = None) -> bytes:
        """A request of somebody who knows the token."""
        first = [f"{method} {target} HTTP/1.1", f"Host: {host or self.host}", f"Authorization: Bearer {self.token}"]
        return "\r\n".join([*first, *lines, "", ""]).encode("latin-1")


def read_answer(connection: socket.socket, *, is_head: bool = False) -> bytes:
    """Read one answer, as far as its length says, or to the end of the connection."""
    data = b""
    while True:
        try:
            more = connection.recv(65536)
        except ConnectionResetError:
            return data
        if not more:
            return data
        data += more
        head, separator, body = data.partition(b"\r\n\r\n")
        if separator and is_head:
            return data
        if separator and b"100 Continue" not in head:
            for line in head.split(b"\r\n"):
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length" and len(body) >= int(value):
                    return data


def status_of(answer: bytes) -> int:
    """The status of a raw answer; 0 when there was none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def find_path(path: str) -> str | None:
    """The path of the document that an address belongs to."""
    parts = path.split("/")
    for template in sorted(DOCUMENT["paths"], key=lambda each: each.count("{")):
        words = template.split("/")
        if len(words) == len(parts) and all(w == p or w[:1] == "{" for w, p in zip(words, parts, strict=True)):
            return str(template)
    return None


def check_documented(method: str, path: str, reply: Reply) -> None:
    """The status is documented, and the body is what is documented for it."""
    assert reply.status != 500, reply
    template = find_path(path)
    spec = DOCUMENT["paths"].get(template, {}).get("get" if method == "HEAD" else method.lower())
    if spec is None or (str(reply.status) not in spec["responses"] and reply.status in EVERYWHERE):
        assert reply.status in EVERYWHERE | {404}, reply
        check_body({"$ref": "#/components/schemas/Problem"}, reply.json)
        return
    assert str(reply.status) in spec["responses"], (method, path, reply)
    answer = spec["responses"][str(reply.status)]
    if "$ref" in answer:
        answer = DOCUMENT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    kind = reply.headers.get("content-type", "").partition(";")[0]
    if "content" not in answer or method == "HEAD":
        assert reply.body == b""
        return
    assert kind in answer["content"] or "download" in str(reply.headers), (kind, reply)
    if kind in ("application/json", "application/problem+json"):
        check_body(answer["content"][kind]["schema"], reply.json)


def check_body(schema: dict[str, Any], body: Any) -> None:
    """The body matches a schema of the document."""
    validator = Draft202012Validator({**schema, "components": DOCUMENT["components"]})
    faults = [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:300]}" for e in validator.iter_errors(body)]
    assert not faults, faults
