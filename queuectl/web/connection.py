"""connection: the requests of one client, one after the other.

A request is read (http_request), its operation is found (routes), it is allowed or not (auth), its parameters and its body
are checked (operation), the handler of the operation answers it, and a write is logged.

Guarantees: every answer has an exact length or is chunked; after an answer to something that was not understood the
            connection ends; whatever a handler raises becomes a problem. Every write leaves a line in logs/web.log.
"""

from __future__ import annotations

import time
from http.client import responses
from typing import TYPE_CHECKING

from queuectl.errors import QueueError
from queuectl.web.app import Request
from queuectl.web.http_request import ConnectionClosed, Transport
from queuectl.web.response import Problem, Response, problem_of
from queuectl.web.routes import find

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from queuectl.web.app import App
    from queuectl.web.http_request import RequestHead
    from queuectl.web.operation import Operation

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
ALWAYS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
ALWAYS_TEXT = "".join(f"{name}: {value}\r\n" for name, value in ALWAYS.items())


class Connection:
    """One client.

    Args:
        peer: its address, for the log.
        set_idle: called with True before a request is waited for, and with False when one has come.
    """

    def __init__(self, app: App, connection: socket.socket, peer: str, set_idle: Callable[[bool], None]) -> None:
        self._app = app
        self._socket = connection
        self._transport = Transport(connection, app.clock)
        self._peer = peer
        self._set_idle = set_idle

    def serve(self) -> None:
        """Answer requests until one side has had enough."""
        try:
            while self._serve_one():
                pass
        except ConnectionClosed:
            return

    def _serve_one(self) -> bool:
        """Answer one request; False when it was the last."""
        self._set_idle(True)
        try:
            head = self._transport.read_head()
            body = self._transport.read_body(head)
        except Problem as problem:  # where the next request begins is not known any more
            self._send(None, problem.response(), is_last=True)
            self._transport.discard_input()
            return False
        self._set_idle(False)
        response = self._respond(head, body)
        is_last = head.is_last or (head.is_http10 and response.stream is not None)
        self._send(head, response, is_last=is_last)
        return not is_last

    def _respond(self, head: RequestHead, body: bytes) -> Response:
        operation, request, how, problem = None, None, "-", None
        try:
            self._app.access.check_host(head)
            operation, places = find(head.method, head.path)
            how = self._app.access.admit(head, is_open=operation.is_open)
            params = {**operation.read_query(head.query), **places}
            request = Request(self._app, head, params, operation.read_body(body))
            response = operation.handler(request)
        except Problem as found:
            problem = found
        except QueueError as error:
            problem = problem_of(error, self._app.home)
        except OSError as error:
            self._app.note("error", f"{head.method} {head.path[:200]} failed: {error} action=disk")
            problem = Problem(503, f"the disk refused the operation: {error.strerror}")
        except Exception:  # noqa: BLE001 - a bug in one answer must not end the others
            self._app.note("exception", f"{head.method} {head.path[:200]} failed action=bug")
            problem = Problem(500, "this is a bug in queuectl", "see logs/web.log")
        if problem is not None:
            response = problem.page() if _is_for_a_person(head) else problem.response()
        self._note(head, operation, request, how, response)
        return response

    def _note(
        self, head: RequestHead, operation: Operation | None, request: Request | None, how: str, response: Response
    ) -> None:
        """Leave a line about a write, and about who was not let in; never a token, a query or a body."""
        is_write = operation is not None and operation.is_write
        if is_write:
            self._app.writes.note_write()
        if is_write or response.status in (401, 403, 421, 429):
            log_fields = " ".join(f"{key}={value}" for key, value in (request.log_fields if request else {}).items())
            words = f"{head.method} {head.path[:200]} {response.status} client={self._peer} auth={how} action=web {log_fields}"
            self._app.note("info" if response.status < 400 else "warning", words.rstrip())

    # --- sending

    def _send(self, head: RequestHead | None, response: Response, *, is_last: bool) -> None:
        is_stream = response.stream is not None
        is_http10 = head is not None and head.is_http10
        lines = [f"HTTP/1.1 {response.status} {responses.get(response.status, '')}"]
        lines.append(time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT", time.gmtime(self._app.clock.now())))
        lines += [
            f"{name}: {value}" for name, value in response.headers.items() if response.status != 304 or name == "ETag"
        ]
        if is_stream and "Content-Length" not in response.headers:
            lines += [] if is_http10 else ["Transfer-Encoding: chunked"]
        elif not is_stream and response.status not in (204, 304):
            lines.append(f"Content-Length: {len(response.body)}")
        if is_last:
            lines.append("Connection: close")
        text = ("\r\n".join(lines) + "\r\n" + ALWAYS_TEXT + "\r\n").encode("latin-1", "replace")
        has_body = (head is None or head.method != "HEAD") and response.status not in (204, 304)
        if not is_stream:
            self._transport.send(text + (response.body if has_body else b""))
            return
        assert response.stream is not None
        try:
            self._transport.send(text)
            if has_body:
                is_chunked = "Content-Length" not in response.headers and not is_http10
                self._send_pieces(response.stream.pieces, is_chunked=is_chunked)
        finally:
            response.stream.close()

    def _send_pieces(self, pieces: Iterator[bytes], *, is_chunked: bool) -> None:
        for data in pieces:
            if not data:
                self._check_there()
            elif is_chunked:
                self._transport.send(b"%x\r\n%b\r\n" % (len(data), data))
            else:
                self._transport.send(data)
        if is_chunked:
            self._transport.send(b"0\r\n\r\n")

    def _check_there(self) -> None:
        """Notice a client that has hung up although there is nothing to send."""
        try:
            self._socket.settimeout(0)
            if self._socket.recv(1, 2) == b"":  # MSG_PEEK
                raise ConnectionClosed
        except BlockingIOError:
            return
        except OSError:
            raise ConnectionClosed from None


def _is_for_a_person(head: RequestHead) -> bool:
    """Tell whether a browser has opened this address, and no script has asked for it."""
    return head.method == "GET" and "text/html" in head.headers.get("accept", "")
