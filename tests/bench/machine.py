"""machine: what the figures were taken on."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from pathlib import Path


def describe(size: str) -> dict[str, object]:
    """Return what has to be known of a machine to read its figures; the file system is added by who knows where."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "size": size,
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return platform.machine()


def file_system_of(directory: Path) -> str:
    """Return the kind of file system, and for ext4 whether it has a journal: creating files costs differently."""
    found, kind, source = "", "unknown", ""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        device, mount, its_kind = line.split()[:3]
        if len(mount) >= len(found) and directory.is_relative_to(mount):
            found, kind, source = mount, its_kind, device
    if kind != "ext4":
        return kind
    name = os.path.basename(os.path.realpath(source))
    journals = Path("/proc/fs/jbd2")
    has_journal = journals.is_dir() and any(entry.name.startswith(f"{name}-") for entry in journals.iterdir())
    return "ext4 with a journal" if has_journal else "ext4 without a journal"
