"""Faults that only a person can mend: doctor finds them, says what to type, and --fix leaves them alone."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import queuectl
from queuectl.job.job import PENDING, PROCESSING
from queuectl.supervisor import supervisor_lock
from tests.support.chaos import need_root
from tests.support.damaged_home import DamagedHome

Plant = Callable[[DamagedHome], object]


class Fault:
    """One fault, and what doctor says.

    Args:
        text: words of the text; cure: words of the cure.
        level: info, warn or error.
    """

    def __init__(self, check: str, level: str, text: str, cure: str, plant: Plant) -> None:
        self.check = check
        self.level = level
        self.text = text
        self.cure = cure
        self.plant = plant


def write(name: str, text: str = "", *, age_s: float = 7200) -> Plant:
    return lambda damaged: damaged.write(name, text, age_s=age_s)


def moved_away(damaged: DamagedHome) -> None:
    os.rename(damaged.path("spool/dead"), damaged.home.parent / "dead")
    damaged.path("spool/dead").symlink_to(damaged.home.parent / "dead")


def output_nowhere(damaged: DamagedHome) -> None:
    os.rename(damaged.path("output"), damaged.home.parent / "output")
    damaged.path("output").symlink_to(damaged.home.parent / "nowhere")


def pending_loop(damaged: DamagedHome) -> None:
    os.rename(damaged.path("spool/pending"), damaged.home.parent / "pending")
    damaged.path("spool/pending").symlink_to("pending")


def huge_log(damaged: DamagedHome) -> None:
    os.truncate(damaged.write("logs/worker-1.log"), 60 << 20)


def rejected(damaged: DamagedHome) -> None:
    damaged.spool.reject(PENDING, "junk.json", "no job") if damaged.write("spool/pending/junk.json") else None


FAULTS = {
    "folder that is a link": Fault("folders", "error", "spool/dead is a symbolic link", "rm .* && mv ", moved_away),
    "folder that is a link to nowhere": Fault("folders", "error", "which is not a directory", "mkdir -p", output_nowhere),
    "folder that is a link to itself": Fault("folders", "error", "spool/pending.*which is not a directory", "rm .*, then", pending_loop),
    "folder in the spool": Fault("strangers", "warn", "spool/panding", "spool/pending", lambda w: w.path("spool/panding").mkdir()),
    "folder in the home": Fault("strangers", "info", "notes in", "elsewhere", lambda w: w.path("notes").mkdir()),
    "file in the state": Fault("strangers", "warn", "state/hooks/README", "elsewhere", write("state/hooks/README")),
    "settings that are no YAML": Fault("configuration", "error", r"config.yaml:1", "config check", write("config.yaml", "a: [")),
    "setting that is unknown": Fault("configuration", "error", r"config.yaml:2.*timeot.*timeout", ".", write("config.yaml", "timeout: 5\ntimeot: 6\n")),
    "setting that is out of range": Fault("configuration", "error", "max_retries_default must be", "config check", write("config.yaml", "max_retries_default: -1")),
    "name that is passed over": Fault("ignored", "warn", "pending/a.jsn is ignored, for 2h", "rename jobs to NAME.json", write("spool/pending/a.jsn", "{}")),
    "file that was set aside": Fault("rejected", "warn", "1 file was rejected as invalid: junk.json.*no job", "less .*junk.json.reason", rejected),
    "job for the year 2999": Fault("far", "info", "1 job will not start.*far waits until 2999-01-01", "queuectl retry far", lambda w: w.wait("far", run_at="2999-01-01T00:00:00Z")),
    "misspelt field": Fault("fields", "warn", '1 job with a field that looks misspelt: a: unknown field "tag"; did you mean "tags"', "queuectl show a", lambda w: w.drop("a", tag="x")),
    "log that has grown": Fault("logs", "warn", r"worker-1.log \(60 MiB\)", "truncate -s 0", huge_log),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_for_a_person_is_explained_and_left_alone(name: str, damaged: DamagedHome) -> None:
    """It is found at its level, with a cure; --fix changes nothing about it, and exits with 7 for an error only."""
    fault = FAULTS[name]
    fault.plant(damaged)
    [found] = damaged.findings(fault.check)
    assert (found["level"], found["fixable"]) == (fault.level, False)
    assert re.search(fault.text, found["text"]), found
    assert re.search(fault.cure, found["cure"]), found
    assert damaged.doctor("--fix").code == (7 if fault.level == "error" else 0)
    assert damaged.findings(fault.check) == [found]


@pytest.mark.parametrize(
    ("name", "value", "level", "words"),
    [
        ("QUEUECTL_TIMEOUT", "soon", "error", 'QUEUECTL_TIMEOUT must be a duration .*"soon"'),
        ("QUEUECTL_MAX_RETRIES", "many", "error", "QUEUECTL_MAX_RETRIES must be an integer"),
        ("QUEUECTL_TIMEOUTS", "5", "warn", "QUEUECTL_TIMEOUTS .* did you mean QUEUECTL_TIMEOUT"),
    ],
)
def test_a_variable_that_is_wrong_is_named(
    damaged: DamagedHome, monkeypatch: pytest.MonkeyPatch, name: str, value: str, level: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    [found] = damaged.findings("environment")
    assert found["level"] == level
    assert re.search(words, found["text"]), found


def test_variables_of_others_and_valid_ones_are_no_finding(
    damaged: DamagedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("QUEUECTL_JOB_ID", "QUEUECTL_RUN_ID", "QUEUECTL_SOMETHING", "QUEUECTL_KILL_AFTER"):
        monkeypatch.setenv(name, "5")
    assert damaged.findings("environment") == []


def test_what_belongs_to_another_user_is_named_with_the_cure(damaged: DamagedHome) -> None:
    """Left by a command that was once run as somebody else; the job files of others are never run."""
    need_root("giving files away")
    os.chown(damaged.file("done", "done"), 12345, -1)
    os.chown(damaged.path("run"), 12345, -1)
    os.chown(damaged.write("logs/worker-1.log"), 12345, -1)
    [found] = damaged.findings("owners")
    assert found["level"] == "error"
    assert "logs/worker-1.log, run, spool/done/done.json" in found["text"]
    assert found["cure"] == f"sudo chown -R {os.geteuid()} {damaged.home}"
    assert subprocess.run(found["cure"].removeprefix("sudo "), shell=True, check=False).returncode == 0
    assert damaged.findings("owners") == []


@pytest.mark.parametrize(
    ("kind", "level"), [("nfs4", "error"), ("tmpfs", "warn"), ("zfs", "info"), ("ext4", ""), ("", "")]
)
def test_file_systems_are_judged(damaged: DamagedHome, monkeypatch: pytest.MonkeyPatch, kind: str, level: str) -> None:
    monkeypatch.setattr(supervisor_lock, "file_system_of", lambda path: kind)
    assert [found["level"] for found in damaged.findings("file-system")] == ([level] if level else [])


def test_a_disk_without_room_and_without_inodes(damaged: DamagedHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures are the disk's and the setting's."""
    real = os.statvfs(damaged.home)
    mib = (1 << 20) // real.f_frsize

    def fake(_path: object) -> os.statvfs_result:
        return os.statvfs_result((real.f_bsize, real.f_frsize, 10_000 * mib, mib, mib, 1000_000, 50, 50, 0, 255))

    monkeypatch.setattr(os, "statvfs", fake)
    [disk], [inodes] = damaged.findings("disk"), damaged.findings("inodes")
    assert (disk["level"], inodes["level"]) == ("error", "error")
    assert "has 1 MiB left: below 64 MiB (min_free)" in disk["text"]
    assert "only 50 free inodes" in inodes["text"]


