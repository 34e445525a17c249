"""table: lists of things as tables, JSON, TSV or names.

Guarantees: a table fits the width by shortening texts first, leaving columns out next, which is said, and
            cutting the widest at last; rows are streamed, so a million of them cost no more memory than a thousand.
Source:     IANA text/tab-separated-values (the first line names the fields).
"""

from __future__ import annotations

from itertools import chain, islice

from queuectl.cli.terminal import to_json
from queuectl.cli.text import cut, pad, safe, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from queuectl.cli.terminal import Screen

    Row = Mapping[str, Any]

GUTTER = "  "
NONE = "-"
LAST_MIN = 12  # columns that the last one keeps before others are left out
CUT_MIN = 4  # columns that any keeps when it is cut
ALIGNED = 60  # where the width has no limit, a longer text stays whole, and others are not padded to its width
MEASURED = 1000  # rows that decide how wide columns are


class Column:
    """One column of a table.

    Args:
        title: in capitals.
        show: what a row has there, for people.
        colour: the colour of a row's cell.
        right: figures stand on the right.
        leave_out: when the width does not do, the column with the highest number goes first; 0 stays.
        least: it is shortened to this many columns before others are left out, as the last one is; 0: it is not.
        is_optional: it is there only when one of the first rows has something in it.
    """

    __slots__ = ("colour", "is_optional", "least", "leave_out", "right", "show", "title")

    def __init__(
        self,
        title: str,
        show: Callable[[Row], object],
        *,
        colour: Callable[[Row], str | None] | None = None,
        right: bool = False,
        leave_out: int = 0,
        least: int = 0,
        is_optional: bool = False,
    ) -> None:
        self.title = title
        self.show = show
        self.colour = colour
        self.right = right
        self.leave_out = leave_out
        self.least = least
        self.is_optional = is_optional

    def cell(self, row: Row) -> str:
        """Return a row's cell, safe for a terminal; what is not there is a dash."""
        value = self.show(row)
        return NONE if value is None or value == "" else safe(str(value))


def emit(
    screen: Screen, rows: Iterable[Row], columns: Sequence[Column], fields: Sequence[str], *, name: str = "id"
) -> int:
    """Write rows in the format that was asked for, and return how many there were.

    Args:
        columns: of the table.
        fields: the members of a row that TSV gets.
        name: the member that stands for a row in the format `name`.
    """
    if screen.is_table:
        return _table(screen, iter(rows), columns)
    if screen.format == "json":
        return _array(screen, rows)
    count = 0
    begin(screen, fields)
    for row in rows:
        count += 1
        write_row(screen, row, fields, name=name)
    return count


def begin(screen: Screen, fields: Sequence[str]) -> None:
    """Write what stands before the first row, also where none follows: of TSV the names of the fields."""
    if screen.format == "tsv":
        screen.line("\t".join(fields))


def write_row(screen: Screen, row: Row, fields: Sequence[str], *, name: str = "id") -> None:
    """Write a row in one of the formats that have a line for each; the arguments are those of `emit`."""
    if screen.format == "jsonl":
        screen.line(to_json(row))
    elif screen.format == "tsv":
        screen.line("\t".join(tsv(row.get(field)) for field in fields))
    else:
        screen.line(str(row[name]))


def _array(screen: Screen, rows: Iterable[Row]) -> int:
    count = 0
    for row in rows:
        screen.write(("[\n  " if count == 0 else ",\n  ") + to_json(row))
        count += 1
    screen.line("\n]" if count else "[]")
    return count


def tsv(value: object) -> str:
    """Write a value as a field of TSV."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else to_json(value)
    return safe(text.replace("\\", "\\\\"))


def _table(screen: Screen, rows: Iterator[Row], columns: Sequence[Column]) -> int:
    first = list(islice(rows, MEASURED))
    if not first:
        return 0
    columns = [c for c in columns if not c.is_optional or any(c.cell(row) != NONE for row in first)]
    widths = {id(c): max(width(c.title), *(width(c.cell(row)) for row in first)) for c in columns}
    is_fitted = screen.columns is not None
    columns, left_out = _fit(screen.columns, columns, widths)
    screen.line(screen.paint(_line((c.title for c in columns), columns, widths, is_fitted=is_fitted), "dim"))
    count = 0
    for row in chain(first, rows):
        count += 1
        screen.line(_line((c.cell(row) for c in columns), columns, widths, screen, row, is_fitted=is_fitted))
    if left_out:
        screen.hint(f"(no room for {', '.join(c.title for c in left_out)}; -o wide shows all)")
    return count


def _fit(
    room: int | None, columns: Sequence[Column], widths: dict[int, int]
) -> tuple[Sequence[Column], Sequence[Column]]:
    """Shorten texts, choose columns to leave out and cut the widest, so that a line fits `room`."""
    if room is None:
        for column in columns[:-1]:
            if column.least:
                widths[id(column)] = min(widths[id(column)], ALIGNED)
        return columns, ()
    last, kept, full = columns[-1], list(columns), {**widths}
    texts = {id(c): c.least for c in columns if c.least} | {id(last): max(last.least, LAST_MIN)}
    widths.update({key: min(full[key], least) for key, least in texts.items()})

    def left() -> int:
        return room - sum(widths[id(c)] for c in kept) - len(GUTTER) * (len(kept) - 1)

    while left() < 0:
        worst = max(kept, key=lambda c: c.leave_out)
        if worst.leave_out == 0:
            break
        kept.remove(worst)
    while left() < 0:
        shorter = [c for c in kept if id(c) in texts and widths[id(c)]]  # down to nothing, before names are cut
        widest = max(shorter or kept, key=lambda c: widths[id(c)])
        if not shorter and widths[id(widest)] <= CUT_MIN:
            break
        widths[id(widest)] -= 1
    _share(max(0, left()), [c for c in kept if id(c) in texts], widths, full)
    return kept, [c for c in columns if c not in kept]


def _share(more: int, texts: Sequence[Column], widths: dict[int, int], full: dict[int, int]) -> None:
    """Give the columns that were shortened what room there is, in equal parts as far as they need it."""
    wants = sorted(texts, key=lambda c: full[id(c)] - widths[id(c)])
    for number, column in enumerate(wants):
        given = min(full[id(column)] - widths[id(column)], more // (len(wants) - number))
        widths[id(column)] += given
        more -= given


def _line(
    cells: Iterable[str],
    columns: Sequence[Column],
    widths: dict[int, int],
    screen: Screen | None = None,
    row: Row | None = None,
    *,
    is_fitted: bool = False,
) -> str:
    made = []
    for column, text in zip(columns, cells, strict=True):
        columns_wide = widths[id(column)]
        shown = cut(text, columns_wide) if is_fitted or column is columns[-1] else text
        padded = pad(shown, columns_wide, right=column.right)
        if screen is not None and row is not None and column.colour is not None:
            padded = screen.paint(padded, column.colour(row))
        made.append(padded)
    return GUTTER.join(made).rstrip()
