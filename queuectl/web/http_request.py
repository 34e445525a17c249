"""http_request: reads a request from a connection, strictly.

Guarantees: a request is understood in one way only: what is ambiguous (two lengths, folded lines, bare newlines,
            transfer codings) is refused, and nothing after it on the connection is read. Memory is bounded by
            MAX_HEAD_BYTES and MAX_BODY_BYTES, time by IDLE_S between bytes and REQUEST_S altogether.
Fails with: Problem; ConnectionClosed when there is nobody to answer.
Source:     RFC 9112 §§ 2.2, 5.1, 5.2, 6.3, 11.2 (request smuggling).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from queuectl.web.response import Problem

if TYPE_CHECKING:
    import socket

    from queuectl.clock import Clock

MAX_HEAD_BYTES = 16 << 10
MAX_TARGET_CHARS = 8000
MAX_BODY_BYTES = 1 << 20
IDLE_S = 10.0
REQUEST_S = 30.0
WRITES = ("POST", "PUT", "DELETE")
LINE = re.compile(rb"([A-Z]{1,16}) ([!-~]+) HTTP/(\d)\.(\d)")
HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([ -~\t\x80-\xff]*?)[ \t]*")
ONCE = frozenset(
    [
        *("host", "content-length", "content-type", "transfer-encoding", "authorization", "cookie", "origin"),
        *("sec-fetch-site", "x-queuectl-token", "if-none-match", "connection", "expect"),
    ]
)


class ConnectionClosed(Exception):
    """The other side has hung up, or says nothing."""


class RequestHead:
    """What a request says before its body; header names are in lower case."""

    __slots__ = ("headers", "is_http10", "is_last", "length", "method", "path", "query")

    def __init__(
        self, method: str, target: str, headers: dict[str, str], *, is_last: bool, is_http10: bool, length: int
    ) -> None:
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.is_last = is_last
        self.is_http10 = is_http10  # HTTP/1.0, which knows no chunks
        self.length = length

    @property
    def is_write(self) -> bool:
        """Change something, by its method."""
        return self.method in WRITES


class Transport:
    """One connection."""

    def __init__(self, connection: socket.socket, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._rest = b""
        self._deadline = 0.0

    def read_head(self) -> RequestHead:
        """Wait for a request and read it up to its body."""
        if not self._rest:
            self._deadline = self._clock.monotonic() + IDLE_S
            try:
                self._receive()
            except Problem:  # nobody has asked for anything
                raise ConnectionClosed from None
        self._deadline = self._clock.monotonic() + REQUEST_S
        while (end := self._rest.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)) < 0:
            if len(self._rest) >= MAX_HEAD_BYTES:
                raise Problem(431, f"the head of the request is longer than {MAX_HEAD_BYTES >> 10} KiB")
            self._receive()
        data, self._rest = self._rest[:end], self._rest[end + 4 :]
        return parse_head(data)

    def read_body(self, head: RequestHead) -> bytes:
        """Read the body of a request."""
        if head.length and "expect" in head.headers:
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        parts, size = [self._rest], len(self._rest)
        while size < head.length:
            self._rest = b""
            self._receive()
            parts.append(self._rest)
            size += len(self._rest)
        data = b"".join(parts)
        self._rest = data[head.length :]
        return data[: head.length]

    def _receive(self) -> None:
        left = self._deadline - self._clock.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            self._connection.settimeout(min(left, IDLE_S))
            data = self._connection.recv(65536)
        except TimeoutError:
            raise Problem(408, f"the request took longer than {REQUEST_S:g} s, or stood still for {IDLE_S:g}") from None
        except OSError:
            raise ConnectionClosed from None
        if not data:
            raise ConnectionClosed
        self._rest += data

    def send(self, data: bytes) -> None:
        """Send all of it within REQUEST_S."""
        try:
            self._connection.settimeout(REQUEST_S)
            self._connection.sendall(data)
        except OSError:
            raise ConnectionClosed from None

    def discard_input(self) -> None:
        """Read a little of what nobody wants, so that the answer arrives before the connection is reset."""
        try:
            self._connection.shutdown(1)
            self._connection.settimeout(0.2)
            for _ in range(32):
                if not self._connection.recv(65536):
                    return
        except OSError:
            return


def parse_head(data: bytes) -> RequestHead:
    """Understand the head of a request."""
    first, *lines = data.split(b"\r\n")
    line = LINE.fullmatch(first)
    if line is None:
        raise Problem(400, "not a valid HTTP request line")
    method, target, major, minor = (part.decode("ascii") for part in line.groups())
    if major != "1":
        raise Problem(505, "only HTTP/1.1 and HTTP/1.0 are supported")
    if len(target) > MAX_TARGET_CHARS:
        raise Problem(414, f"the target is longer than {MAX_TARGET_CHARS} characters")
    if target[0] != "/" or "#" in target:
        raise Problem(400, "the target must begin with a slash")
    headers = _headers(lines)
    if "transfer-encoding" in headers:
        raise Problem(411, "Transfer-Encoding is not accepted", "send a Content-Length")
    if headers.get("expect", "100-continue").lower() != "100-continue":
        raise Problem(417, "this expectation is not supported")
    connection = headers.get("connection", "keep-alive" if minor != "0" else "close").lower()
    is_last = "close" in connection or (minor == "0" and "keep-alive" not in connection)
    return RequestHead(method, target, headers, is_last=is_last, is_http10=minor == "0", length=_length(headers))


def _headers(lines: list[bytes]) -> dict[str, str]:
    made: dict[str, str] = {}
    for text in lines:
        found = HEADER.fullmatch(text)
        if found is None:
            raise Problem(400, "a header line is malformed")
        name, value = found[1].decode("ascii").lower(), found[2].decode("latin-1")
        if name in made:
            if name in ONCE:
                raise Problem(400, f"the header {name} occurs twice")
            value = f"{made[name]}, {value}"
        made[name] = value
    return made


def _length(headers: dict[str, str]) -> int:
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise Problem(400, "Content-Length must be digits only")
    if len(text) > 7 or int(text) > MAX_BODY_BYTES:
        raise Problem(413, f"the body is longer than {MAX_BODY_BYTES >> 20} MiB", "enqueue fewer jobs at a time")
    return int(text)
