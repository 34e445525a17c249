"""Queue.schedules, add_schedule and their companions, and the examples of the guide."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from queuectl import Conflict, InvalidData, NotFound, Queue
from queuectl.config import yaml_text
from queuectl.config.settings import Settings
from queuectl.job.fields import InvalidField, UnknownField
from queuectl.scheduling.schedules import InvalidSchedule, read

GUIDE = (Path(__file__).resolve().parents[2] / "docs/howto/schedules.md").read_text()


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(tmp_path / "home")


def test_a_schedule_is_added_run_paused_and_removed(queue: Queue) -> None:
    queue.add_schedule("s", ["echo", "hi"], every="1h", misfire="all", overlap="queue", queue="slow", tags=["t"])
    [row] = queue.schedules()
    assert (row["every"], row["misfire"], row["overlap"], row["paused_at"], row["error"]) == (
        *("1h", "all", "queue"),
        *(None, None),
    )
    assert row["job"]["argv"] == ["echo", "hi"]
    job = queue.get(queue.run_schedule("s"))
    assert (job.queue, job.fields["tags"]) == ("slow", ["t", "schedule:s"])
    assert (queue.pause_schedule("s"), queue.pause_schedule("s")) == (True, False)
    assert queue.schedules()[0]["next"] == []
    assert (queue.resume_schedule("s"), queue.resume_schedule("s")) == (True, False)
    queue.pause_schedule("s")
    queue.remove_schedule("s")
    assert queue.schedules() == []
    queue.add_schedule("s", "true", every=90)
    assert queue.schedules()[0]["paused_at"] is None


@pytest.mark.parametrize("every", ["90", 90, timedelta(seconds=90), "1m30s"])
def test_an_interval_is_given_in_any_form(queue: Queue, every: Any) -> None:
    queue.add_schedule("s", "true", every=every)
    assert len(queue.schedules()[0]["next"]) == 5


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, InvalidSchedule),
        ({"every": "1h", "cron": "@daily"}, InvalidSchedule),
        ({"every": timedelta(milliseconds=1)}, InvalidSchedule),
        ({"every": "1h", "misfire": "never"}, InvalidSchedule),
        ({"every": "1h", "id": "x"}, InvalidSchedule),
        ({"every": "1h", "prioritiy": 1}, UnknownField),
        ({"every": "1h", "priority": "high"}, InvalidData),
        ({"every": "1h", "cwd": "/nowhere/at/all"}, InvalidField),
    ],
)
def test_what_is_wrong_is_refused(queue: Queue, given: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        queue.add_schedule("s", "true", **given)
    assert queue.schedules() == []


def test_a_name_is_unique_and_known(queue: Queue) -> None:
    queue.add_schedule("s", "true", every="1h")
    with pytest.raises(Conflict, match="there is a schedule s already"):
        queue.add_schedule("s", "false", every="2h")
    for act in (queue.run_schedule, queue.pause_schedule, queue.resume_schedule, queue.remove_schedule):
        with pytest.raises(NotFound, match='no schedule "t"'):
            act("t")


def test_the_example_of_the_guide_is_valid() -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    found = yaml_text.parse(text, "config.yaml")["schedules"][0]
    assert found == yaml.safe_load(text)["schedules"]
    valid, invalid = read(Settings({"schedules": found}))
    assert (sorted(valid), invalid) == (["nightly", "sync"], {})


def test_the_script_of_the_guide_works(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUECTL_HOME", queue.layout.home)
    [text] = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    found: dict[str, Any] = {}
    exec(text, found)
    assert queue.get(found["job_id"]).fields["argv"] == ["date", "-u"]
    assert queue.schedules() == []
