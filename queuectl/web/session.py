"""session: signing in and out of the page."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from queuectl.spool.layout import shorten
from queuectl.version import __version__
from queuectl.web.response import Response, ok

if TYPE_CHECKING:
    from queuectl.web.app import Request


def session(request: Request) -> Response:
    """Return which queue this is, to a client that has signed in."""
    access = request.app.access
    return ok(
        {
            "version": __version__,
            "home": shorten(request.app.home),
            "hostname": os.uname().nodename,
            "read_only": access.read_only,
            "auth": "token" if access.has_token else "none",
        }
    )


def login(request: Request) -> Response:
    """Exchange the token for a cookie and the write token."""
    token, cookie = request.app.access.login(request.body["token"])
    return ok({"write_token": token, "read_only": request.app.access.read_only}, headers={"Set-Cookie": cookie})


def logout(request: Request) -> Response:
    """Delete the cookie."""
    return ok({"action": "logout"}, headers={"Set-Cookie": request.app.access.logout()})
