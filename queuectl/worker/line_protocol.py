"""messages: what supervisor and workers tell each other: JSON objects, one a line, over a socket.

Guarantees: an object of strings, numbers, lists and objects comes out as it went in, half surrogates (of file names
            that are not UTF-8) included; half a line is kept until its rest has come.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from queuectl.job.json_engine import make_encoder

if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]

_encode = make_encoder()


def to_line(message: Message) -> bytes:
    """Return a message as it is sent."""
    return _encode(message).encode("utf-8", "backslashreplace") + b"\n"  # \udc80 is how JSON writes half a surrogate


class Received:
    """Puts together what was sent from what has arrived."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, data: bytes) -> list[Message]:
        """Return the messages that are whole now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        messages: list[Message] = json.loads(b"[%b]" % b",".join(lines)) if lines else []
        return messages
