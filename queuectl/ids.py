"""ids: the grammar of the ids of jobs, which names of queues, batches, locks and resources share."""

from __future__ import annotations

ID_START = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
ID_CHARS = ID_START | frozenset("._-")
ID_MAX = 128
ID_GRAMMAR = "letters, digits, '.', '_' and '-', starting with a letter or digit, at most 128 characters"


def is_id(text: object) -> bool:
    """Tell whether `text` may name a job, queue or batch; the only place that decides it."""
    return isinstance(text, str) and 0 < len(text) <= ID_MAX and text[0] in ID_START and ID_CHARS.issuperset(text)
