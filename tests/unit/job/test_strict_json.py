"""Which JSON is accepted, and what is said about a text that is not: message, line, column and a mark."""

from __future__ import annotations

import json

import pytest

from queuectl.errors import InvalidData
from queuectl.job.strict_json import MAX_DEPTH, MAX_DIGITS, encode, is_json, members, read_object, text_before_damage


def deep(levels: int) -> str:
    """A text that is nested `levels` deep."""
    return '{"a":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


REFUSED = [
    (b"", 1, 1, "the file is empty"),
    (b" \n\t ", 2, 3, "the file is empty"),
    (b"[]", 1, 1, "expected an object"),
    (b'"text"', 1, 1, "expected an object"),
    (b"null", 1, 1, "expected an object"),
    (b"hello", 1, 1, "expected an object"),
    (b"{", 1, 2, "expected a key in double quotes"),
    (b"{a:1}", 1, 2, "expected a key in double quotes"),
    (b"{'a':1}", 1, 2, "expected a key in double quotes"),
    (b'{"a" 1}', 1, 6, "expected ':'"),
    (b'{"a"', 1, 5, "expected ':'"),
    (b'{"a":}', 1, 6, "expected a JSON value"),
    (b'{"a":', 1, 6, "expected a JSON value"),
    (b'{"a":1 "b":2}', 1, 8, "expected ',' or '}'"),
    (b'{"a":1', 1, 7, "expected ',' or '}'"),
    (b'{"a":[1 2]}', 1, 9, "expected ',' or ']'"),
    (b'{"a":[1,2', 1, 10, "expected ',' or ']'"),
    (b'{"a":1,}', 1, 7, "a comma before '}'"),
    (b'{"a":[1,]}', 1, 8, "a comma before ']'"),
    (b'{"a":1,', 1, 8, "expected a key in double quotes"),
    (b'{"command": "echo "hi""}', 1, 20, "expected ',' or '}'"),
    (b'{"a":"x', 1, 6, "no closing quote"),
    (b'{"a":"x\ny"}', 1, 8, "control character"),
    (b'{"a":"\\q"}', 1, 7, "an escape that JSON does not have"),
    (b'{"a":"\\u12"}', 1, 8, "incomplete \\u escape"),
    (b'{\n  "a": 1,\n  "b": tru\n}', 3, 8, "expected a JSON value"),
    (b'{"a":1} x', 1, 9, "expected the end of the file"),
    (b'{"a":1}{"b":2}', 1, 8, "expected the end of the file"),
    (b'{"a":NaN}', 1, 6, "found NaN"),
    (b'{"a":Infinity}', 1, 6, "found Infinity"),
    (b'{"a":-Infinity}', 1, 6, "found -Infinity"),
    (b'{"a":1e999}', 1, 6, "1e999 is too large"),
    (b'{"a":01}', 1, 7, "expected ',' or '}'"),
    (b'{"a":' + b"9" * (MAX_DIGITS + 1) + b"}", 1, 6, f"at most {MAX_DIGITS}"),
    (b'{"a":' + b"9" * (MAX_DIGITS + 1) + b".5}", 1, 6, f"at most {MAX_DIGITS}"),
    (b'{"a":1,"b":{"c":1,"c":2}}', 1, 19, 'the key "c" occurs twice'),
    (b'{"b":{"a":1},"a":"a",\n"a":2}', 2, 1, 'the key "a" occurs twice'),
    (b'{"a":1,"\\u0061":2}', 1, 8, "occurs twice"),
    (b'{"a":"\\u0000"}', 1, 6, "NUL"),
    (b'{"a":{"\\u0000":1}}', 1, 7, "NUL"),
    (b'{"a":"\\ud800"}', 1, 6, "surrogate"),
    (b'{"a":"\\uDC00x"}', 1, 6, "surrogate"),
    (deep(MAX_DEPTH + 1).encode(), 1, 6 + MAX_DEPTH - 1, f"more than {MAX_DEPTH} deep"),
    (b'{"a":' + b"[" * 200_000, 1, 6 + MAX_DEPTH - 1, f"more than {MAX_DEPTH} deep"),
    (b'{"a":1,"b":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, 1, 167, f"more than {MAX_DEPTH} deep"),
    (b'\xef\xbb\xbf{"a":1}', 1, 1, "byte order mark"),
    ('{"a":1}'.encode("utf-16"), 1, 1, "UTF-16"),
    ('{"a":1}'.encode("utf-16-le"), 1, 1, "UTF-16"),
    ('{"a":1}'.encode("utf-16-be"), 1, 1, "UTF-16"),
    (b'{"a":"\xff"}', 1, 7, "byte 0xff is not UTF-8"),
    (b'{"a":"\xc3"}', 1, 7, "byte 0xc3 is not UTF-8"),
    (b'{"a":"\xed\xa0\x80"}', 1, 7, "is not UTF-8"),
    (b'{"a":\n"x\0"}', 2, 3, "byte 8 is NUL"),
    (b"\0" * 300, 1, 1, "byte 0 is NUL"),
]


@pytest.mark.parametrize(("data", "line", "column", "words"), REFUSED, ids=[repr(case[0][:30]) for case in REFUSED])
def test_a_text_that_is_refused_is_refused_at_its_first_fault(data: bytes, line: int, column: int, words: str) -> None:
    with pytest.raises(InvalidData) as caught:
        read_object(data)
    message = str(caught.value)
    assert message.startswith(f"not a valid job: line {line}, column {column}: ")
    assert words in message
    assert "\n" not in message
    assert len(message) < 250


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1}',
        ' \r\n\t{ "a" : [ 1 , 2.5e3 , -0 , true , false , null , { } , [ ] ] } \n\n',
        '{"a":"\\\\u0000 \\\\ud800 \\ud83d\\ude00 é"}',
        '{"":"","a":{"":0}}',
        deep(MAX_DEPTH),
        '{"a":"' + "[{" * 100 + '"}',
        '{"a":' + "9" * MAX_DIGITS + "}",
    ],
)
def test_what_is_accepted_is_read_as_json_reads_it(text: str) -> None:
    found, value = read_object(text.encode())
    assert found == text
    assert value == json.loads(text)


