"""What the model's tests choose from, and what they have to have met in the end."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.support.reference_model import ENDED, PERMANENT, SNOOZE, WAITING
from tests.support.state_machine import YEAR_S

PLAIN = st.fixed_dictionaries(
    {},
    optional={
        "priority": st.integers(-2, 2),
        "queue": st.sampled_from(["mail", "web"]),
        "max_retries": st.integers(0, 2),
        "run_in": st.sampled_from([-50.0, 7.0, 5000.0, 3 * YEAR_S]),
        "expires_in": st.sampled_from([-3.0, 20.0, YEAR_S]),
        "on_interrupt": st.just("bury"),
    },
)
# `after_nth` names existing jobs by their place.
PARENTS = st.lists(st.integers(0, 6), min_size=1, max_size=2)
GATED = st.fixed_dictionaries(
    {},
    optional={
        "after_nth": PARENTS,
        "after_policy": st.sampled_from(["success", "any", "failure"]),
        "priority": st.integers(-2, 2),
        "run_in": st.just(7.0),
    },
)
LIMITED = st.fixed_dictionaries(
    {},
    optional={
        "queue": st.sampled_from(["mail", "web", "web"]),
        "lock": st.sampled_from(["db", "db:2", "mail"]),
        "needs": st.sampled_from([{"gpu": 1}, {"gpu": 1}, {"gpu": 2}, {"gpu": 3}]),
        "weight": st.sampled_from([1, 2, 2, 3]),
        "priority": st.integers(-2, 2),
    },
)
FIELDS = st.one_of(PLAIN, PLAIN, GATED, LIMITED)
PAUSES = st.sampled_from(["_all", "default", "web", "mail"])
BIG_EDIT = {"priority": 9, "env": {"A": "x" * 3000}}  # too much for an entry: the file is replaced
EDITS = st.sampled_from(
    [
        {"priority": 7},
        {"queue": "edited", "max_retries": 1},
        {"run_at": None},
        {"run_in": 30.0},
        {"after": None},
        {"after_nth": [0]},
        {"after_nth": [1, 2], "after_policy": "any"},
        {"lock": "db", "needs": None},
        BIG_EDIT,
    ]
)
FITTING: dict[str, tuple[str, ...]] = {
    "hold": ("pending", "failed"),
    "release": ("held",),
    "edit": WAITING,
    "run_now": WAITING,
    "cancel": WAITING,
    "revive": ENDED,
    "delete": (*WAITING, *ENDED),
}
ENDINGS: list[int | str] = [0, 1, 1, SNOOZE, PERMANENT, "cancelled", "stopped"]
ENDS = st.sampled_from(ENDINGS)
OPERATIONS = {
    *("open", "read", "read_at", "write", "create", "publish", "exchange", "move", "unlink", "append", "close"),
    *("sync", "sync_data", "sync_directory", "try_lock", "fstat", "lstat", "exists"),
}
# A sweep in which this did not happen has shown nothing: when each verb is cut off, and when chance decides.
CERTAIN = (
    *(
        f"{verb}: {end}"
        for verb in ("enqueue", "enqueue_many", *FITTING)
        for end in ("acknowledged", "before", "after")
    ),
    *(f"{verb}: refused" for verb in ("hold", "release", "edit", "run_now", "revive")),
    *(f"claim: {end}" for end in ("started", "linked", "limit", "before", "after")),
    *(f"settle: {event}" for event in ("completed", "failed", "died", "snoozed", "requeued", "cancelled")),
    *(f"{deed}: {end}" for deed in ("death", "revival", "pause", "resume") for end in ("before", "after")),
    *("settle: before", "settle: after", "settle: called again", "settle: details lost", "stranger: another name"),
)
LIKELY = (
    *("enqueue: acknowledged", "enqueue: conflict", "enqueue_many: acknowledged", "edit: acknowledged"),
    *(
        "claim: started",
        "claim: early",
        "claim: held",
        "claim: moved",
        "settle: completed",
        "settle: failed",
        "settle: died",
    ),
    *("look: being written", "look: rejected", "stranger: garbage rejected", "half a file was completed"),
    *("index: catch up, none", "index: catch up, deleted", "index: catch up, garbage", "index: rebuild, none"),
    *("mending died", "die in index", "a worker died", "orphan interrupted", "recovered beside the living", "a thief"),
    *("clock set back", "clock set forward"),
    *("claim: waits for a parent", "claim: paused", "die in supervise", "decide: after", "an order was compared"),
    *("a parent is missing", "a child was revived", "a child died", "a child is not needed", "never enough"),
)
