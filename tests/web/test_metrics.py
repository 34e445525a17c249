"""The figures parse with Prometheus's own parser, and are right."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from queuectl import metrics
from queuectl.index.statistics import BOUNDS
from queuectl.status import Overview
from queuectl.web.snapshot import health_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.cli.support import Jobs
    from tests.support.supervised import Supervised
from tests.web.support import Served

NAMES = (
    *("queuectl_jobs", "queuectl_jobs_enqueued", "queuectl_jobs_finished", "queuectl_job_attempts"),
    *("queuectl_job_retries", "queuectl_oldest_pending_seconds", "queuectl_job_wait_seconds"),
    *("queuectl_job_duration_seconds", "queuectl_workers", "queuectl_worker_restarts", "queuectl_spool_rejected_files"),
    *("queuectl_spool_free_bytes", "queuectl_index_lag_seconds", "queuectl_up", "queuectl_build_info"),
)


def scrape(web: Served) -> dict[str, Any]:
    reply = web.ask("GET", "/metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {family.name: family for family in text_string_to_metric_families(reply.body.decode())}


def value(found: dict[str, Any], name: str, **labels: str) -> float:
    family = found[name]
    [sample] = [s for s in family.samples if s.labels == labels and s.name in (name, f"{name}_total")]
    return float(sample.value)


def test_they_parse_and_tell_what_happened(web: Served, jobs: Jobs) -> None:
    jobs.completed("a")
    jobs.completed("b", queue='odd"queue'.replace('"', ""))
    jobs.failed("c")
    jobs.dead("d")
    jobs.cancelled("e")
    jobs.pending("f")
    found = scrape(web)
    assert set(NAMES) <= set(found)
    assert all(family.documentation and family.type != "unknown" for family in found.values())
    assert value(found, "queuectl_jobs", queue="default", state="dead") == 1
    assert value(found, "queuectl_jobs", queue="oddqueue", state="completed") == 1
    assert value(found, "queuectl_jobs_enqueued") == 6
    assert value(found, "queuectl_jobs_finished", outcome="completed") == 2
    assert value(found, "queuectl_jobs_finished", outcome="cancelled") == 1
    assert value(found, "queuectl_job_attempts", result="failure") == 2
    assert value(found, "queuectl_job_retries") == 1
    assert value(found, "queuectl_up") == 0
    assert value(found, "queuectl_index_lag_seconds") == 0
    assert value(found, "queuectl_oldest_pending_seconds", queue="default") > 0


def test_histograms_are_cumulative_and_end_with_infinity(web: Served, jobs: Jobs) -> None:
    jobs.completed("a")
    jobs.completed("b")
    for name in ("queuectl_job_wait_seconds", "queuectl_job_duration_seconds"):
        samples = scrape(web)[name].samples
        buckets = [s.value for s in samples if s.name.endswith("_bucket")]
        assert buckets == sorted(buckets)
        assert len(buckets) == len(BOUNDS) + 1
        [count] = [s.value for s in samples if s.name.endswith("_count")]
        assert (buckets[-1], [s.labels["le"] for s in samples if s.labels][-1]) == (count, "+Inf")
        assert count == 2


def test_counters_do_not_go_back_when_jobs_are_deleted(web: Served, jobs: Jobs) -> None:
    jobs.completed("a")
    jobs.dead("b")
    before = scrape(web)
    jobs.queue.delete("a")
    jobs.queue.delete("b")
    after = scrape(web)
    for name in ("queuectl_jobs_finished", "queuectl_jobs_enqueued", "queuectl_job_attempts"):
        assert [s.value for s in after[name].samples] == [s.value for s in before[name].samples]
    assert (
        "default" not in str(after["queuectl_jobs"].samples)
        or value(after, "queuectl_jobs", queue="default", state="dead") == 0
    )


def test_no_label_is_without_bound(web: Served, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST_QUEUES", 3)
    for number in range(8):
        jobs.pending(f"j{number}", queue=f"q{number}")
    jobs.pending("one-more", queue="q7")
    found = scrape(web)
    queues = {sample.labels["queue"] for sample in found["queuectl_jobs"].samples}
    assert len(queues) == 4
    assert {"q7", metrics.OTHERS} <= queues
    assert value(found, "queuectl_jobs", queue=metrics.OTHERS, state="pending") == 5
    labels = {name for family in found.values() for sample in family.samples for name in sample.labels}
    assert labels <= {"queue", "state", "outcome", "result", "le", "version", "python", "condition"}


def test_workers_are_counted(web: Served, supervised: Callable[..., Supervised]) -> None:
    watched = supervised()
    watched.start(2)
    found = scrape(web)
    assert value(found, "queuectl_up") == 1
    assert value(found, "queuectl_workers", state="idle") == 2
    assert value(found, "queuectl_worker_restarts") == 0
    assert value(found, "queuectl_start_time_seconds") > 1e9


def test_health_says_what_is_wrong_and_what_to_type(
    web: Served, jobs: Jobs, supervised: Callable[..., Supervised], home: Path
) -> None:
    well = web.ask("GET", "/healthz")
    assert (well.status, well.json["status"]) == (200, "pass")
    jobs.pending("j", "sleep 0")
    ill = web.ask("GET", "/healthz")
    assert (ill.status, ill.json["status"]) == (503, "fail")
    assert ill.json["checks"]["supervisor"]["hint"] == "queuectl worker start --count 2"
    watched = supervised()
    watched.start(1)
    watched.wait_for("j", "completed")
    (home / "spool/rejected/odd").touch()
    told = web.ask("GET", "/healthz")
    assert (told.status, told.json["status"], told.json["checks"]["spool"]["status"]) == (200, "warn", "warn")
    texts = [need["text"] for need in web.get("/api/v1/snapshot")["attention"]]
    assert any("1 invalid file was rejected" in text for text in texts)


def test_what_keeps_jobs_from_being_accepted_is_a_failure(web: Served, home: Path) -> None:
    (home / "config.yaml").write_text("timeout: soon\n")
    ill = web.ask("GET", "/healthz")
    assert (ill.status, ill.json["checks"]["configuration"]["status"]) == (503, "fail")
    assert "config.yaml:1: timeout must be" in ill.json["checks"]["configuration"]["detail"]
    assert value(scrape(web), "queuectl_health", condition="configuration") == 2
    (home / "config.yaml").unlink()
    assert web.ask("GET", "/healthz").status == 200
    os.rename(home / "spool", home / "away")
    gone = web.ask("GET", "/healthz")
    os.rename(home / "away", home / "spool")
    assert (gone.status, gone.json["checks"]["home"]["status"]) == (503, "fail")
    home.chmod(0o777)
    assert web.ask("GET", "/healthz").json["checks"]["home"]["status"] == "fail"
    home.chmod(0o700)


def test_without_an_index_nothing_is_said_to_be_well_that_nobody_knows() -> None:
    overview = Overview("/q", 0.0)
    overview.unavailable = "there is no index"
    made = health_of(overview)
    for name in ("supervisor", "oldest_pending", "dead", "index"):
        assert made["checks"][name]["status"] == "warn", name
    assert "count" not in made["checks"]["dead"]
    assert made["status"] == "warn"


def test_dashboard_alerts_and_the_table_name_metrics_that_there_are(web: Served, jobs: Jobs) -> None:
    """And the table names all of them."""
    jobs.completed("a")
    served = {
        sample.name
        for family in text_string_to_metric_families(web.ask("GET", "/metrics").body.decode())
        for sample in family.samples
    } | {"queuectl_start_time_seconds"}
    folder = Path(__file__).resolve().parents[2] / "docs/monitoring"
    for name in ("README.md", "alerts.yml", "grafana.json"):
        told = set(re.findall(r"(?<!\$)queuectl_[a-z_]+", (folder / name).read_text()))
        assert len(told) > 5
        plain = {"queuectl_job_wait_seconds", "queuectl_job_duration_seconds"}
        assert told <= served | plain, (name, told - served)
    table = (folder / "README.md").read_text()
    assert all(re.sub("_(bucket|sum|count)$", "", name) in table for name in served)
    assert json.loads((folder / "grafana.json").read_text())["panels"]
    assert len(yaml.safe_load((folder / "alerts.yml").read_text())["groups"][0]["rules"]) > 5
