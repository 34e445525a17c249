"""http_server: listening, and a thread for each connection, of which there are a bounded number.

Owns:       the listening socket, TCP or (--socket) in the file system.
Guarantees: never more than CONNECTIONS; when they are all taken, the one that has been idle for longest makes room, so
            that idle clients keep nobody out. Nothing of it outlives the process but a socket's name.
Fails with: UsageError, Conflict (the port is taken), NotAllowed.
Source:     http.server, of which everything is used but the reading of requests (http_request).
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import TYPE_CHECKING

from queuectl.errors import Conflict, NotAllowed, QueueError, UsageError, from_os_error
from queuectl.web.connection import Connection
from queuectl.web.response import Problem

if TYPE_CHECKING:
    from typing import Any

    from queuectl.web.app import App

CONNECTIONS = 64
BACKLOG = 256
FULL = Problem(503, f"there are {CONNECTIONS} connections already").response()
FULL_BYTES = (
    f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
    f"Content-Length: {len(FULL.body)}\r\nRetry-After: 2\r\nConnection: close\r\n\r\n"
).encode() + FULL.body


class Server(ThreadingHTTPServer):
    """Serves an app on a listening socket.

    Attributes:
        address: host and port; None for a socket in the file system.
    """

    block_on_close = False

    def __init__(self, listening: socket.socket, app: App) -> None:
        super().__init__(listening.getsockname(), Handler, bind_and_activate=False)
        self.socket.close()  # one that the library has made
        self.socket = listening
        self.address = address_of(listening)
        self.app = app
        self._lock = Lock()
        self._connections: dict[socket.socket, float | None] = {}  # since when it has been idle

    def verify_request(self, request: Any, _client_address: Any) -> bool:
        """Make room for one more, or refuse it."""
        with self._lock:
            self._connections[request] = self.app.clock.monotonic()
            if len(self._connections) <= CONNECTIONS:
                return True
            idle = {c: at for c, at in self._connections.items() if at is not None and c is not request}
            if idle:
                oldest = min(idle, key=lambda connection: idle[connection])
                del self._connections[oldest]
                _hang_up(oldest)
                return True
            del self._connections[request]
        try:
            request.settimeout(0)
            request.send(FULL_BYTES)
        except OSError:
            pass
        return False

    def set_idle(self, connection: socket.socket, is_idle: bool) -> None:
        """Note whether a connection waits for a request."""
        with self._lock:
            if connection in self._connections:
                self._connections[connection] = self.app.clock.monotonic() if is_idle else None

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._connections.pop(request, None)
        _hang_up(request)
        request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Note what no handler has caught; the next connection is served all the same."""
        self.app.note("exception", "a connection broke off action=bug")

    def forget(self, path: str) -> None:
        """Take away the name of a socket in the file system."""
        try:
            os.unlink(path)
        except OSError:
            return  # somebody else did

    def server_close(self) -> None:
        """Stop listening, and hang up."""
        self.socket.close()
        with self._lock:
            for connection in self._connections:
                _hang_up(connection)


class Handler(BaseHTTPRequestHandler):
    """The thread of a connection."""

    server: Server

    def setup(self) -> None:
        """Prepare the connection."""
        no_delay = self.request.family != socket.AF_UNIX  # 45 ms an answer otherwise
        self.disable_nagle_algorithm = no_delay  # type: ignore[misc]
        super().setup()

    def handle(self) -> None:
        """Answer its requests."""
        peer = self.client_address[0] if isinstance(self.client_address, tuple) else "socket"
        Connection(self.server.app, self.request, peer, lambda idle: self.server.set_idle(self.request, idle)).serve()


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was quicker


def address_of(listening: socket.socket) -> tuple[str, int] | None:
    """Return host and port; None for a socket in the file system."""
    name = listening.getsockname()
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None


def listen(host: str, port: int) -> socket.socket:
    """Listen on a TCP address; port 0 takes a free one."""
    listening = _bind(host, port)
    listening.listen(BACKLOG)
    return listening


def listen_at(path: str, mode: int = 0o600, group: int = -1) -> socket.socket:
    """Listen on a socket in the file system; nobody else can connect before it has its group and mode."""
    listening = _bind_path(path)
    try:
        os.chown(path, -1, group)
        os.chmod(path, mode)
    except OSError as error:
        listening.close()
        os.unlink(path)
        raise from_os_error(error, f"cannot set the group and mode of {path}") from None
    listening.listen(BACKLOG)
    return listening


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError, OverflowError):
        raise UsageError(f'"{host}" is not an address of this host', "queuectl web --host 127.0.0.1") from None
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except OSError as error:
        made.close()
        raise _refusal(error, host, port) from None
    return made


def _refusal(error: OSError, host: str, port: int) -> QueueError:
    if error.errno == errno.EADDRINUSE:
        return Conflict(f"port {port} of {host} is taken by another program", f"queuectl web --port {port + 1}")
    if error.errno == errno.EACCES:
        return NotAllowed(f"port {port} can be used by root only", "queuectl web --port 5000")
    return UsageError(f'cannot listen on "{host}": {error.strerror}', "queuectl web --host 127.0.0.1")


def _bind_path(path: str) -> socket.socket:
    """Bind a socket that only its owner can use; one that nobody listens on any more makes room."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        try:
            made.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not stat.S_ISSOCK(os.lstat(path).st_mode) or _answers(path):
                raise
            os.unlink(path)
            made.bind(path)
    except OSError as error:
        made.close()
        raise Conflict(f"cannot listen on {path}: {error.strerror or error}") from None
    finally:
        os.umask(mask)
    return made


def _answers(path: str) -> bool:
    """Tell whether some process has this socket; also one that does not let us connect."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) != errno.ECONNREFUSED
