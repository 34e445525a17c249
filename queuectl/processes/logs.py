"""logs: supervisor.log and worker-N.log, each rotated by the process that writes it.

Owns:       logging, files under logs/.
Guarantees: a full disk or a missing directory never stops a job; a line is a sentence and key=value pairs.
"""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING

from queuectl.clock import spell

if TYPE_CHECKING:
    from queuectl.spool.layout import Layout

MAX_BYTES = 10 << 20
KEPT_FILES = 5


class _Lines(logging.Formatter):
    """`2026-11-24T14:01:58.120000Z worker-1 INFO sentence`; control characters escaped, one line a record."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        if not text.isprintable():
            text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        return f"{spell(record.created)} {record.name} {record.levelname} {text}"


def open_log(layout: Layout, name: str, *, echo: bool = False) -> logging.Logger:
    """Return the logger that writes logs/NAME.log.

    Args:
        echo: also write to stderr, for a supervisor in the foreground.
    """
    logging.raiseExceptions = False
    logger = logging.getLogger(name)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers.clear()
    handler = RotatingFileHandler(
        layout.log(name), maxBytes=MAX_BYTES, backupCount=KEPT_FILES, encoding="utf-8", delay=True
    )
    logger.addHandler(handler)
    if echo:
        logger.addHandler(logging.StreamHandler())
    for each in logger.handlers:
        each.setFormatter(_Lines())
    return logger
