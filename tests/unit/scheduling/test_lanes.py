"""The first job that may start is always found, compared with a slow and obvious model."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from queuectl.scheduling import lanes as lanes_module
from queuectl.scheduling import order as order_module
from queuectl.scheduling.lanes import Lanes
from queuectl.scheduling.limits import Capacities, Rate, Usage, blocking, lane_of
from queuectl.scheduling.order import order


@dataclass
class Model:
    """All waiting jobs in one list that is sorted at every question."""

    capacities: Capacities
    waiting: dict[str, tuple] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    now: float = 0.0
    refills: int = 0

    def blocking(self, lane: str) -> str | None:
        return blocking(lane, self.capacities, self.usage, self.now)

    def first(self) -> tuple | None:
        return min((key for key in self.waiting.values() if self.blocking(key[3]) is None), default=None)

    def refill(self, lane, excluded, limit):
        self.refills += 1
        if lane is None:
            return sorted(key for key in self.waiting.values() if key[3] not in excluded)[:limit]
        return sorted(key for key in self.waiting.values() if key[3] == lane)[:limit]


FIELDS = (
    {},
    {"queue": "encode"},
    {"queue": "encode", "weight": 2},
    {"queue": "slow"},
    {"lock": "db"},
    {"lock": "db:2"},
    {"queue": "encode", "lock": "db:2"},
    {"needs": {"gpu": 1}},
    {"needs": {"gpu": 2, "license": 1}},
    {"queue": "paused"},
)
CAPACITIES = Capacities(
    max_running=6,
    concurrency={"encode": 3, "slow": 1},
    rates={"slow": Rate(2, 10.0)},
    resources={"gpu": 2, "license": 1},
    paused=frozenset(("paused",)),
)


@pytest.mark.parametrize("seed", range(40))
def test_the_first_job_that_may_start_is_found(seed, monkeypatch):
    monkeypatch.setattr(lanes_module, "WINDOW", 8)
    monkeypatch.setattr(order_module, "WINDOW", 8)
    monkeypatch.setattr(lanes_module, "OWN_WINDOW", 3)
    monkeypatch.setattr(lanes_module, "MANY_OPEN", seed % 4)
    choose = random.Random(seed)
    model = Model(CAPACITIES)
    lanes = Lanes(model.blocking, model.refill)
    taken = 0
    for number in range(600):
        action = choose.random()
        if action < 0.45:
            fields = choose.choice(FIELDS)
            job_id = f"j{number:04}"
            key = order(choose.choice((0, 0, 5, -3)), float(choose.randrange(50)), job_id, lane_of(fields))
            model.waiting[job_id] = key
            lanes.offer(key)
        elif action < 0.75:
            expected = model.first()
            assert lanes.take() == expected
            if expected is not None:
                taken += 1
                del model.waiting[expected[2]]
                model.usage.add(expected[2], expected[3])
                queue = expected[3].split()[0]
                model.usage.started(queue, model.now, model.capacities.rates.get(queue))
        elif action < 0.95 and model.usage.lanes:
            lanes.freed(model.usage.remove(choose.choice(sorted(model.usage.lanes))))
        elif action < 0.97 and model.waiting:
            gone = choose.choice(sorted(model.waiting))
            del model.waiting[gone]
            lanes.forget(gone)
        else:
            model.now += choose.choice((1.0, 20.0))
            lanes.freed(["rate/slow"])
    assert taken > 60


def test_a_blocked_crowd_is_not_looked_at_again():
    model = Model(CAPACITIES)
    lanes = Lanes(model.blocking, model.refill)
    model.usage.add("holder", lane_of({"lock": "db"}))
    for number in range(5000):
        key = order(9, 0.0, f"blocked{number:05}", lane_of({"lock": "db"}))
        model.waiting[key[2]] = key
        lanes.offer(key)
    assert lanes.take() is None
    before = model.refills
    for number in range(100):
        key = order(0, 1.0, f"plain{number:03}", lane_of({}))
        model.waiting[key[2]] = key
        lanes.offer(key)
        assert lanes.take() == key
        del model.waiting[key[2]]
    assert model.refills == before
    assert len(lanes) == 0


def test_a_lane_that_gets_room_starts_in_order():
    model = Model(CAPACITIES)
    lanes = Lanes(model.blocking, model.refill)
    model.usage.add("holder", lane_of({"lock": "db"}))
    keys = [order(0, float(n), f"b{n:03}", lane_of({"lock": "db"})) for n in range(200)]
    for key in keys:
        model.waiting[key[2]] = key
        lanes.offer(key)
    assert lanes.take() is None
    lanes.freed(model.usage.remove("holder"))
    for key in keys:
        assert lanes.take() == key
        del model.waiting[key[2]]
        model.usage.add(key[2], key[3])
        assert lanes.take() is None
        lanes.freed(model.usage.remove(key[2]))
