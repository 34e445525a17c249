"""Limits: what a job takes, and what blocks it."""

from __future__ import annotations

import pytest

from queuectl.scheduling.limits import ALL_PAUSED, Capacities, Demand, Rate, Usage, blocking, demands_of, lane_of

NOW = 1000.0


@pytest.mark.parametrize(
    ("fields", "lane"),
    [
        ({}, "default"),
        ({"queue": "encode", "weight": 1}, "encode"),
        ({"queue": "encode", "weight": 3}, "encode weight=3"),
        ({"lock": "db"}, "default lock=db:1"),
        ({"lock": "db:3", "needs": {"gpu": 2, "a.b": 1}}, "default lock=db:3 a.b:1 gpu:2"),
    ],
)
def test_a_lane_names_what_its_jobs_take(fields, lane):
    assert lane_of(fields) == lane


def test_demands_are_read_back_from_the_lane():
    assert demands_of("encode weight=3 lock=db:2 gpu:1") == (
        Demand("running", 3),
        Demand("queue/encode", 3),
        Demand("lock/db", 1, 2),
        Demand("resource/gpu", 1),
    )


def blocked(fields, running=(), now=NOW, **capacities):
    usage = Usage()
    for number, each in enumerate(running):
        usage.add(f"r{number}", lane_of(each))
    return blocking(lane_of(fields), Capacities(**capacities), usage, now)


ENCODE = {"queue": "encode"}


@pytest.mark.parametrize(
    ("fields", "running", "capacities", "limit"),
    [
        ({}, [{}] * 9, {}, None),
        ({}, [{}, {}], {"max_running": 2}, "running"),
        ({}, [{}], {"max_running": 2}, None),
        ({"weight": 2}, [{}], {"max_running": 2}, "running"),
        (ENCODE, [ENCODE], {"concurrency": {"encode": 1}}, "queue/encode"),
        ({}, [ENCODE], {"concurrency": {"encode": 1}}, None),
        ({"lock": "db"}, [{"lock": "db"}], {}, "lock/db"),
        ({"lock": "db:2"}, [{"lock": "db"}], {}, None),
        ({"lock": "db:2"}, [{"lock": "db"}] * 2, {}, "lock/db"),
        ({"lock": "other"}, [{"lock": "db"}], {}, None),
        ({"needs": {"gpu": 2}}, [{"needs": {"gpu": 1}}], {"resources": {"gpu": 2}}, "resource/gpu"),
        ({"needs": {"gpu": 1}}, [{"needs": {"gpu": 1}}], {"resources": {"gpu": 2}}, None),
        ({}, [], {"paused": frozenset(["default"])}, "pause/default"),
        (ENCODE, [], {"paused": frozenset([ALL_PAUSED])}, "pause/_all"),
        (ENCODE, [], {"paused": frozenset(["default"])}, None),
        # What can never be met does not wait: its claim moves the job to dead/.
        ({"needs": {"gpu": 3}}, [{"needs": {"gpu": 2}}], {"resources": {"gpu": 2}}, None),
        ({"needs": {"gpu": 1}}, [], {}, None),
    ],
)
def test_what_blocks_a_job(fields, running, capacities, limit):
    assert blocked(fields, running, **capacities) == limit


def test_units_come_back_and_nothing_is_counted_twice():
    usage = Usage()
    usage.add("a", "default lock=db:1")
    usage.add("a", "default lock=db:1")
    assert usage.units("lock/db") == 1
    assert usage.holders("lock/db") == ["a"]
    assert usage.remove("a") == ("running", "queue/default", "lock/db")
    assert usage.remove("a") == ()
    assert usage.units("lock/db") == 0


def test_a_demand_that_can_never_be_met_is_named():
    capacities = Capacities(max_running=4, concurrency={"encode": 2}, resources={"gpu": 1})
    assert capacities.never_enough("encode weight=3") == Demand("queue/encode", 3)
    assert capacities.never_enough("default weight=5") == Demand("running", 5)
    assert capacities.never_enough("default gpu:2") == Demand("resource/gpu", 2)
    assert capacities.never_enough("default tape:1") == Demand("resource/tape", 1)
    assert capacities.never_enough("encode weight=2 lock=a:1 gpu:1") is None


def test_a_rate_is_a_sliding_window():
    rate, usage = Rate(2, 10.0), Usage()
    capacities = Capacities(rates={"default": rate})
    usage.started("default", 100.0, rate)
    assert blocking("default", capacities, usage, 101.0) is None
    usage.started("default", 104.0, rate)
    assert blocking("default", capacities, usage, 105.0) == "rate/default"
    assert usage.rate_opens_at("default", rate) == 110.0
    assert blocking("default", capacities, usage, 110.0) is None
    usage.started("default", 110.0, rate)
    assert usage.rate_opens_at("default", rate) == 114.0
