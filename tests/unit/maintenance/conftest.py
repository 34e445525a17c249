from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.spools import Home

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def spool(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", announce=True)
