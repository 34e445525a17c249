"""text: what jobs wrote, made fit for a terminal, and how wide it is there.

Guarantees: pure; nothing that `safe` or `safe_output` returns can move the cursor, change colours or reorder a line.
Source:     Unicode TR9 (bidirectional controls), UAX 11 (East Asian width); ECMA-48 § 8.3.117 (SGR).
"""

from __future__ import annotations

from queuectl.units import plural as plural


def is_text(text: str | None) -> bool:
    """Tell whether UTF-8 can say it; what is typed may hold any bytes."""
    return not any("\ud800" <= char <= "\udfff" for char in text or "")


def safe(text: str) -> str:
    r"""Show control characters, bidirectional controls and other invisible ones as `\x1b`, `\n`, `\u202e`."""
    return text if text.isprintable() else "".join(c if c.isprintable() else spell_character(c) for c in text)


def spell_character(char: str) -> str:
    """Write a character as Python's escape."""
    return char.encode("unicode_escape").decode("ascii")


def safe_output(text: str) -> str:
    """Keep lines and tabs of a command's output, drop its colours and show other control characters."""
    import re

    plain = re.sub(r"\x1b\[[0-9;:]*m", "", text.replace("\r\n", "\n"))
    return "".join(c if c in "\n\t" or c.isprintable() else spell_character(c) for c in plain)


def width(text: str) -> int:
    """Return the columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    return sum(0 if category(c) in ("Mn", "Me", "Cf") else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, columns: int) -> str:
    """Return a text of at most so many columns; what was cut off is shown as `…`."""
    if width(text) <= columns:
        return text
    if columns < 1:
        return ""
    kept = text[: columns - 1]
    while width(kept) > columns - 1:
        kept = kept[:-1]
    return kept + "…"


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """Fill up with blanks to so many columns, on the left when `right` is set."""
    blanks = " " * (columns - width(text))
    return blanks + text if right else text + blanks
