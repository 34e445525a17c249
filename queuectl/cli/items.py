"""items: what `map` makes a job of: the lines of its input, NUL-terminated names, or rows of CSV.

Guarantees: memory is bounded whatever the input holds; what has come is handed on before more is waited for. An item is
            kept as it is, with its spaces. Empty ones are skipped; the last one needs no terminator.
Source:     RFC 4180.
"""

from __future__ import annotations

from queuectl.cli.job_input import Overlong, read_pieces, without_mark
from queuectl.errors import InvalidData, UsageError
from queuectl.job.job_file import MAX_BYTES
from queuectl.units import plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    Item = tuple[int, str | InvalidData]
    Row = tuple[int, dict[str, str] | InvalidData]

RENAME = "a job file is UTF-8; rename the file, for instance with convmv, or pass a directory that holds it"


def read_items(file: BinaryIO, *, end: bytes = b"\n") -> Iterator[Item | None]:
    """Yield the items with their numbers, of which empty lines have one; None where reading on would wait."""
    number = 0
    pieces = read_pieces(file, end)
    for piece in without_mark(pieces) if end == b"\n" else pieces:
        if piece is None:
            yield None
            continue
        number += 1
        if piece:
            yield number, _text(piece)


def _text(piece: bytes) -> str | InvalidData:
    if isinstance(piece, Overlong):
        return piece.refusal()
    if b"\0" in piece:
        return InvalidData("it contains a NUL character", "for input of find -print0: queuectl map -0")
    try:
        return piece.decode()
    except UnicodeDecodeError as error:
        shown = piece[:80].decode("utf-8", "backslashreplace")
        return InvalidData(f'byte 0x{piece[error.start]:02x} of "{shown}" is not UTF-8', RENAME)


class Csv:
    """Rows of CSV whose first names the columns.

    Raises:
        UsageError: there is no such first row.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._pieces = without_mark(read_pieces(file, b"\n"))
        self._number = 0
        first = next((found for found in self._records() if found is not None), None)
        if first is None:
            raise UsageError("the CSV input is empty; its first line must name the columns")
        number, names = first
        if isinstance(names, InvalidData):
            raise UsageError(f"line {number}: {names}")
        self.columns = [name.strip() for name in names]
        wrong = next((name for name in self.columns if not name or self.columns.count(name) > 1), None)
        if wrong is not None:
            what = f'names "{wrong}" twice' if wrong else "has a column without a name"
            raise UsageError(f"the first line of the CSV input {what}")

    def rows(self) -> Iterator[Row | None]:
        """Yield the rows with the numbers of their first lines; None where reading on would wait."""
        for record in self._records():
            if record is None:
                yield None
                continue
            number, values = record
            if isinstance(values, InvalidData):
                yield number, values
            elif len(values) != len(self.columns):
                yield (
                    number,
                    InvalidData(f"it has {plural(len(values), 'column')}; the first line has {len(self.columns)}"),
                )
            else:
                yield number, dict(zip(self.columns, values, strict=True))

    def _records(self) -> Iterator[tuple[int, list[str] | InvalidData] | None]:
        """Yield what a line has, or several that a quoted value with line ends spans."""
        begun, size = b"", 0
        for piece in self._pieces:
            if piece is None:
                yield None
                continue
            self._number += 1
            size += 1
            begun = piece if size == 1 else begun + b"\n" + piece
            is_whole = isinstance(piece, Overlong) or len(begun) > MAX_BYTES or begun.count(b'"') % 2 == 0
            if is_whole and begun.strip():
                yield self._number - size + 1, _values(begun)
            if is_whole:
                begun, size = b"", 0
        if begun:
            yield self._number - size + 1, InvalidData('a value that begins with " has no closing "')


def _values(record: bytes) -> list[str] | InvalidData:
    import csv

    text = _text(record.removesuffix(b"\r") if type(record) is bytes else record)
    if isinstance(text, InvalidData):
        return text
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        return InvalidData(f"not valid CSV: {error}")
