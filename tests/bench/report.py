"""report: the table on the terminal, the JSON file, and the tables of docs/PERFORMANCE.md, which are made from it."""

from __future__ import annotations

import math
import re
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench.harness import ABOVE, NOTHING_STORED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.bench.harness import Bench, Row

    Result = Mapping[str, Any]

BEGIN, END = "<!-- begin: written by python -m tests.bench --markdown -->", "<!-- end -->"
HEADS = ("figure", "durability", "median", "min … max", "unit", "against its limit", "goal", "met")


def as_result(benches: Iterable[Bench], machine: Result, rows: Iterable[Row]) -> dict[str, Any]:
    """Return what JSON keeps: for every bench what it is about, the machine, and its rows."""
    found = {each.name: {"about": each.about, "machine": machine, "rows": []} for each in benches}
    for row in rows:
        found[row.bench]["rows"].append(_as_dict(row))
    return found


def _as_dict(row: Row) -> dict[str, Any]:
    figure, goal = row.figure, row.figure.goal
    return {
        "figure": figure.what,
        "durability": figure.durability,
        "unit": figure.unit,
        "samples": [None if math.isnan(number) else number for number in row.samples],
        "limit": figure.limit,
        "compare": figure.compare,
        "comparisons": row.comparisons,
        "goal": None if goal is None else {"text": str(goal), "of": goal.of, "full_size_only": goal.full_size_only},
        "met": row.verdict,
        "size": figure.size,
    }


def cells(row: Result, size: str) -> tuple[str, ...]:
    """Return the cells of one line of the table."""
    samples = [number for number in row["samples"] if number is not None]
    if not samples:
        return (row["figure"], row["durability"], "not to be had", *[""] * (len(HEADS) - 3))
    goal, met = "", ""
    if row["goal"] is not None:
        goal = row["goal"]["text"]
        met = "too small to say" if row["goal"]["full_size_only"] and size != "full" else "yes" if row["met"] else "NO"
    middle = f"{number(min(samples))} … {number(max(samples))}"
    return (
        row["figure"],
        row["durability"],
        number(median(samples)),
        middle,
        row["unit"],
        _comparison(row),
        goal,
        met,
    )


def _comparison(row: Result) -> str:
    found = row["comparisons"]
    if not found:
        return ""
    if row["compare"] == ABOVE:
        return f"{median(found):+.2f} {row['unit']} ({min(found):+.2f} … {max(found):+.2f})"
    return f"× {median(found):.2f} ({min(found):.2f} … {max(found):.2f})"


def number(value: float) -> str:
    """Write a number with three digits that matter, thousands separated."""
    if value == 0 or math.isnan(value):
        return "0" if value == 0 else "–"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(places, 4)}f}"


def text_table(result: Result) -> str:
    """Return the table for a terminal, one block a bench."""
    blocks = []
    for name, made in result.items():
        lines = [HEADS, *(cells(row, made["machine"]["size"]) for row in made["rows"])]
        widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS))]
        text = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        blocks.append("\n".join([name, *(f"  {line}" for line in text)]))
    return "\n\n".join(blocks)


def markdown(result: Result) -> str:
    """Return the part of docs/PERFORMANCE.md that is made from a run, or from the runs that were put together."""
    parts, said = [], ""
    for name, made in result.items():
        parts.append(f"### {name}\n\nWhat: {made['about']}.")
        if _taken(made["machine"]) != said:
            said = _taken(made["machine"])
            parts.append(said)
        parts.append(_table(HEADS, [cells(row, made["machine"]["size"]) for row in made["rows"]]))
    growing = growth([row for made in result.values() for row in made["rows"]])
    if growing:
        parts.append(
            f"### Growth\n\nMedians by the number of jobs that wait; where it matters, as many have finished.\n\n{growing}"
        )
    return "\n\n".join([BEGIN, *parts, END])


def _taken(machine: Result) -> str:
    return (
        f"Taken {machine['date'][:10]} at size `{machine['size']}`: {machine['cores']} cores ({machine['processor']}), "
        f"{machine['memory_gib']:g} GiB, Linux {machine['kernel']}, Python {machine['python']}, "
        f"{machine['file_system']}; load {machine['load_before']:g} before it began."
    )


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, ["---"] * len(heads), *lines))


def growth(rows: Sequence[Result]) -> str:
    """Return a table of what was measured at several sizes, a column each; "" when nothing was."""
    sized = [row for row in rows if row["size"] is not None]
    sizes = sorted({row["size"] for row in sized})
    if len(sizes) < 2:
        return ""
    lines: dict[str, dict[int, str]] = {}
    for row in sized:
        what = re.sub(rf"(, | with )?{row['size']:,}( \+ {row['size']:,}| waiting| jobs)?", "", row["figure"])
        samples = [sample for sample in row["samples"] if sample is not None]
        name = f"{what.strip(' ,')} ({row['unit']}{'' if row['durability'] == NOTHING_STORED else ', ' + row['durability']})"
        lines.setdefault(name, {})[row["size"]] = number(median(samples)) if samples else "–"
    heads = ("", *(f"{size:,}" for size in sizes))
    return _table(heads, [(what, *(line.get(size, "") for size in sizes)) for what, line in lines.items()])


def put_into(document: str, made: str) -> str:
    """Return a document with the part between the marks replaced.

    Raises:
        ValueError: it has no marks.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} … {END} in the document")
    return before + made + after
