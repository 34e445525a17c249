"""Every guarantee of FORMAT.md, and every hole that RELIABILITY.md tells of, is cited by tests that prove it.

A test cites by the number: `Proves G4. Hole H14.` in its docstring, or `g4` in its name.
"""

from __future__ import annotations

import ast
import configparser
import re
from collections import Counter
from functools import cache
from pathlib import Path, PurePosixPath

import pytest

from tests.mutants.intake_mutants import INTAKE_AND_RECOVERY
from tests.mutants.interleave_mutants import INTERLEAVING
from tests.mutants.process_mutants import PROCESSES
from tests.mutants.run_mutant import Mutant, check_fits
from tests.mutants.scheduling_mutants import RECURRING, SCHEDULING
from tests.mutants.spool_mutants import SPOOL

ROOT = Path(__file__).parents[1]
FORMAT = (ROOT / "queuectl/spool/FORMAT.md").read_text(encoding="utf-8")
RELIABILITY = (ROOT / "docs/RELIABILITY.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\b([GH]\d+)\b")

Citations = dict[str, list[str]]  # "folder/test_file.py::name": what it cites


def citations(source: str, where: str) -> Citations:
    """Return what each test of a file cites."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            in_name = [word.upper() for word in node.name.split("_") if NUMBER.fullmatch(word.upper())]
            cited = [*in_name, *NUMBER.findall(ast.get_docstring(node) or "")]
            if cited:
                found[f"{where}::{node.name}"] = cited
    return found


@cache
def all_citations() -> Citations:
    tests = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if path != Path(__file__)]
    files = [citations(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))) for path in tests]
    return {test: cited for file in files for test, cited in file.items()}


def lanes() -> tuple[str, ...]:
    """Return where tests lie: the paths that the plain command runs, and those that .ci/run runs by their names."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return (*config["tool:pytest"]["testpaths"].split(), *config["tool:lanes"]["others"].split())


def lanes_of(path: str, lanes: tuple[str, ...]) -> list[str]:
    """Return the lanes that a file below the project belongs to."""
    return [lane for lane in lanes if path.startswith(f"{lane}/") or PurePosixPath(path).match(lane)]


def promised(page: str) -> list[str]:
    """Return the numbers of the guarantees, as they are listed."""
    return re.findall(r"^\| (G\d+) \|", page.split("## Guarantees")[1].split("\n## ", maxsplit=1)[0], re.M)


def tables(page: str) -> dict[str, str]:
    """Return the last cell of each row of a table that begins with a number."""
    rows = re.findall(r"^\| ([GH]\d+) \|.*\| ([^|]*) \|$", page, re.M)
    assert len(dict(rows)) == len(rows), "a number has two rows"
    return dict(rows)


def problems(wanted: list[str], cited: Citations, always: tuple[str, ...]) -> list[str]:
    """Return what is wrong with citations of these numbers."""
    found = [f"{number} is there twice" for number, count in Counter(wanted).items() if count > 1]
    for letter in dict.fromkeys(number[0] for number in wanted):
        ours = [number for number in wanted if number[0] == letter]
        if ours != [f"{letter}{n}" for n in range(1, len(ours) + 1)]:
            found.append(f"{letter} is not numbered from 1 without a gap")
    for test, numbers in cited.items():
        found += [f"{test} cites {number}, which does not exist" for number in numbers if number not in wanted]
        found += [f"{test} cites {number} twice" for number, count in Counter(numbers).items() if count > 1]
    proved = {number for test, numbers in cited.items() if lanes_of(test.split("::")[0], always) for number in numbers}
    return found + [f"{number} is proved by no test that always runs" for number in wanted if number not in proved]


def short(test: str) -> str:
    """Return how the tables name the file of a test."""
    return test.split("::", maxsplit=1)[0].removeprefix("tests/").removesuffix(".py").replace("test_", "")


def test_every_guarantee_and_every_hole_has_its_test() -> None:
    guarantees = promised(FORMAT)
    holes = [number for number in tables(RELIABILITY) if number.startswith("H")]
    assert len(guarantees) > 10
    assert len(holes) >= 24
    assert problems([*guarantees, *holes], all_citations(), lanes()) == []


def test_every_test_file_belongs_to_one_lane() -> None:
    """What lies in none is never run, and what lies in two is run twice."""
    files = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    assert len(files) > 150
    assert {file: found for file in files if len(found := lanes_of(file, lanes())) != 1} == {}
    named = re.findall(r"^\| .* \| `pytest (tests/\w+)` \|", CONTRIBUTING, re.M)
    assert named == list(lanes()[-len(named) :]), "the table in CONTRIBUTING.md has other lanes than setup.cfg"
    assert [lane for lane in lanes() if not any(lanes_of(file, (lane,)) for file in files)] == []
    assert lanes_of("tests/test_x.py", ("tests/test_*.py", "tests/unit")) == ["tests/test_*.py"]
    assert lanes_of("tests/units/test_x.py", ("tests/test_*.py", "tests/unit")) == []


def test_the_files_that_the_guide_for_contributors_names_exist() -> None:
    named = set(re.findall(r"`([\w.]+/[\w./]+)`", CONTRIBUTING))
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_tables_name_the_files_in_which_the_tests_are() -> None:
    where: dict[str, set[str]] = {}
    for test, numbers in all_citations().items():
        for number in numbers:
            where.setdefault(number, set()).add(short(test))
    told = {number: set(re.findall(r"`([^`]+)`", cell)) for number, cell in tables(RELIABILITY).items()}
    assert told == where


@pytest.mark.parametrize(
    ("wanted", "source", "words"),
    [
        (["G1", "G2"], 'def test_a():\n    """Proves G1."""', "G2 is proved by no test"),
        (["G1"], 'def test_a():\n    """Proves G1, G2."""', "cites G2, which does not exist"),
        (["G1"], 'def test_a():\n    """Proves G1. Hole H7."""', "cites H7, which does not exist"),
        (["G1"], 'def test_g1_a():\n    """Proves G1."""', "cites G1 twice"),
        (["G1", "G1"], "def test_g1_a(): ...", "G1 is there twice"),
        (["G1", "G3"], 'def test_a():\n    """Proves G1, G3."""', "without a gap"),
        (["G1"], 'def helper():\n    """Proves G1."""', "G1 is proved by no test"),
    ],
)
def test_what_is_wrong_with_citations_is_found(wanted: list[str], source: str, words: str) -> None:
    """So is a number that only tests cite which do not always run."""
    found = problems(wanted, citations(source, "tests/unit/test_x.py"), ("tests/unit",))
    assert any(words in problem for problem in found), found
    right = 'def test_a():\n    """Proves G1."""'
    assert problems(["G1"], citations(right, "tests/unit/test_x.py"), ("tests/unit",)) == []
    assert problems(["G1"], citations(right, "tests/chaos/test_x.py"), ("tests/unit",)) != []


@pytest.mark.parametrize(
    "mutant",
    [*SPOOL, *INTAKE_AND_RECOVERY, *PROCESSES, *SCHEDULING, *RECURRING, *INTERLEAVING],
    ids=lambda mutant: mutant.name,
)
def test_a_mutant_finds_its_place_in_the_program_of_today(mutant: Mutant) -> None:
    """To try them all takes minutes; that they can be tried is seen at once."""
    check_fits(mutant)
