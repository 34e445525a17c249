"""text: what jobs wrote, made fit for a terminal, and how wide it is there.

Guarantees: pure; nothing that `safe` or `safe_output` returns can move the cursor, change colours or reorder a line.
Source:     Unicode TR9 (bidirectional controls), UAX 11 (East Asian width); ECMA-48 § 8.3.117 (SGR).
"""

from __future__ import annotations


def is_text(text: str | None) -> bool:
    """Tell whether UTF-8 can say it; what is typed may hold any bytes."""
    return not any("\ud800" <= char <= "\udfff" for char in text or "")


def safe(text: str) -> str:
    r"""Show control characters, bidirectional controls and other invisible ones as `\x1b`, `\n`, `\u202e`.

    A byte of a file name that is not UTF-8 is kept, so that the name can be read and typed again.
    """
    return text if text.isprintable() else "".join(c if _is_harmless(c) else spell_character(c) for c in text)


def _is_harmless(char: str) -> bool:
    """Tell whether a terminal shows it; the bytes 0x80 to 0x9f are control characters to one that is not UTF-8."""
    return char.isprintable() or "\udca0" <= char <= "\udcff"


def spell_character(char: str) -> str:
    r"""Write a character as Python's escape; a byte that is not UTF-8 as `\x9b`."""
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:x}"
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
