"""What supervisor and workers tell each other arrives as it was said, however it is cut on the way."""

from __future__ import annotations

import pytest

from queuectl.worker.line_protocol import Received, to_line

MESSAGES = [
    {"say": "ready"},
    {"say": "settled", "id": "a", "row": ["ü\n", 1.5, None, True, -(1 << 62), {"left": []}]},
    {"say": "notnow", "detail": "not UTF-8: \udcff\udc80 \U0001f600"},
]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_messages_arrive_whole_and_in_order(size: int) -> None:
    data = b"".join(map(to_line, MESSAGES))
    received, heard = Received(), []
    for at in range(0, len(data), size):
        heard += received.take(data[at : at + size])
    assert heard == MESSAGES


def test_half_a_message_is_none() -> None:
    received = Received()
    assert received.take(to_line(MESSAGES[0])[:-1]) == []
    assert received.take(b"") == []
    assert received.take(b"\n") == [MESSAGES[0]]
