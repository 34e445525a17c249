"""static_files: the page itself, sign-in and sign-out, and the event stream."""

from __future__ import annotations

import gzip
import json
import os
import select
from functools import lru_cache
from typing import TYPE_CHECKING

from queuectl.control_client import connect
from queuectl.errors import NoSupervisor
from queuectl.spool.layout import shorten
from queuectl.version import __version__
from queuectl.web.response import Problem, Response, encode, ok

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from queuectl.web.app import Request

STATIC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "static")
INDEX = "index.html"
KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
ASSETS = tuple(sorted(name for name in os.listdir(STATIC) if name.rpartition(".")[2] in KINDS and name != INDEX))
ALIVE_S = 10.0
LINES = "application/x-ndjson"


def _static(request: Request, name: str) -> Response:
    """Return INDEX or one of ASSETS, packed for who can unpack it."""
    kind = KINDS[name.rpartition(".")[2]]
    path = f"{STATIC}/{name}"
    try:
        plain, packed = _read(path, os.stat(path).st_mtime_ns)
    except FileNotFoundError:
        raise Problem(404, f"{name} is not part of this installation") from None
    headers = {"Vary": "Accept-Encoding"}
    if "gzip" in [word.strip() for word in request.head.headers.get("accept-encoding", "").split(",")]:
        return Response(200, packed, kind, {**headers, "Content-Encoding": "gzip"})
    return Response(200, plain, kind, headers)


@lru_cache(maxsize=64)
def _read(path: str, _changed_at: int) -> tuple[bytes, bytes]:
    """Return a file as it is and packed; read again when it has changed."""
    with open(path, "rb") as file:
        data = file.read()
    return data, gzip.compress(data, mtime=0)


def page(request: Request) -> Response:
    """Return the page."""
    return _static(request, INDEX)


def asset(request: Request) -> Response:
    """Return what the page needs."""
    return _static(request, request.params["file"])


def session(request: Request) -> Response:
    """Tell who has signed in what this is."""
    access = request.app.access
    return ok(
        {
            "version": __version__,
            "home": shorten(request.app.home),
            "hostname": os.uname().nodename,
            "read_only": access.read_only,
            "auth": "token" if access.has_token else "none",
        }
    )


def login(request: Request) -> Response:
    """Take the token and set the cookie."""
    token, cookie = request.app.access.login(request.body["token"])
    return ok({"write_token": token, "read_only": request.app.access.read_only}, headers={"Set-Cookie": cookie})


def logout(request: Request) -> Response:
    """Take the cookie away."""
    return ok({"action": "logout"}, headers={"Set-Cookie": request.app.access.logout()})


def events(request: Request) -> Response:
    """Pass on what the supervisor tells."""
    try:
        watch = connect(request.app.layout)
        watch.sendall(b'{"do": "watch"}\n')
    except NoSupervisor as error:
        raise Problem(503, str(error), error.hint, title=error.title) from None
    return Response(200, b"", LINES, None, request.app.streams.start(_events(watch), watch.close))


def _events(watch: socket.socket) -> Iterator[bytes]:
    rest, quiet_s = b"", 0.0
    while True:
        readable, _, _ = select.select([watch], [], [], 1.0)
        if not readable:
            quiet_s += 1.0
            yield b"{}\n" if quiet_s % ALIVE_S == 0 else b""
            continue
        quiet_s = 0.0
        data = watch.recv(1 << 16)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "event" in said:
                yield encode(said) + b"\n"
