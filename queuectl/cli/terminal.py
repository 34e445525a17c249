"""terminal: the two streams of one command: data on stdout, words on stderr.

Owns:       stdout and stderr; whether they are terminals, how wide, and whether they take colour.
Guarantees: nothing but data goes to stdout; what a terminal gets beyond a pipe is colour, width and hints.
Source:     no-color.org; clig.dev.
"""

from __future__ import annotations

import codecs
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TextIO

    from queuectl.cli.commandline import Arguments

COLOURS = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36", "dim": "2", "bold": "1"}


class Screen:
    """Where a command shows its result and what it says beside that.

    Attributes:
        format: table, wide, jsonl, tsv, name or json.
        is_quiet: only data and errors.
        is_terminal: somebody looks at stdout.
        is_interactive: somebody looks at stderr and wants to hear; progress and hints make sense.
        room: a width to fit instead of the terminal's.
    """

    def __init__(self, args: Arguments) -> None:
        self.format: str = args.output
        self.is_quiet: bool = args.quiet
        self.is_terminal = is_terminal(sys.stdout)
        self.is_interactive = is_terminal(sys.stderr) and not self.is_quiet
        self._colour: str = args.color
        self._held: list[str] | None = None
        self.room: int | None = None

    # --- data

    @property
    def is_table(self) -> bool:
        """The result is for people."""
        return self.format in ("table", "wide")

    def write(self, text: str) -> None:
        """Write data as it is."""
        if self._held is None:
            sys.stdout.write(text)
        else:
            self._held.append(text)

    def line(self, text: str = "") -> None:
        """Write one line of data."""
        self.write(text + "\n")

    def held(self, write: Callable[[], object]) -> list[str]:
        """Return the lines that `write` writes, instead of writing them; there are no hints between them."""
        self._held, is_interactive, self.is_interactive = [], self.is_interactive, False
        try:
            write()
            return "".join(self._held).splitlines()
        finally:
            self._held, self.is_interactive = None, is_interactive

    def json(self, value: object) -> None:
        """Write a value as JSON; one line of it for jsonl."""
        self.line(to_json(value, indent=None if self.format == "jsonl" else 2))

    def result(self, value: dict[str, Any], names: Iterable[str] = ()) -> None:
        """Write what a command has done: the object for json and jsonl, else `names`, one a line."""
        if self.format in ("json", "jsonl"):
            self.json(value)
        else:
            for name in names:
                self.line(name)

    def flush(self) -> None:
        """Send what was written."""
        sys.stdout.flush()

    # --- words

    def message(self, text: str) -> None:
        """Tell something on stderr, unless -q."""
        if not self.is_quiet:
            self.flush()
            write_stderr(text)

    def warn(self, text: str) -> None:
        """Tell of something that may be wrong, unless -q."""
        from queuectl.cli.text import safe

        self.message(f"queuectl: {safe(text)}")

    def hint(self, text: str) -> None:
        """Name the next useful command, where a person reads the result on a terminal."""
        if text and self.is_terminal and self.is_interactive and self.is_table:
            self.message(text)

    # --- looks

    @property
    def columns(self) -> int | None:
        """The width to fit; None when nothing has to be cut."""
        if self.format == "wide":
            return None
        if self.room is not None:
            return self.room
        asked = os.environ.get("COLUMNS", "")
        if asked.isdigit() and int(asked):
            return int(asked)
        return self.size[0] or None

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of the terminal; zeros where there is none."""
        try:
            return os.get_terminal_size(sys.stdout.fileno()) if self.is_terminal else (0, 0)
        except (OSError, ValueError):
            return 0, 0

    @property
    def has_colour(self) -> bool:
        """Stdout takes colour."""
        if self._colour != "auto":
            return self._colour == "always"
        return self.is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def paint(self, text: str, colour: str | None) -> str:
        """Colour a text, where that is wanted."""
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if colour and self.has_colour else text


def write_stderr(text: str) -> None:
    """Write a line to stderr; a closed stderr is no reason to fail."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def as_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    r"""Encode what the stream's encoding cannot: bytes of a file name as they are, anything else as `\u20ac`."""
    if not isinstance(error, UnicodeEncodeError):
        return codecs.backslashreplace_errors(error)
    text = error.object[error.start : error.end]
    return b"".join(_bytes_of(char) for char in text), error.end


def _bytes_of(char: str) -> bytes:
    return bytes((ord(char) - 0xDC00,)) if "\udc80" <= char <= "\udcff" else char.encode("unicode_escape")


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether somebody looks at a stream."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def to_json(value: object, indent: int | None = None) -> str:
    """Return JSON that stdout can carry and that cannot command a terminal."""
    import json

    plain = not (sys.stdout.encoding or "").lower().startswith("utf")
    text = json.dumps(value, ensure_ascii=plain, indent=indent)
    if text.isascii():
        return text
    return "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)


def shorten(path: str) -> str:
    """Write a path as its owner would type it, harmless for a terminal."""
    from queuectl.cli.text import safe
    from queuectl.spool import layout

    return safe(layout.shorten(path))
