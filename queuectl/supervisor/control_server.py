"""control_server: the supervisor's end of the control socket.

Owns:       the socket and every open connection. control_handlers carries out the requests.
Guarantees: a client that is slow, silent or dead costs the supervisor a connection, which it closes.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import selectors
import socket
from typing import TYPE_CHECKING, Protocol

from queuectl.control_client import Address, refusal
from queuectl.errors import UsageError
from queuectl.timers import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from queuectl.spool.layout import Layout

    Message = dict[str, Any]

MAX_LINE_BYTES = 1 << 20
LISTEN_AGAIN_S = 0.5
MAX_BACKLOG_BYTES = 1 << 20  # unsent answers of one client


def listen(layout: Layout) -> socket.socket:
    """Open the control socket. The caller holds the supervisor's lock, so an existing socket is a leftover."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with Address(layout) as path:
        if os.path.lexists(path):
            os.unlink(path)
        made.bind(path)
        os.chmod(path, 0o600)
    made.listen(64)
    made.setblocking(False)
    return made


class Peer:
    """One connection: complete lines in, complete lines out, never blocking.

    Attributes:
        is_open: False once the client has closed it or was too slow to read its answers.
        watches: it asked for events.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.is_open = True
        self.watches = False
        self.waits_to_write = False  # set by the loop
        self._in = bytearray()
        self._out = bytearray()

    def fileno(self) -> int:
        """For selectors."""
        return self.connection.fileno()

    @property
    def wants_to_write(self) -> bool:
        """Answers are queued until the socket takes them."""
        return bool(self._out)

    def receive(self) -> list[Message]:
        """Return the requests that have arrived; close the connection if a line is too long."""
        try:
            data = self.connection.recv(65536)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.hang_up()
            return []
        self._in += data
        *lines, rest = self._in.split(b"\n")
        self._in = rest
        if len(rest) > MAX_LINE_BYTES:
            self.hang_up()
        return [message for line in lines if (message := self._parse(line)) is not None]

    def _parse(self, line: bytearray) -> Message | None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if isinstance(message, dict):
            return message
        self.send(refusal(UsageError("expected one JSON object a line")))
        return None

    def send(self, message: Message) -> None:
        """Queue an answer and send what the socket takes."""
        if not self.is_open:
            return
        self._out += json.dumps(message).encode() + b"\n"
        self.flush()
        if len(self._out) > MAX_BACKLOG_BYTES:
            self.hang_up()

    def flush(self) -> None:
        """Send what is queued."""
        try:
            sent = self.connection.send(self._out) if self._out else 0
        except BlockingIOError:
            return
        except OSError:
            self.hang_up()
            return
        del self._out[:sent]

    def hang_up(self) -> None:
        """Shut the connection down but keep the descriptor, so that the loop is notified and closes it."""
        self.is_open = False
        self._out.clear()
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def close(self) -> None:
        """Close the descriptor, which the loop no longer watches."""
        self.is_open = False
        self.connection.close()


class ControlServer:
    """All connections, watched by the supervisor's selector.

    Args:
        carry_out: called with a peer and each of its requests.

    Attributes:
        next_step: the monotonic time at which `step` creates the socket again.
    """

    def __init__(
        self, layout: Layout, selector: selectors.BaseSelector, carry_out: Callable[[Peer, Message], None]
    ) -> None:
        self._layout = layout
        self._listener = listen(layout)
        self._selector = selector
        self._carry_out = carry_out
        self._open: list[Peer] = []
        self.next_step = NEVER
        self._most = max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)  # jobs need descriptors as well
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def socket_left(self, now: float) -> None:
        """Somebody took the socket away, perhaps with everything else: he is not to find a new one in his way."""
        self.next_step = now + LISTEN_AGAIN_S

    def _listen_again(self, now: float) -> None:
        """Create the socket again; open connections stay."""
        self.next_step = NEVER
        try:
            with Address(self._layout) as path:
                if os.path.lexists(path):
                    return
            listener = listen(self._layout)
        except OSError:
            self.socket_left(now)
            return
        self._selector.unregister(self._listener)
        self._listener.close()
        self._listener = listener
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._close_oldest()
            return
        peer = Peer(connection)
        self._open.append(peer)
        self._selector.register(peer, selectors.EVENT_READ, lambda: self._serve(peer))
        if len(self._open) > self._most:
            self._close_oldest()

    def _close_oldest(self) -> None:
        """Shut down the oldest connection, preferably one that does not watch; the loop closes it."""
        still_open = [peer for peer in self._open if peer.is_open]
        for peer in sorted(still_open, key=lambda peer: peer.watches)[:1]:
            peer.hang_up()

    def _serve(self, peer: Peer) -> None:
        peer.flush()
        for request in peer.receive():
            self._carry_out(peer, request)
        if not peer.is_open:
            self._selector.unregister(peer)
            self._open.remove(peer)
            peer.close()

    @property
    def has_watchers(self) -> bool:
        """A client watches events."""
        return any(peer.watches for peer in self._open)

    def broadcast(self, message: Message) -> None:
        """Send a message to the clients that watch."""
        for peer in self._open:
            if peer.watches:
                peer.send(message)

    def step(self, now: float) -> None:
        """Watch the sockets with queued answers for writing; listen again if it is time."""
        if now >= self.next_step:
            self._listen_again(now)
        watch_unsent(self._selector, self._open)

    def close(self) -> None:
        """Close all connections and the socket."""
        for peer in self._open:
            peer.close()
        self._listener.close()


class Channel(Protocol):
    """A descriptor that the loop reads from and, while something is queued, writes to."""

    waits_to_write: bool  # set by the loop

    @property
    def wants_to_write(self) -> bool:
        """Something is queued."""
        ...

    def fileno(self) -> int:
        """For selectors; -1 if there is nothing to wait for."""
        ...


def watch_unsent(selector: selectors.BaseSelector, channels: Iterable[Channel]) -> None:
    """Let the selector watch for writing exactly the channels with something queued."""
    for channel in channels:
        if channel.wants_to_write != channel.waits_to_write and channel.fileno() >= 0:
            channel.waits_to_write = channel.wants_to_write
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if channel.waits_to_write else 0)
            selector.modify(channel, events, selector.get_key(channel).data)
