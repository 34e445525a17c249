"""roff: plain text as the language of man pages.

Source:     groff_man(7), groff_char(7).
"""

from __future__ import annotations

SIGNS = {
    "\\": "\\e",
    "-": "\\-",
    "−": "\\-",
    "–": "\\(en",
    "…": "...",
    "→": "\\(->",
    "§": "\\(sc",
    "^": "\\(ha",
    "~": "\\(ti",
}
QUOTES = {"'": "\\(aq", "`": "\\(ga"}


def escape(text: str) -> str:
    """Return text that is shown as it is, on one line."""
    return "".join(SIGNS.get(char) or QUOTES.get(char) or char for char in text)


def line(text: str) -> str:
    """Return a whole line, whose first character must not make it a request."""
    escaped = escape(text)
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


def literal(text: str) -> str:
    """Return a text whose lines stay as they are."""
    lines = "\n".join(line(each) for each in text.rstrip("\n").split("\n"))
    return f".PP\n.nf\n{lines}\n.fi\n"
