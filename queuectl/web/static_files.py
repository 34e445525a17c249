"""door: the page itself, signing in and out, the document of the API, and what happens as it happens."""

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
from queuectl.web.response import JSON, Answer, Problem, Stream, encode, ok

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from queuectl.web.app import Ask

STATIC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "static")
INDEX = "index.html"
KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
ALIVE_S = 10.0
LINES = "application/x-ndjson"


def _static(ask: Ask, name: str) -> Answer:
    """Return a file of the fixed table (the choices of /{file} in openapi.json), packed for who can unpack it."""
    kind = KINDS[name.rpartition(".")[2]]
    path = f"{STATIC}/{name}"
    try:
        plain, packed = _read(path, os.stat(path).st_mtime_ns)
    except FileNotFoundError:
        raise Problem(404, f"{name} is not part of this installation") from None
    headers = {"Vary": "Accept-Encoding"}
    if "gzip" in [word.strip() for word in ask.head.headers.get("accept-encoding", "").split(",")]:
        return Answer(200, packed, kind, {**headers, "Content-Encoding": "gzip"})
    return Answer(200, plain, kind, headers)


@lru_cache(maxsize=64)
def _read(path: str, _changed_at: int) -> tuple[bytes, bytes]:
    """Return a file as it is and packed; read again when it has changed."""
    with open(path, "rb") as file:
        data = file.read()
    return data, gzip.compress(data, mtime=0)


def page(ask: Ask) -> Answer:
    """Return the page."""
    return _static(ask, INDEX)


def asset(ask: Ask) -> Answer:
    """Return what the page needs."""
    return _static(ask, ask.params["file"])


def openapi(ask: Ask) -> Answer:
    """Return the document of the API."""
    return Answer(200, ask.site.contract.text, JSON)


def session(ask: Ask) -> Answer:
    """Tell who has signed in what this is."""
    guard = ask.site.guard
    return ok(
        {
            "version": __version__,
            "home": shorten(ask.site.home),
            "hostname": os.uname().nodename,
            "read_only": guard.read_only,
            "auth": "token" if guard.has_token else "none",
        }
    )


def login(ask: Ask) -> Answer:
    """Take the token and set the cookie."""
    token, cookie = ask.site.guard.login(ask.body["token"])
    return ok({"write_token": token, "read_only": ask.site.guard.read_only}, headers={"Set-Cookie": cookie})


def logout(ask: Ask) -> Answer:
    """Take the cookie away."""
    return ok({"action": "logout"}, headers={"Set-Cookie": ask.site.guard.logout()})


def events(ask: Ask) -> Answer:
    """Pass on what the supervisor tells."""
    try:
        watch = connect(ask.site.layout)
        watch.sendall(b'{"do": "watch"}\n')
    except NoSupervisor as error:
        raise Problem(503, str(error), error.hint, title=error.title) from None
    try:
        ask.site.streams.take()
    except Problem:
        watch.close()
        raise
    return Answer(200, b"", LINES, None, Stream(_events(watch), watch.close, ask.site.streams.give))


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
