"""render: lists of things as tables, JSON, TSV or names.

Guarantees: a table fits the width by shortening the last column first, leaving columns out next, which is said, and
            cutting the widest at last; rows are streamed, so a million of them cost no more memory than a thousand.
Source:     IANA text/tab-separated-values (the first line names the fields).
"""

from __future__ import annotations

from itertools import chain, islice

from queuectl.cli.screen import to_json
from queuectl.cli.text import cut, pad, safe, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from queuectl.cli.screen import Screen

    Row = Mapping[str, Any]

GUTTER = "  "
LAST_MIN = 12  # columns that the last one keeps before others are left out
CUT_MIN = 4  # columns that any keeps when it is cut
MEASURED = 1000  # rows that decide how wide columns are


class Column:
    """One column of a table.

    Args:
        title: in capitals.
        show: what a row has there, for people.
        colour: the colour of a row's cell.
        right: figures stand on the right.
        leave_out: when the width does not do, the column with the highest number goes first; 0 stays.
    """

    __slots__ = ("colour", "leave_out", "right", "show", "title")

    def __init__(
        self,
        title: str,
        show: Callable[[Row], object],
        *,
        colour: Callable[[Row], str | None] | None = None,
        right: bool = False,
        leave_out: int = 0,
    ) -> None:
        self.title = title
        self.show = show
        self.colour = colour
        self.right = right
        self.leave_out = leave_out

    def cell(self, row: Row) -> str:
        """Return a row's cell, safe for a terminal; what is not there is a dash."""
        value = self.show(row)
        return "-" if value is None or value == "" else safe(str(value))


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
    if screen.format == "tsv":
        screen.line("\t".join(fields))
    for row in rows:
        count += 1
        if screen.format == "jsonl":
            screen.line(to_json(row))
        elif screen.format == "tsv":
            screen.line("\t".join(tsv(row.get(field)) for field in fields))
        else:
            screen.line(str(row[name]))
    return count


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
    """Shorten the last column, choose columns to leave out and cut the widest so that a line fits `room`."""
    if room is None:
        return columns, ()
    last, kept = columns[-1], list(columns)
    least = min(widths[id(last)], LAST_MIN)

    def others() -> int:
        return sum(widths[id(c)] + len(GUTTER) for c in kept[:-1])

    while others() + least > room:
        worst = max(kept, key=lambda c: c.leave_out)
        if worst.leave_out == 0:
            break
        kept.remove(worst)
    while others() + min(widths[id(last)], CUT_MIN) > room and len(kept) > 1:
        widest = max(kept[:-1], key=lambda c: widths[id(c)])
        if widths[id(widest)] <= CUT_MIN:
            break
        widths[id(widest)] -= 1
    widths[id(last)] = max(1, min(widths[id(last)], room - others()))
    return kept, [c for c in columns if c not in kept]


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
