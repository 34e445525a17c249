"""Deliberately broken variants of the protocol, each caught by the tests that it names; else a test is missing."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.mutants.intake_mutants import INTAKE_AND_RECOVERY
from tests.mutants.interleave_mutants import INTERLEAVING
from tests.mutants.process_mutants import PROCESSES
from tests.mutants.run_mutant import PATIENCE_S, Mutant, break_it, check_caught, check_pass, edited, lay_out, of, run
from tests.mutants.scheduling_mutants import RECURRING, SCHEDULING
from tests.mutants.spool_mutants import SPOOL
from tests.test_guarantees import RELIABILITY, all_citations, tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from tests.mutants.run_mutant import Ending

MUTANTS = (*SPOOL, *INTAKE_AND_RECOVERY, *PROCESSES, *SCHEDULING, *RECURRING, *INTERLEAVING)
HARMLESS = Mutant("a comment", "spool/rejected.py", (("NAP_S = 0.02", "NAP_S = 0.02  # as before"),), (), "")
AT_ONCE = max(2, os.cpu_count() or 2)


class Trials:
    """Runs the chosen mutants, several at a time, and keeps how the tests ended."""

    def __init__(self, factory: pytest.TempPathFactory, chosen: list[Mutant]) -> None:
        self._factory = factory
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._original = lay_out(factory.mktemp("original") / "copy")
        tests = sorted({test for mutant in chosen for test in mutant.tests})
        parts = [tuple(tests[part::AT_ONCE]) for part in range(AT_ONCE)]
        self._whole = [self._pool.submit(run, self._original, part) for part in parts if part]
        self._broken = {mutant.name: self._pool.submit(self._try, mutant) for mutant in chosen}

    def _try(self, mutant: Mutant) -> list[Ending]:
        self.whole()  # after it, the original is compiled
        folder = self._factory.mktemp("mutant")
        try:
            path = lay_out(folder / "copy", self._original)
            break_it(path, mutant)
            return run(path, mutant.tests, PATIENCE_S)
        finally:
            shutil.rmtree(folder)

    def whole(self) -> list[Ending]:
        """How all the tests ended on the program as it is."""
        return [ending for part in self._whole for ending in part.result()]

    def broken(self, mutant: Mutant) -> list[Ending]:
        """How its tests ended on a mutant."""
        found: Future[list[Ending]] = self._broken[mutant.name]
        return found.result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def trials(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    params = [getattr(item, "callspec", None) for item in request.session.items]
    chosen = {spec.params["mutant"].name for spec in params if spec is not None and "mutant" in spec.params}
    made = Trials(tmp_path_factory, [mutant for mutant in MUTANTS if mutant.name in chosen])
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_mutant_is_noticed_by_the_tests_it_names(trials: Trials, mutant: Mutant) -> None:
    """They pass on the program as it is, and on the mutant an assertion fails in each of them."""
    check_pass(mutant.tests, trials.whole())
    endings = trials.broken(mutant)
    check_caught(mutant.tests, endings)
    for test in mutant.tests:
        print(f"{test}: {next(ending for ending in of(test, endings) if ending.violation).said}")


def test_every_mutant_has_a_name_of_its_own_and_names_a_test() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 15
    assert all(mutant.tests and mutant.why for mutant in MUTANTS)


def test_every_hole_is_opened_by_a_mutant() -> None:
    """So a test that is said to watch a hole has been seen to notice it open."""
    cited = all_citations()
    opened = {number for mutant in MUTANTS for test in mutant.tests for number in cited.get(test.split("[")[0], [])}
    assert {number for number in tables(RELIABILITY) if number.startswith("H")} - opened == set()


def test_a_mutant_that_finds_no_place_is_an_error() -> None:
    """So is one that finds two: it would break something else than it says."""
    for text in ("", "NAP_S = 0.02\nNAP_S = 0.02"):
        with pytest.raises(AssertionError, match="times, not once"):
            edited(text, HARMLESS.edits, "here")


def test_a_harmless_mutant_and_one_that_is_no_program_are_told_from_one_that_is_caught(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The trial itself is tried: a test that passes, or fails for another reason, is no catch."""
    test = "tests/unit/spool/test_layout.py::test_where_things_lie"
    path = lay_out(tmp_path_factory.mktemp("trial") / "copy")
    break_it(path, HARMLESS)
    with pytest.raises(AssertionError, match="not noticed"):
        check_caught((test,), run(path, (test,)))
    break_it(path, Mutant("no such name", "job/job.py", (("class Job:\n", "nowhere\n\n\nclass Job:\n"),), (), ""))
    with pytest.raises(AssertionError, match="nowhere"):
        run(path, (test,))
    with pytest.raises(SyntaxError):
        break_it(path, Mutant("no program", "spool/layout.py", (("class Layout:", "class Layout"),), (), ""))
