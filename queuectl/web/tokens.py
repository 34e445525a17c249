"""tokens: the secret that every request has to know, and what is derived from it for browsers.

Owns:       web.token in the home (0600), or the file named by --token-file.
Guarantees: a token that others can read is refused; a new one counts from the next request on, everywhere.
Fails with: NotAllowed, InvalidData.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat

from queuectl.errors import InvalidData, NotAllowed, from_os_error

BYTES = 32
LOGIN_CODE_S = 600
SHORTEST, LONGEST = 20, 200
ROTATE = "to make a new one: queuectl web token --rotate"


def make(path: str) -> str:
    """Write a new token, whole or not at all, and return it; what knew the old one has to sign in again."""
    token = secrets.token_urlsafe(BYTES)
    temp_path = f"{path}.{os.getpid()}.tmp"
    try:
        fd = os.open(temp_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="ascii") as file:
            os.fchmod(fd, 0o600)
            file.write(token + "\n")
        os.replace(temp_path, path)
    except OSError as error:
        raise from_os_error(error, f"cannot write {path}") from None
    return token


def read(path: str, *, create: bool = False) -> str:
    """Return the token in a file.

    Raises:
        NotAllowed: others can read it, or it is not ours. InvalidData: it holds no token.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if create:
            return make(path)
        raise InvalidData(f"there is no {path}", ROTATE) from None
    except OSError as error:
        raise from_os_error(error, f"cannot read {path}") from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (os.geteuid(), 0):
            raise NotAllowed(f"{path} is not a file of yours")
        if status.st_mode & 0o077 and status.st_uid == os.geteuid():
            raise NotAllowed(f"{path} can be read by others, who could then run commands as you", f"chmod 600 {path}")
        data = os.read(fd, LONGEST + 2)
    finally:
        os.close(fd)
    text = data.decode("ascii", "replace").strip()
    if not (SHORTEST <= len(text) <= LONGEST and text.isprintable() and " " not in text and text.isascii()):
        raise InvalidData(f"{path} holds no token: {SHORTEST} to {LONGEST} letters and digits on one line", ROTATE)
    return text


class Keys:
    """The token, and what stands for it: cookie and write token are derived, so that neither tells the other.

    A cookie goes to every port of this host, whoever listens there, so it lets read only; writes need the write token
    as well, which a page keeps to its own origin.
    """

    __slots__ = ("cookie", "token", "write")

    def __init__(self, token: str) -> None:
        self.token = token
        self.cookie = _derived(token, "cookie")
        self.write = _derived(token, "write")


def _derived(token: str, use: str) -> str:
    return hmac.new(token.encode(), f"queuectl {use}".encode(), hashlib.sha256).hexdigest()


def login_code(token: str, now: float) -> str:
    """Return a code with which a browser signs in once within LOGIN_CODE_S: the end of that time, a nonce and their MAC."""
    text = f"{int(now + LOGIN_CODE_S):x}.{secrets.token_urlsafe(9)}"
    return f"{text}.{_derived(token, f'login {text}')[:32]}"


def login_code_expiry(code: str, token: str) -> float | None:
    """Return until when a login code is accepted; None if it was not made from this token."""
    text, _, mac = code.rpartition(".")
    if not code.isascii() or not are_equal(mac, _derived(token, f"login {text}")[:32]):
        return None
    return float(int(text.partition(".")[0], 16))


class TokenFile:
    """The keys as the file has them now."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._keys = Keys(read(path, create=True))
        self._seen = self._look()

    def _look(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns

    def keys(self) -> Keys | None:
        """Return them; None while there is no good token, so that nobody is let in. Cost: a stat."""
        seen = self._look()
        if seen != self._seen or seen is None:
            try:
                self._keys, self._seen = Keys(read(self.path)), seen
            except (InvalidData, NotAllowed):
                self._seen = None
                return None
        return self._keys


def are_equal(given: str, wanted: str) -> bool:
    """Compare in a time that tells nothing."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
