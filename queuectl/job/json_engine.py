"""json_engine: the standard library's JSON scanner and encoder, without the rest of `json`.

`json` imports `re`, which takes longer than all else that `queuectl enqueue` does together; the C functions it is built
on do not. Where they are not as CPython 3.10 to 3.14 has them, `json` itself is used.

Source:     json/scanner.py, json/encoder.py of the standard library; docs/DECISIONS.md.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Scan = Callable[[str, int], tuple[Any, int]]


class _Hooks:
    """What the scanner asks for."""

    strict = True
    object_hook = None
    memo: dict[str, str] = {}  # noqa: RUF012 - nothing is ever put in

    def __init__(
        self,
        pairs: Callable[[list[tuple[str, Any]]], Any] | None,
        constant: Callable[[str], Any],
        floating: Callable[[str], Any],
        integer: Callable[[str], Any],
    ) -> None:
        self.object_pairs_hook = pairs
        self.parse_constant = constant
        self.parse_float = floating
        self.parse_int = integer


def make_scanner(
    *,
    pairs: Callable[[list[tuple[str, Any]]], Any] | None = None,
    constant: Callable[[str], Any],
    floating: Callable[[str], Any],
    integer: Callable[[str], Any],
) -> Scan:
    """Return a function that reads the value at a place of a text and returns it with its end.

    It raises ValueError (json.JSONDecodeError where the text is at fault), or RecursionError.

    Args:
        pairs: makes an object of its members; None for a dict.
        constant, floating, integer: make a value of the spelling of NaN and infinities, of a real, of an integer.
    """
    try:
        from _json import make_scanner as make
    except ImportError:
        from json import JSONDecoder

        decoder = JSONDecoder(object_pairs_hook=pairs, parse_constant=constant, parse_float=floating, parse_int=integer)
        return decoder.raw_decode
    scan_once = make(_Hooks(pairs, constant, floating, integer))  # type: ignore[arg-type]

    def scan(text: str, at: int) -> tuple[Any, int]:
        try:
            return scan_once(text, at)
        except StopIteration as stop:
            from json import JSONDecodeError

            raise JSONDecodeError("Expecting value", text, stop.value) from None
        except SystemError:  # it raises an error of `json`, which must be imported first
            import json.decoder  # noqa: F401

            return scan_once(text, at)

    return scan


def make_encoder() -> Callable[[Any], str]:
    """Return a function that writes a value as compact JSON, not escaping what is not ASCII.

    It raises TypeError, ValueError (NaN, infinity, a circle) or RecursionError.
    """
    try:
        from _json import encode_basestring
        from _json import make_encoder as make

        # Without a dict for it, it does not look for circles: they end in a RecursionError.
        iterate = make(None, _refuse, encode_basestring, None, ":", ",", False, False, False)
    except (ImportError, TypeError):
        from json import JSONEncoder

        return JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

    def encode(value: Any) -> str:
        return "".join(iterate(value, 0))

    return encode


def _refuse(value: object) -> None:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
