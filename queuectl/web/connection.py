"""connection: one client's requests, one after the other: read, let in, answered, noted.

Guarantees: every answer has an exact length or is chunked; after an answer to something that was not understood the
            connection ends; whatever a handler raises becomes a problem. Every write leaves a line in logs/web.log.
"""

from __future__ import annotations

import re
import time
from http.client import responses
from typing import TYPE_CHECKING

from queuectl.errors import InvalidData, QueueError
from queuectl.job.strict_json import read_object
from queuectl.web.app import Ask
from queuectl.web.handlers import HANDLERS
from queuectl.web.http_request import Gone, Wire
from queuectl.web.response import Answer, Problem, of_error

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from queuectl.web.app import Site
    from queuectl.web.http_request import Head
    from queuectl.web.routes import Operation

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
        peer: who it is, for the log.
        rests: called with True before a request is waited for, and with False when one has come.
    """

    def __init__(self, site: Site, connection: socket.socket, peer: str, rests: Callable[[bool], None]) -> None:
        self._site = site
        self._socket = connection
        self._wire = Wire(connection, site.clock)
        self._peer = peer
        self._rests = rests

    def serve(self) -> None:
        """Answer requests until one side has had enough."""
        try:
            while self._serve_one():
                pass
        except Gone:
            return

    def _serve_one(self) -> bool:
        """Answer one request; False when it was the last."""
        head = None
        try:
            self._rests(True)
            head = self._wire.read_head()
            body = self._wire.read_body(head)
            self._rests(False)
        except Problem as problem:
            if head is None or problem.status == 408:
                self._send(None, problem.answer(), is_last=True)
                self._wire.drain()
                return False
            raise AssertionError(problem) from None
        answer = self._answer(head, body)
        is_last = head.is_last or (head.is_old and answer.stream is not None)
        self._send(head, answer, is_last=is_last)
        return not is_last

    def _answer(self, head: Head, body: bytes) -> Answer:
        operation, ask, how = None, None, "-"
        try:
            self._site.guard.check_host(head)
            operation, places = self._site.contract.find(head.method, head.path)
            how = self._site.guard.admit(head, operation)
            params = {**self._site.contract.query(operation, head.query), **places}
            ask = Ask(self._site, operation, head, params, self._body(operation, body))
            answer = HANDLERS[operation.id](ask)
        except Problem as problem:
            answer = problem.answer()
        except QueueError as error:
            answer = of_error(error, self._site.home).answer()
        except OSError as error:
            self._site.note("error", f"{head.method} {head.path[:200]} failed: {error} action=disk")
            answer = Problem(503, f"the disk does not do what was asked: {error.strerror}").answer()
        except Exception:  # noqa: BLE001 - a bug in one answer must not end the others
            self._site.note("exception", f"{head.method} {head.path[:200]} failed action=bug")
            answer = Problem(500, "this is a bug in queuectl", "logs/web.log tells more").answer()
        self._note(head, operation, ask, how, answer)
        return answer

    def _body(self, operation: Operation, data: bytes) -> object:
        """Read a body as strictly as a file in the spool."""
        if operation.body is None or (not data.strip() and not operation.needs_body):
            if data.strip() not in (b"", b"{}"):
                raise Problem(400, "this request takes no body")
            return None
        if not data.strip():
            raise Problem(400, "this request needs a body")
        # What is no object is read as the one member of one; the line break keeps the columns right.
        is_object = data.lstrip()[:1] == b"{"
        try:
            _, value = read_object(data if is_object else b'{"":\n' + data + b"}")
        except InvalidData as error:
            raise Problem(400, _about_body(str(error), is_object=is_object), error.hint) from None
        if not is_object and len(value) != 1:
            raise Problem(400, "the body is not valid JSON: something follows its end")
        body = value if is_object else value[""]
        self._site.contract.check_body(operation, body)
        return body

    def _note(self, head: Head, operation: Operation | None, ask: Ask | None, how: str, answer: Answer) -> None:
        """Leave a line about a write, and about who was not let in; never a token, a query or a body."""
        is_write = operation is not None and operation.is_write
        if is_write:
            self._site.has_written()
        if is_write or answer.status in (401, 403, 421, 429):
            about = " ".join(f"{key}={value}" for key, value in (ask.about if ask else {}).items())
            words = f"{head.method} {head.path[:200]} {answer.status} client={self._peer} auth={how} action=web {about}"
            self._site.note("info" if answer.status < 400 else "warning", words.rstrip())

    # --- sending

    def _send(self, head: Head | None, answer: Answer, *, is_last: bool) -> None:
        is_stream = answer.stream is not None
        is_old = head is not None and head.is_old
        lines = [f"HTTP/1.1 {answer.status} {responses.get(answer.status, '')}"]
        lines.append(time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT", time.gmtime(self._site.clock.now())))
        lines += [
            f"{name}: {value}" for name, value in answer.headers.items() if answer.status != 304 or name == "ETag"
        ]
        if is_stream and "Content-Length" not in answer.headers:
            lines += [] if is_old else ["Transfer-Encoding: chunked"]
        elif not is_stream and answer.status not in (204, 304):
            lines.append(f"Content-Length: {len(answer.body)}")
        if is_last:
            lines.append("Connection: close")
        text = ("\r\n".join(lines) + "\r\n" + ALWAYS_TEXT + "\r\n").encode("latin-1", "replace")
        has_body = (head is None or head.method != "HEAD") and answer.status not in (204, 304)
        if not is_stream:
            self._wire.send(text + (answer.body if has_body else b""))
            return
        assert answer.stream is not None
        try:
            self._wire.send(text)
            if has_body:
                is_chunked = "Content-Length" not in answer.headers and not is_old
                self._send_pieces(answer.stream.pieces, is_chunked=is_chunked)
        finally:
            answer.stream.close()

    def _send_pieces(self, pieces: Iterator[bytes], *, is_chunked: bool) -> None:
        for data in pieces:
            if not data:
                self._check_there()
            elif is_chunked:
                self._wire.send(b"%x\r\n%b\r\n" % (len(data), data))
            else:
                self._wire.send(data)
        if is_chunked:
            self._wire.send(b"0\r\n\r\n")

    def _check_there(self) -> None:
        """Notice a client that has hung up although there is nothing to send."""
        try:
            self._socket.settimeout(0)
            if self._socket.recv(1, 2) == b"":  # MSG_PEEK
                raise Gone
        except BlockingIOError:
            return
        except OSError:
            raise Gone from None


def _about_body(text: str, *, is_object: bool) -> str:
    """Say of the body what was said of a job file; what is no object has been read from a second line on."""
    words = text.removeprefix("not a valid job: ")
    if not is_object:
        words = re.sub(r"line (\d+)", lambda found: f"line {int(found[1]) - 1}", words, count=1)
    return f"the body is not valid JSON: {words}"
