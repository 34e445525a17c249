"""Times as options hold them and as people read them; what may be typed is tested with queuectl.times."""

from __future__ import annotations

import time

import pytest

from queuectl.cli.times import ago, duration, full, instant, short
from queuectl.errors import UsageError
from tests.cli.support import NOW  # 2026-11-24 14:01:58 UTC, a Tuesday


@pytest.mark.parametrize("text", ["", "soon"])
def test_a_time_names_its_option(text: str) -> None:
    with pytest.raises(UsageError, match=f'--at must be a time: .*, not "{text}"'):
        instant("--at", text, NOW)
    assert instant("--at", "2h", NOW) == NOW + 7200
    assert instant("--since", "2h", NOW, past=True) == NOW - 7200


def test_instants_are_shown_in_the_local_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    assert full(NOW) == "2026-11-24 15:01:58 +0100"


def test_a_duration_names_its_option() -> None:
    assert duration("--timeout", "2m") == 120
    with pytest.raises(UsageError, match=r'--timeout must be a duration.*not "2 months"'):
        duration("--timeout", "2 months")


def test_how_far_away() -> None:
    assert ago(NOW + 38, NOW) == "in 38s"
    assert ago(NOW - 125, NOW) == "2m 05s ago"
    assert ago(NOW, NOW) == "0s ago"


def test_short_instants_are_as_short_as_they_are_clear() -> None:
    assert short(NOW, NOW + 60) == "14:01:58"
    assert short(NOW, NOW + 86400) == "Nov 24 14:01"
    assert short(NOW, NOW + 366 * 86400) == "2026-11-24"


@pytest.mark.parametrize("text", ["3650d 1s", "99999999999d", "1" + "0" * 59])
def test_a_duration_of_more_than_ten_years_is_a_slip(text: str) -> None:
    with pytest.raises(UsageError, match=r"--delay must be from 0 to 3650d \(ten years\), not "):
        duration("--delay", text)
    assert duration("--delay", "3650d") == 315_360_000
