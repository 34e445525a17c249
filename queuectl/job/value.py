"""value: small values that are equal when they are of one kind and say the same.

Why not `dataclasses`: that brings `inspect`, and a megabyte and a half with it, into the supervisor and every worker.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Value:
    """A value whose kind names its members in `__slots__`; it is not to be changed."""

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
