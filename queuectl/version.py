"""version: which QueueCTL this is, and where it lies."""

from __future__ import annotations

import os

__version__ = "1.0.0"
PACKAGE = os.path.dirname(os.path.abspath(__file__))  # `python PACKAGE ...` runs this very program
