"""environment: what a command finds in its environment and where it runs.

Guarantees: a command sees PATH HOME USER LOGNAME SHELL LANG LC_* TZ of the supervisor, then the job's `env`, then
            QUEUECTL_*; nothing else of the supervisor's environment, so no secret and no NOTIFY_SOCKET leaks.
"""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

from queuectl.errors import QueueError
from queuectl.job.history import PROCESSING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queuectl.job.job import Job
    from queuectl.spool.layout import Layout
    from queuectl.spool.spool import Spool

PASSED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHELL = "/bin/sh"
TAG, HOME_TAG = "QUEUECTL_RUN_ID", "QUEUECTL_HOME"  # by these a process of a run is known
OF_A_JOB = (TAG, *(f"QUEUECTL_{name}" for name in ("JOB_ID", "ATTEMPT", "QUEUE", "RESULT", "PROGRESS")))


def base_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the part of the supervisor's environment that every command gets; what is missing comes from passwd.

    A user that passwd does not know, as in a container, is called by its number and has / as its home.
    """
    made = {"PATH": DEFAULT_PATH, "HOME": "/", "USER": str(os.geteuid()), "SHELL": SHELL}
    try:
        owner = pwd.getpwuid(os.geteuid())
        made.update(HOME=owner.pw_dir, USER=owner.pw_name, SHELL=owner.pw_shell or SHELL)
    except KeyError:
        pass
    made.update((key, environ[key]) for key in PASSED if environ.get(key))
    made.setdefault("LOGNAME", made["USER"])
    made.update((key, value) for key, value in environ.items() if key.startswith("LC_"))
    return made


def command_environment(base: Mapping[str, str], job: Job, attempt: int, layout: Layout) -> dict[str, str]:
    """Return the whole environment of one attempt."""
    return {
        **base,
        **({} if not job.units else _units(job.units)),
        **job.fields.get("env", {}),
        **({"QUEUECTL_AFTER": " ".join(job.fields["after"])} if "after" in job.fields else {}),
        HOME_TAG: layout.home,
        TAG: run_id(job.id, attempt),
        "QUEUECTL_JOB_ID": job.id,
        "QUEUECTL_ATTEMPT": str(attempt),
        "QUEUECTL_QUEUE": job.queue,
        "QUEUECTL_RESULT": layout.output_of(job.id, attempt, "result"),
        "QUEUECTL_PROGRESS": layout.output_of(job.id, attempt, "progress"),
    }


def _units(units: Mapping[str, list[int]]) -> dict[str, str]:
    """Return the variables that name the units an attempt has."""
    made = {f"QUEUECTL_RESOURCE_{_variable(name)}": ",".join(map(str, numbers)) for name, numbers in units.items()}
    if "gpu" in units:
        made["CUDA_VISIBLE_DEVICES"] = made["QUEUECTL_RESOURCE_GPU"]
    return made


def _variable(name: str) -> str:
    return "".join(char if char.isalnum() else "_" for char in name.upper())


def calling_job(spool: Spool, environ: Mapping[str, str]) -> Job | None:
    """Return the running job of this home whose command, or a process that it started, we are; None when there is none.

    A process that has outlived its attempt is not part of it any more.
    """
    job_id, _, attempt = environ.get(TAG, "").rpartition(".")
    home = environ.get(HOME_TAG)
    if not job_id or home is None or os.path.realpath(home) != os.path.realpath(spool.layout.home):
        return None
    try:
        job = spool.read(job_id)
    except QueueError:
        return None
    return job if job.state == PROCESSING and str(job.attempts) == attempt else None


def run_id(job_id: str, attempt: int) -> str:
    """Return the tag of an attempt; attempt numbers never repeat, so neither does it."""
    return f"{job_id}.{attempt}"
