"""auth: which requests are allowed: Host, Origin, token, read-only.

Guarantees: nothing is answered to a Host that is not ours (DNS rebinding), nothing but the page to who does not know the
            token, and nothing is changed for a browser that stands on another origin, by whatever kind of request.
Fails with: Problem.
Source:     WEB.md § Security; Fetch Metadata; RFC 6265bis (SameSite).
"""

from __future__ import annotations

import os
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING

from queuectl.web.response import Problem
from queuectl.web.tokens import LOGIN_CODE_S, are_equal, login_code_expiry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from queuectl.clock import Clock
    from queuectl.web.http_request import RequestHead
    from queuectl.web.tokens import TokenFile

WRONG_TOKENS = 10  # within
WRONG_WITHIN_S = 10.0
COOKIE_AGE_S = 30 * 86400
SAME = ("same-origin", "none")
TOKEN_HINT = "queuectl web token prints it; send it as: Authorization: Bearer ..."
LOGIN_HINT = "queuectl web login prints a new one"
READ_ONLY = "this page is read-only"
TYPE_HINT = "curl -H 'Content-Type: application/json' ..."


LOOPBACK = ("localhost", "127.0.0.1", "[::1]")  # no other machine can have these names, so no page can be made to


def names_of(host: str, port: int | None, more: Iterable[str] = ()) -> frozenset[str]:
    """Return what a Host header may say.

    Args:
        host: the address that is bound; empty for a socket in the file system.
        port: None likewise.
        more: --allow-host; without a port it counts with ours and without any.
    """
    plain = {*LOOPBACK, os.uname().nodename.lower()}
    if host:
        plain.add(f"[{host}]" if ":" in host else host.lower())
    found = set() if port is not None else set(plain)
    for name in plain if port is not None else ():
        found |= {f"{name}:{port}"} | ({name} if port == 80 else set())
    for name in more:
        name = name.lower()
        has_port = name.rpartition(":")[2].isdigit() and not name.endswith("]")
        found |= {name} if has_port or port is None else {name, f"{name}:{port}"}
    return frozenset(
        name for name in found if name.partition(":")[0] != "0.0.0.0" and not name.startswith((":", "[::]"))
    )


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    is_port = len(port) <= 5 and port.isascii() and port.isdigit() and port[0] != "0" and int(port) < 65536
    return name if is_port else host


