"""response: status, headers, and bytes or a stream; errors as RFC 9457 problems.

Guarantees: no traceback and no path of this machine is in an answer.
"""

from __future__ import annotations

import json
from html import escape
from threading import Lock
from typing import TYPE_CHECKING

from queuectl import errors
from queuectl.job.fields import InvalidField

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from queuectl.errors import QueueError

    Fault = tuple[str, str, str | None]  # pointer, words, hint

JSON, PROBLEM, TEXT = "application/json", "application/problem+json", "text/plain; charset=utf-8"
PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    "<title>{title}</title><h1>{title}</h1><p>{words}</p>{hint}</html>\n"
)
LINES = "application/x-ndjson"
STATUS_OF = (
    (errors.UsageError, 400),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.NoSupervisor, 409),
    (errors.InvalidData, 422),
    (errors.NotAllowed, 403),
)  # all else is the environment's: 503
TITLES = {
    **{400: "bad request", 401: "unauthorized", 403: "forbidden", 404: "not found", 405: "method not allowed"},
    **{408: "timeout", 411: "length required", 413: "too large", 414: "target too long", 415: "json only"},
    **{417: "expectation failed", 421: "bad host", 422: "invalid data", 429: "too many attempts"},
    **{431: "headers too large", 500: "bug", 503: "busy or full", 505: "version not supported"},
}
RETRY_S = "2"
STREAMS = 32


class Stream:
    """A body in pieces.

    Args:
        releases: called once when it is over, also when not one piece was asked for.
    """

    def __init__(self, pieces: Iterator[bytes], *releases: Callable[[], None]) -> None:
        self.pieces = pieces
        self._releases = [*releases]

    def close(self) -> None:
        """Give up what it holds."""
        while self._releases:
            self._releases.pop()()


class Response:
    """What goes back.

    Attributes:
        stream: pieces of a body whose length is not known before, or in the header Content-Length; None where `body`
            is all of it. An empty piece looks whether anybody still listens.
    """

    __slots__ = ("body", "headers", "status", "stream")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        kind: str = JSON,
        headers: Mapping[str, str] | None = None,
        stream: Stream | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.headers = {"Content-Type": kind, **(headers or {})}
        self.stream = stream


class Problem(Exception):
    """A request that cannot be answered as it was meant."""

    def __init__(
        self,
        status: int,
        detail: str,
        hint: str | None = None,
        *,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Fault] = (),
        **more: Any,
    ) -> None:
        """`errors`: pointer, detail and hint of each; `more`: further members."""
        super().__init__(detail)
        self.status = status
        self.title = title or TITLES[status]
        self.hint = hint
        self.headers = headers
        self.errors = errors
        self.more = more

    def response(self) -> Response:
        """Return it as it goes back."""
        made: dict[str, Any] = {
            "type": f"urn:queuectl:problem:{self.title.replace(' ', '-')}",
            "title": self.title,
            "status": self.status,
            "detail": str(self),
            **self.more,
        }
        if self.hint:
            made["hint"] = self.hint
        if self.errors:
            made["errors"] = [
                {"pointer": pointer, "detail": detail, **({"hint": hint} if hint else {})}
                for pointer, detail, hint in self.errors
            ]
        waits = {"Retry-After": RETRY_S} if self.status == 503 else {}
        return Response(self.status, encode(made), PROBLEM, {**waits, **(self.headers or {})})

    def page(self) -> Response:
        """Return it as a page for somebody who has opened an address."""
        made = self.response()
        hint = f"<p>{escape(self.hint)}</p>" if self.hint else ""
        text = PAGE.format(title=escape(self.title.capitalize()), words=escape(str(self)), hint=hint)
        kind = {"Content-Type": "text/html; charset=utf-8"}
        return Response(self.status, text.encode("utf-8", "backslashreplace"), headers={**made.headers, **kind})


class Streams:
    """Starts answers in pieces, at most STREAMS at a time.

    Attributes:
        open: how many there are.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self.open = 0

    def start(self, pieces: Iterator[bytes], *releases: Callable[[], None]) -> Stream:
        """Return a stream; `releases` are called once when it is over, or at once when there are too many.

        Raises:
            Problem: there are too many.
        """
        with self._lock:
            is_full = self.open >= STREAMS
            self.open += not is_full
        if is_full:
            Stream(pieces, *releases).close()
            raise Problem(503, f"there are {STREAMS} streams already", "poll instead", title="streams full")
        return Stream(pieces, *releases, self._end)

    def _end(self) -> None:
        with self._lock:
            self.open -= 1


def problem_of(error: QueueError, home: str) -> Problem:
    """Return the problem that an error of the queue is; paths in it begin at the queue's home."""
    status = next((status for kind, status in STATUS_OF if isinstance(error, kind)), 503)
    faults = faults_of(error)
    words = "; ".join(without_home(text, home) for _, text, _ in faults[:3]) or without_home(error, home)
    hint = error.hint and without_home(error.hint, home)
    return Problem(status, words, hint, title=error.title, errors=faults, exit_code=error.exit_code)


def faults_of(error: QueueError) -> list[Fault]:
    """Return the errors of all fields of a job; none if the error is of another kind."""
    found = (error, *error.more) if isinstance(error, InvalidField) else ()
    return [(f"/{each.field}", str(each), each.hint) for each in found]


def without_home(text: object, home: str) -> str:
    """Return a text in which paths begin at the queue's home."""
    return str(text).replace(f"{home}/", "")


def encode(value: object) -> bytes:
    """Write JSON; whatever text a job holds, it is valid UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def ok(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(status, encode(value), JSON, headers)
