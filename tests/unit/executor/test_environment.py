"""What every command finds in its environment."""

from __future__ import annotations

import os
import pwd

import pytest

from queuectl.errors import NotFound
from queuectl.executor.environment import base_environment
from queuectl.spool.layout import default_home


@pytest.fixture
def unknown_user(monkeypatch: pytest.MonkeyPatch) -> str:
    """A user without an entry in passwd, as in a container that runs with some number."""

    def refuse(uid: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", refuse)
    return str(os.geteuid())


def test_a_user_that_passwd_does_not_know_is_called_by_its_number(unknown_user: str) -> None:
    made = base_environment({"PATH": "/bin"})
    assert made == {
        "PATH": "/bin",
        "HOME": "/",
        "USER": unknown_user,
        "LOGNAME": unknown_user,
        "SHELL": "/bin/sh",
    }
    assert base_environment({"HOME": "/srv", "USER": "job"})["LOGNAME"] == "job"


def test_without_any_home_directory_the_home_of_the_queue_has_to_be_named(
    unknown_user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("QUEUECTL_HOME", raising=False)
    with pytest.raises(NotFound, match=f"HOME is not set, and user {unknown_user} is not in passwd"):
        default_home()
    monkeypatch.setenv("QUEUECTL_HOME", "/srv/q")
    assert default_home() == "/srv/q"
