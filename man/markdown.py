"""markdown: FORMAT.md as a man page.

Guarantees: the same page for the same text. It reads the Markdown that FORMAT.md is written in: headings, paragraphs,
            lists, tables, blocks of code, `code` and **bold**; anything else is shown as it is typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from man.roff import escape, line, literal

INLINE = re.compile(r"`` (.+?) ``|`([^`]+)`|\*\*(.+?)\*\*")
HEADING = re.compile(r"(#+) (.+)")


def page(text: str, head: str, name: str, see_also: str) -> str:
    """Return the man page of a document.

    Args:
        head: the .TH line; name: what NAME says. The document's own title is left out for them.
        see_also: roff.
    """
    lines = [each.rstrip() for each in text.rstrip().split("\n")]
    start = [head, ".SH NAME", line(name), ".SH DESCRIPTION"]
    return "\n".join([*start, *_blocks(lines[1:]), '.SH "SEE ALSO"', see_also])


def _blocks(lines: list[str]) -> Iterator[str]:
    at = 0
    while at < len(lines):
        first = lines[at]
        block, at = _block(lines, at)
        heading = HEADING.match(first)
        if first.startswith("```"):
            yield literal("\n".join(block[1:-1])).rstrip("\n")
        elif heading:
            yield f".{'SH' if len(heading[1]) == 2 else 'SS'} {_quoted(heading[2])}"
        elif first.startswith("|"):
            yield from _table(block)
        elif first.startswith("* "):
            yield f".IP \\(bu 2\n{_inline(' '.join(each.strip() for each in block)[2:])}"
        elif block:
            yield f".PP\n{_inline(' '.join(block))}"


def _block(lines: list[str], at: int) -> tuple[list[str], int]:
    """Return the lines that belong together, and where the next ones begin."""
    first, end = lines[at], at + 1
    if first.startswith("```"):
        end = lines.index("```", at + 1) + 1
    elif first.startswith("|"):
        while end < len(lines) and lines[end].startswith("|"):
            end += 1
    elif first and not HEADING.match(first):
        while end < len(lines) and lines[end] and not lines[end].startswith(("* ", "|", "```", "#")):
            end += 1
    return ([] if not first else lines[at:end]), end


def _table(rows: list[str]) -> Iterator[str]:
    """A row becomes a term and its meaning; what stands in further columns is told with their titles."""
    titles, _, *body = [_cells(row) for row in rows]
    for term, *meaning in body:
        told = (
            [meaning[0]] if len(titles) == 2 else [f"{t}: {m}" for t, m in zip(titles[1:], meaning, strict=True) if m]
        )
        yield "\n".join((".TP", _inline(term) or "\\-", _inline("; ".join(told)) or "\\&"))


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def _inline(text: str) -> str:
    """Return a paragraph on one line, code and bold words in bold."""
    parts, last = [], 0
    for found in INLINE.finditer(text):
        parts += [escape(text[last : found.start()]), f"\\fB{escape(found[1] or found[2] or found[3])}\\fR"]
        last = found.end()
    whole = "".join([*parts, escape(text[last:])])
    return f"\\&{whole}" if whole[:1] in (".", "'") else whole


def _quoted(text: str) -> str:
    return '"' + _inline(text).replace('"', "\\(dq") + '"'
