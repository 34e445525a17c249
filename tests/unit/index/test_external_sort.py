from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from queuectl.index import external_sort
from queuectl.index.external_sort import Sorter

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 995])
def test_ids_come_out_in_order_however_many_there_are(
    tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external_sort, "RUN_IDS", 10)
    monkeypatch.setattr(external_sort, "READ_BYTES", 17)
    ids = [f"{random.Random(number).getrandbits(40):x}-{number}" for number in range(count)]
    sorter = Sorter(str(tmp_path))
    for job_id in ids:
        sorter.add(job_id)
    assert sorter.count == count
    assert [*sorter] == sorted(ids)
    assert os.listdir(tmp_path) == []
    sorter.close()


def test_an_id_that_was_added_twice_comes_twice(tmp_path: Path) -> None:
    sorter = Sorter(str(tmp_path))
    for job_id in "bab":
        sorter.add(job_id)
    assert [*sorter] == ["a", "b", "b"]
    sorter.close()


def test_the_order_is_that_of_the_index(tmp_path: Path) -> None:
    """Bytes, not letters of some language: SQLite compares so."""
    sorter = Sorter(str(tmp_path))
    for job_id in ("a", "B", "_x", "a-", "a.", "a0", "Z"):
        sorter.add(job_id)
    assert [*sorter] == sorted(["a", "B", "_x", "a-", "a.", "a0", "Z"], key=str.encode)
    sorter.close()
