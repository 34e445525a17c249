"""Commands for which the modes of files count, also where the tests run as root."""

from __future__ import annotations

import os
import shutil

import pytest


def as_if_not_root() -> list[str]:
    """Return the beginning of a command line under which modes count for root as well."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may do anything, and there is no setpriv")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
