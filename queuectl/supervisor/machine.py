"""machine: the limits that depend on the whole machine: its load, and how much memory is free.

Guarantees: nothing is read while neither `max_load` nor `min_free_memory` is set.
Source:     proc(5): loadavg, meminfo.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from queuectl.scheduling.limits import LOAD, MEMORY
from queuectl.units import spell_size

if TYPE_CHECKING:
    from queuectl.config.settings import Settings

LOOK_AGAIN_S = 2.0  # the kernel computes the load average every 5 s


class Machine:
    """What the machine has at this moment; tests replace both methods."""

    def load(self) -> float:
        """Return the load average of the last minute."""
        return os.getloadavg()[0]

    def free_memory(self) -> int | None:
        """Return the bytes that programs can use without swapping; None where the system does not say."""
        try:
            with open("/proc/meminfo", encoding="ascii") as file:
                return next((int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:")), None)
        except OSError:
            return None

    def shortage(self, settings: Settings) -> tuple[str, str] | None:
        """Return the limit that keeps jobs from starting, and why in words; None when one may start."""
        if settings.max_load:
            load = self.load()
            if load >= settings.max_load:
                return LOAD, f"the load average of the machine is {load:.2f}, max_load is {settings.max_load:g}"
        if settings.min_free_memory:
            free = self.free_memory()
            if free is not None and free < settings.min_free_memory:
                least = spell_size(settings.min_free_memory)
                return MEMORY, f"{spell_size(free)} of memory is available, min_free_memory is {least}"
        return None
