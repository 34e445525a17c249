"""serve: a server with everything in it, ready to run.

Fails with: UsageError where what was asked for would let anybody in; what server and tokens fail with.
"""

from __future__ import annotations

import os
import secrets
import zlib
from typing import TYPE_CHECKING, NamedTuple

from queuectl.clock import Clock
from queuectl.errors import NotAllowed, UsageError
from queuectl.web.app import App
from queuectl.web.auth import AccessControl, names_of
from queuectl.web.http_server import Server, address_of, listen, listen_at
from queuectl.web.tokens import TokenFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from queuectl.client.queue import Queue

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class ServeOptions(NamedTuple):
    """How the page is to be served.

    Attributes:
        socket_path: listen there instead of on host and port.
        socket_mode, socket_group: of that; -1: the group of this process.
        auth: token or none.
    """

    host: str
    port: int
    socket_path: str | None = None
    socket_mode: int = 0o600
    socket_group: int = -1
    token_file: str | None = None
    auth: str = "token"
    read_only: bool = False
    allow_hosts: Sequence[str] = ()

    @property
    def is_local(self) -> bool:
        """Only processes of this machine reach it."""
        return self.socket_path is not None or self.host in LOOPBACK

    def check(self) -> None:
        """Refuse what would let anybody in."""
        if self.auth != "none":
            return
        if not self.is_local:
            raise UsageError(
                f"refusing to listen on {self.host} without authentication: anyone who reaches the port could read jobs",
                "queuectl config set web_auth token",
            )
        if not self.read_only:
            raise UsageError(
                "refusing to serve without authentication: anyone who reaches the port could run commands",
                "with --read-only, or: queuectl config set web_auth token",
            )


def _token_file(queue: Queue, options: ServeOptions) -> TokenFile | None:
    """Create what is missing in the home, unless it cannot be written: then the page reads, and actions are refused."""
    layout = queue.layout
    refused = layout.refuse_writing("", "run") if layout.has_spool else None
    if refused is None:
        layout.ensure()
    if options.auth == "none":
        return None
    path = options.token_file or layout.web_token
    if refused is not None and options.token_file is None and not os.path.lexists(path):
        raise NotAllowed(f"{refused}: no token can be stored there", "queuectl web --token-file PATH")
    return TokenFile(path)


def build(queue: Queue, options: ServeOptions) -> Server:
    """Return a server that listens; `serve_forever` runs it."""
    options.check()
    if options.socket_path is not None:  # which may lie in the home
        token_file = _token_file(queue, options)
        listening = listen_at(options.socket_path, options.socket_mode, options.socket_group)
    else:  # where the port is refused, no home is created
        listening = listen(options.host, options.port)
        try:
            token_file = _token_file(queue, options)
        except BaseException:
            listening.close()
            raise
    host, port = address_of(listening) or ("", None)
    more = [*options.allow_hosts, *([] if port is None else [f"{options.host}:{port}"])]
    key = f"{port or zlib.crc32(os.fsencode(options.socket_path or ''))}"
    access = AccessControl(token_file, names_of(host, port, more), key, Clock(), read_only=options.read_only)
    return Server(listening, App(queue, access, secrets.token_hex(4)))


def url_of(server: Server) -> str:
    """Return the URL to open, without the token; of a socket in the file system, what curl needs."""
    if server.address is None:
        return "http://localhost/"
    return url_at(*server.address)


def url_at(host: str, port: int) -> str:
    """Return the URL of a page on an address that is bound."""
    host = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
