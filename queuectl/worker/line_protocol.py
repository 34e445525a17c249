"""line_protocol: JSON objects, one a line, over the socket between supervisor and worker.

Guarantees: an object of strings, numbers, lists and objects is received as it was sent, also with half surrogates (of file
            names that are not UTF-8). An incomplete line is kept until its rest arrives.
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
    """Return a message as a line."""
    return _encode(message).encode("utf-8", "backslashreplace") + b"\n"  # \udc80 is how JSON writes half a surrogate


class Received:
    """Splits received bytes into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, data: bytes) -> list[Message]:
        """Return the messages that are complete with this data."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        messages: list[Message] = json.loads(b"[%b]" % b",".join(lines)) if lines else []
        return messages
