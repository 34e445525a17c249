"""What the model's tests choose from, and what they have to have met in the end."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.support.reference_model import ENDED, PERMANENT, SNOOZE, WAITING
from tests.support.state_machine import YEAR_S

FIELDS = st.fixed_dictionaries(
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
BIG_EDIT = {"priority": 9, "env": {"A": "x" * 3000}}  # too much for an entry: the file is replaced
EDITS = st.sampled_from(
    [
        {"priority": 7},
        {"queue": "edited", "max_retries": 1},
        {"run_at": None},
        {"run_in": 30.0},
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
    *(f"claim: {end}" for end in ("started", "linked", "before", "after")),
    *(f"settle: {event}" for event in ("completed", "failed", "died", "snoozed", "requeued", "cancelled")),
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
)
