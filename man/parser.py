"""parser: the parser as argparse-manpage reads it, before anything is installed.

What every command takes is told once, and the examples have a section of their own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from queuectl.cli.parser import build_parser


def page() -> argparse.ArgumentParser:
    """Return the parser that the page is made of."""
    root = build_parser()
    root.epilog = None
    for parser in _below(root):
        parser.description = None  # says what the command's line of help has said
        parser._action_groups = [group for group in parser._action_groups if group.title != "common options"]
    return root


def _below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield each
                yield from _below(each)