class AccessControl:
    """The rules of one server.

    Args:
        token_file: None when there is no authentication (then it is read-only).
        names: what a Host header may say.
        key: the cookie is named after it, for cookies do not know ports: the port, or what stands for the socket.
    """

    def __init__(
        self, token_file: TokenFile | None, names: frozenset[str], key: str, clock: Clock, *, read_only: bool
    ) -> None:
        self._token_file = token_file
        self._names = names
        self._clock = clock
        self._wrong: deque[float] = deque(maxlen=WRONG_TOKENS)
        self._redeemed: dict[str, float] = {}  # login codes, with the time until which they would be accepted
        self._lock = Lock()
        self.read_only = read_only
        self.cookie_name = f"queuectl-{key}"

    @property
    def has_token(self) -> bool:
        """A token is needed."""
        return self._token_file is not None

    def check_host(self, head: RequestHead) -> None:
        """Refuse a Host that is not ours, whatever is asked for."""
        host = head.headers.get("host")
        if host is None:
            raise Problem(400, "the header Host is missing")
        if host.lower() not in self._names and _without_port(host.lower()) not in LOOPBACK:
            name = "".join(c if c.isalnum() or c in ".:-[]_" else "?" for c in host[:100])
            raise Problem(
                421,
                f'this server does not accept the host name "{name}"',
                f"to allow it: queuectl web --allow-host {name}",
            )

    def admit(self, head: RequestHead, *, is_open: bool) -> str:
        """Let a request pass, and return how it has shown that it may: bearer, cookie, none or open."""
        site = head.headers.get("sec-fetch-site", "none")
        if head.is_write or not is_open:
            self._check_site(head, site)
        if is_open:
            self._check_type(head)
            return "open"
        how = self._authenticate(head)
        if head.is_write:
            if self.read_only:
                raise Problem(403, READ_ONLY, "it was started with --read-only", title="read-only")
            self._check_type(head)
            if how == "cookie":
                self._check_write_token(head)
        return how

    def _check_site(self, head: RequestHead, site: str) -> None:
        origin = head.headers.get("origin")
        ours = [f"{scheme}://{head.headers['host'].lower()}" for scheme in ("http", "https")]
        if (origin is not None and origin.lower() not in ours) or site not in SAME:
            raise Problem(403, "this request comes from another site", title="other origin")

    def _check_type(self, head: RequestHead) -> None:
        if not head.is_write:
            return
        kind = head.headers.get("content-type")
        if kind == "application/json" or (kind is None and head.method == "DELETE" and not head.length):
            return
        raise Problem(415, "Content-Type must be exactly application/json", TYPE_HINT)

    def _authenticate(self, head: RequestHead) -> str:
        if self._token_file is None:
            return "none"
        keys = self._token_file.keys()
        scheme, _, given = head.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if keys is not None and are_equal(given.strip(), keys.token):
                return "bearer"
            raise self.refused("the token is wrong")
        cookie = self._cookie(head)
        if cookie is not None:
            if keys is not None and are_equal(cookie, keys.cookie):
                return "cookie"
            raise self.refused("the cookie belongs to another token; sign in again")
        raise self.refused("a token is required", is_wrong=False)

    def _cookie(self, head: RequestHead) -> str | None:
        for pair in head.headers.get("cookie", "").split(";"):
            name, _, value = pair.strip().partition("=")
            if name == self.cookie_name:
                return value
        return None

    def _check_write_token(self, head: RequestHead) -> None:
        keys = self._token_file.keys() if self._token_file is not None else None
        given = head.headers.get("x-queuectl-token", "")
        if keys is None or not are_equal(given, keys.write):
            raise Problem(
                403, "X-QueueCTL-Token is missing or wrong", "POST /api/v1/session answers it", title="no write token"
            )

    def refused(self, detail: str, *, is_wrong: bool = True, hint: str = TOKEN_HINT) -> Problem:
        """Return the answer to who does not know the token; too many wrong ones are told to wait."""
        now = self._clock.monotonic()
        with self._lock:
            if is_wrong:
                self._wrong.append(now)
            many = len(self._wrong) == WRONG_TOKENS and now - self._wrong[0] < WRONG_WITHIN_S
        if is_wrong and many:
            headers = {"Retry-After": f"{WRONG_WITHIN_S:g}"}
            return Problem(429, "too many wrong tokens", "queuectl web token prints the right one", headers=headers)
        headers = {"WWW-Authenticate": 'Bearer realm="queuectl"'}
        return Problem(401, detail, hint, headers=headers)

    # --- signing in

    def login(self, given: str) -> tuple[str, str]:
        """Return the write token and the cookie to set for who knows the token or a code, perhaps in a whole address."""
        keys = self._token_file.keys() if self._token_file is not None else None
        if self._token_file is None:
            return "", self.logout()
        text = given.strip()
        kind, _, value = text.rpartition("#")[2].partition("=")
        if kind == "code":
            if keys is None or not self._redeem(value, keys.token):
                raise self.refused("the address was used already, or is too old", hint=LOGIN_HINT)
        elif keys is None or not are_equal(value if kind == "token" else text, keys.token):
            raise self.refused("the token is wrong")
        return (
            keys.write,
            f"{self.cookie_name}={keys.cookie}; HttpOnly; SameSite=Strict; Path=/; Max-Age={COOKIE_AGE_S}",
        )

    def _redeem(self, code: str, token: str) -> bool:
        """Accept a login code once."""
        now = self._clock.now()
        expires_at = login_code_expiry(code, token)
        if expires_at is None or not now < expires_at <= now + LOGIN_CODE_S:
            return False
        with self._lock:
            if code in self._redeemed:
                return False
            self._redeemed = {used: until for used, until in self._redeemed.items() if until > now}
            self._redeemed[code] = expires_at
        return True

    def logout(self) -> str:
        """Return the cookie that takes the cookie away."""
        return f"{self.cookie_name}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0"