def test_a_disk_that_is_full_of_one_output(damaged: DamagedHome, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(damaged.home)
    mib = (1 << 20) // real.f_frsize
    job_id = damaged.jobs.failed("big", b"x" * (5 << 20))
    path = damaged.home / f"output/{job_id}.1.log"
    for free, level in ((mib // 2, "error"), (4 * mib, "warn")):
        disk_now = os.statvfs_result((real.f_bsize, real.f_frsize, 100 * mib, free, free, 9, 9, 9, 0, 9))
        monkeypatch.setattr(os, "statvfs", lambda _path, now=disk_now: now)
        [disk] = damaged.findings("disk")
        assert (disk["level"], disk["cure"]) == (level, f"queuectl purge --output-only {job_id}")
        assert f"; the largest output: job {job_id}, 5 MiB ({path})" in disk["text"]


def test_a_low_limit_on_open_files_and_a_clock_that_is_behind(
    damaged: DamagedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (128, 256))
    assert damaged.findings("limits")[0]["cure"].startswith("ulimit -n 256;")
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (128, 128))
    assert "LimitNOFILE" in damaged.findings("limits")[0]["cure"]
    stamp = Path(queuectl.__file__).stat().st_mtime
    monkeypatch.setattr("queuectl.clock.Clock.now", lambda self: stamp - 7200)
    assert "2h 00m before QueueCTL was installed" in damaged.findings("clock")[-1]["text"]


def test_a_supervisor_that_does_not_answer_is_told_from_one_that_does(
    damaged: DamagedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped by a signal, it holds its lock and listens; nothing in its home is taken for left behind."""
    process = damaged.supervised.start(0)
    assert damaged.findings("supervisor") == []
    monkeypatch.setattr("queuectl.doctor.home.ANSWER_S", 0.3)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        [found] = damaged.findings("supervisor")
        assert (found["level"], f"(pid {process.pid}) does not answer" in found["text"]) == ("error", True)
        assert (found["cure"], "SIGSTOP" in found["text"]) == (f"kill -CONT {process.pid}", True)
        assert damaged.findings("traces") == []
        assert damaged.doctor("--fix").code == 7
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert damaged.findings("supervisor") == []


def test_a_supervisor_of_another_version_is_named(damaged: DamagedHome, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged.supervised.start(1)
    monkeypatch.setattr("queuectl.doctor.check_supervisor.__version__", "9.9.9")
    [found] = damaged.findings("version")
    assert f"is version {queuectl.__version__}; installed is 9.9.9" in found["text"]


def test_beside_a_supervisor_what_is_its_business_is_left_to_it(damaged: DamagedHome) -> None:
    """A job put into processing/ by hand is told of, with what helps; --fix does not touch it."""
    damaged.supervised.start(0)
    damaged.end("odd", "completed")
    os.rename(damaged.file("done", "odd"), damaged.file(PROCESSING, "odd"))
    [found] = damaged.findings("stranded")
    assert (found["fixable"], "the supervisor recovers it when it starts" in found["text"]) == (False, True)
    assert damaged.doctor("--fix").code == 0
    assert damaged.spool.find("odd") == PROCESSING


def test_json_tells_every_check_and_what_was_mended(damaged: DamagedHome) -> None:
    damaged.write("spool/tmp/1", "x")
    told = json.loads(damaged.doctor("--fix", "--json").out)
    assert told["home"] == str(damaged.home)
    assert len(told["checks"]) > 20
    assert {check["level"] for check in told["checks"]} == {"ok", "warn"}
    assert [done["check"] for done in told["mended"]] == ["litter"]
    assert [found["check"] for found in told["findings"]] == ["workers"]