def test_the_place_is_shown_with_a_mark_under_it() -> None:
    with pytest.raises(InvalidData) as caught:
        read_object(b'{\n  "a": 1\n  "b": 2\n}')
    assert caught.value.excerpt == '  "b": 2\n  ^'


def test_a_long_line_is_shown_in_part() -> None:
    with pytest.raises(InvalidData) as caught:
        read_object(b'{"a":"' + b"x" * 5000 + b'" "b":1}')
    excerpt = caught.value.excerpt
    assert excerpt is not None
    source, mark = excerpt.split("\n")
    assert len(source) <= 100
    assert source[len(mark) - 1 :] == '"b":1}'


def test_a_line_that_cannot_be_printed_is_not_shown() -> None:
    with pytest.raises(InvalidData) as caught:
        read_object(b'{"a":"\x1b[31m')
    assert caught.value.excerpt is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": float("nan")}, "JSON"),
        ({"a": {1, 2}}, "JSON"),
        ({"a": b"x"}, "JSON"),
        ({("a",): 1}, "JSON"),
        ({"a": "\ud800"}, "surrogate"),
    ],
)
def test_what_json_cannot_hold_is_not_written(value: object, words: str) -> None:
    with pytest.raises(InvalidData, match=words):
        encode(value)


def test_a_value_that_holds_itself_is_not_written() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(InvalidData):
        encode(loop)


def test_is_json_asks_for_the_grammar_alone() -> None:
    assert is_json('{"a":NaN,"a":1e999}')
    assert is_json("9" * 10_000)
    assert is_json("[" * 100_000 + "]" * 100_000)
    assert not is_json('{"a":1')
    assert not is_json('{"a":1}]}')


def test_members_are_whole_or_left_out() -> None:
    def keys(text: str) -> list[str]:
        return [key for key, *_ in members(text)]

    whole = '{"a":1, "b" : [2],"history":[{}'
    assert keys(whole) == ["a", "b", "history"]
    assert keys('{"a":10') == []
    assert keys('{"a":10}') == ["a"]
    assert keys('{"a":10,') == ["a"]
    assert keys('{"a":1,"b":tru,"c":3}') == ["a"]
    assert keys('{"a":1,,"b":2}') == ["a"]
    assert keys('{"history":{},"b":2}') == ["history", "b"]
    assert keys("[1]") == keys("") == keys("{") == keys("{1:2}") == keys('{"a"}') == []


def test_members_tell_where_things_stand() -> None:
    text = '{ "a" : 1, "bb":"x" }'
    assert [(text[start:end], text[begin:end]) for _, start, begin, end in members(text)] == [
        ('"a" : 1', "1"),
        ('"bb":"x"', '"x"'),
    ]


def test_the_text_before_damage_ends_at_the_first_byte_that_is_none() -> None:
    assert text_before_damage("é1".encode()) == "é1"
    assert text_before_damage(b"ab\0cd") == "ab"
    assert text_before_damage(b"ab\xc3") == "ab"
    assert text_before_damage(b"ab\xff\0") == "ab"
