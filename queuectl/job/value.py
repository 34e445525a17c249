"""value: small values that compare by class and members.

Why not `dataclasses`: it imports `inspect`, which costs the supervisor and every worker 1.5 MB.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Value:
    """An immutable value; its class names the members in `__slots__`."""

    __slots__: tuple[str, ...] = ()

    def _members(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in type(self).__slots__)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value) and type(other) is type(self) and other._members() == self._members()

    def __hash__(self) -> int:
        return hash((type(self), self._members()))

    def __repr__(self) -> str:
        members = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self).__slots__)
        return f"{type(self).__name__}({members})"
