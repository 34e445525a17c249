"""Three processes at once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.interleave.actors import TRIPLES
from tests.interleave.explore import Exploration

if TYPE_CHECKING:
    from pathlib import Path

BOUND = 3 if os.environ.get("QUEUECTL_SWEEP") == "full" else 1


@pytest.mark.parametrize("name", TRIPLES)
def test_three_verbs(tmp_path: Path, name: str) -> None:
    triple = TRIPLES[name]
    exploration = Exploration(tmp_path, triple.prepare, *triple.actors, bound=BOUND, **triple.settings)
    exploration.explore()
    print(exploration)
    assert exploration.ends >= 2
