"""replacement: the command of `map`, with an item in the place of each replacement string.

Guarantees: pure. An item is one argument, or for a shell string one quoted word, whatever characters it has. What it
            contains is not replaced again.
Fails with: UsageError for a shell string in which a quoted item would not stay one word.
Source:     GNU parallel, `{}` and its relatives; POSIX shell, 2.2 Quoting.
"""

from __future__ import annotations

import re

from queuectl.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

ITEM, NUMBER = "{}", "{#}"
PARTS = (ITEM, "{.}", "{/}", "{//}", "{/.}", NUMBER)
IN_SHELL = "-- sh -c 'PROGRAM \"$1\"' sh {}"


class Replacement:
    """A command with replacement strings.

    Args:
        argv: the words of a command that is run without a shell; or else
        shell: a command for /bin/sh.
        columns: of CSV input: `{NAME}` is replaced, and none of the parts of an item except its number.

    Raises:
        UsageError: a quoted item would not stay one word; with columns, none of them is used, or one is misspelt.
    """

    def __init__(self, argv: Sequence[str] | None, shell: str | None, columns: Sequence[str] | None = None) -> None:
        self._argv = argv
        self._shell = shell or ""
        names = PARTS if columns is None else [NUMBER, *(f"{{{name}}}" for name in columns)]
        self._pattern = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))))
        words = self._argv if self._argv is not None else [self._shell]
        used = [found for word in words for found in self._pattern.findall(word)]
        if columns is not None:
            _refuse_misspelt(words, columns)
            if not used:
                shown = ", ".join(names[1:])
                raise UsageError(f"the command uses no column of the input; write one as {shown}")
        self._appends = not used
        if self._argv is None:
            _refuse_quoted(self._shell, self._pattern, appends=self._appends)

    def fields(self, number: int, item: str | Mapping[str, str]) -> dict[str, Any]:
        """Return `argv` or `command` of the job for an item, or for a row of columns."""
        values = _values(number, item)
        if self._argv is not None:
            made = [self._replace(word, values.__getitem__) for word in self._argv]
            return {"argv": [*made, values[ITEM]] if self._appends else made}
        from shlex import quote

        made_text = self._replace(self._shell, lambda name: quote(values[name]))
        return {"command": f"{made_text} {quote(values[ITEM])}" if self._appends else made_text}

    def is_in(self, text: str) -> bool:
        """Return whether a text has a replacement string."""
        return self._pattern.search(text) is not None

    def in_text(self, text: str, number: int, item: str | Mapping[str, str]) -> str:
        """Return a text that no shell reads, with the item as it is in the place of each replacement string."""
        return self._replace(text, _values(number, item).__getitem__)

    def _replace(self, text: str, value: Callable[[str], str]) -> str:
        return self._pattern.sub(lambda found: value(found[0]), text)


def _values(number: int, item: str | Mapping[str, str]) -> dict[str, str]:
    """Return what stands for each replacement string."""
    if isinstance(item, str):
        return {NUMBER: str(number), **parts_of(item)}
    return {NUMBER: str(number), **{f"{{{name}}}": value for name, value in item.items()}}


def parts_of(item: str) -> dict[str, str]:
    """Return what stands for an item: itself, and its parts as a path. A name such as `.bashrc` has no extension."""
    path = item.rstrip("/") or item[:1]
    folder, _, base = path.rpartition("/")
    base = base or path
    stem = base.rpartition(".")[0] if base.lstrip(".").count(".") else base
    return {
        ITEM: item,
        "{.}": path[: len(path) - len(base)] + stem,
        "{/}": base,
        "{//}": folder or ("/" if path[:1] == "/" else "."),
        "{/.}": stem,
    }


def _refuse_misspelt(words: Sequence[str], columns: Sequence[str]) -> None:
    """Refuse `{naem}` beside a column `name`; other braces are text, as in `awk '{print}'`."""
    from difflib import get_close_matches

    for name in (found for word in words for found in re.findall(r"\{([^{}\s]+)\}", word)):
        near = get_close_matches(name, columns, 1, 0.7)
        if near and name not in columns:
            raise UsageError(f'there is no column "{name}"; did you mean {{{near[0]}}}?')
    if any(part in word for word in words for part in PARTS if part != NUMBER and part[1:-1] not in columns):
        shown = ", ".join(f"{{{name}}}" for name in columns)
        raise UsageError(f"with --csv an item is a row; write its columns as {shown}")


WHERE = {
    "'": "inside quotes",
    '"': "inside quotes",
    "`": "inside backquotes",
    "#": "in a comment",
    "<<": "after <<",
    "$((": "inside $((",
    "\\": "after a backslash",
    "$": "after $",
}


def _refuse_quoted(shell: str, pattern: re.Pattern[str], *, appends: bool) -> None:
    """Refuse replacement strings in places where a quoted word would not be read as one word."""
    inside, at, before = "", 0, " "  # `before` is the character before, unless it was quoted
    while at < len(shell):
        char = shell[at]
        found = pattern.match(shell, at)
        if found and found[0] != NUMBER and (inside or before in WHERE):
            raise UsageError(
                f"the shell command has {found[0]} {WHERE[inside or before]}, where a quoted item is not one word",
                f"write {found[0]} outside of quotes, or pass the item as an argument: {IN_SHELL}",
            )
        if found:
            at, before = found.end(), "}"
        elif char == "\\" and inside in ("", '"', "`") and not pattern.match(shell, at + 1):
            at, before = at + 2, "}"
        else:
            inside = _place(shell, at, inside, before)
            at, before = at + 1, char
    if appends and inside:
        raise UsageError(f"the item would be appended {WHERE[inside]}", "write {} in its place")


def _place(shell: str, at: int, inside: str, before: str) -> str:
    """Return where the character after `at` is, when the one at `at` is not escaped."""
    char = shell[at]
    if inside:
        end = {"#": "\n", "$((": "))"}.get(inside, inside)
        return "" if inside != "<<" and shell.startswith(end, at) else inside
    if char in "'\"`" or (char == "#" and (before.isspace() or before in ";|&()")):
        return char
    return next((opening for opening in ("<<", "$((") if shell.startswith(opening, at)), "")
