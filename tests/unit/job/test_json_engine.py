"""What reads and writes our JSON does as the standard library's `json` does, with it and without it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from queuectl.errors import InvalidData
from queuectl.job import json_engine
from queuectl.job.json_engine import make_encoder, make_scanner
from queuectl.job.strict_json import read_object

TEXTS = ["1", "-0.5e3", '"a\\u00e9\\n"', "[]", '{"a": [1, {"b": null}], "c": true}', "NaN", "[1, Infinity]", '"ä"']
FAULTY = ["", "{", '{"a"', '{"a":}', "[1,", '"abc', '"\\x"', "tru", "{1:2}", '"\t"', "[1 2]"]
VALUES = [None, True, 3, -0.5, 1e300, 'ä\u2028"\\\n\0', [], {}, {"a": [1, {"ß": None}]}, "x" * 5000, [[[1]]]]


@pytest.fixture(params=["_json", "json"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "json":
        monkeypatch.setitem(sys.modules, "_json", None)
    return str(request.param)


def scan(text: str) -> object:
    scanner = make_scanner(constant=lambda word: f"<{word}>", floating=float, integer=int)
    return scanner(text, 0)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("text", TEXTS)
def test_it_reads_what_the_library_reads(text: str) -> None:
    expected = json.JSONDecoder(parse_constant=lambda word: f"<{word}>").raw_decode(text)
    assert scan(text) == expected


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("text", FAULTY)
def test_it_refuses_what_the_library_refuses_at_the_same_place(text: str) -> None:
    with pytest.raises(json.JSONDecodeError) as theirs:
        json.JSONDecoder().raw_decode(text)
    with pytest.raises(json.JSONDecodeError) as ours:
        scan(text)
    assert (ours.value.msg, ours.value.pos) == (theirs.value.msg, theirs.value.pos)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_it_writes_what_the_library_writes(value: object) -> None:
    assert make_encoder()(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.usefixtures("engine")
def test_what_has_no_json_is_refused_and_the_next_value_is_written_all_the_same() -> None:
    encode = make_encoder()
    circle: list[object] = []
    circle.append(circle)
    for value in (float("nan"), float("inf"), object(), {"a": {1, 2}}, circle):
        with pytest.raises((TypeError, ValueError, RecursionError)):
            encode(value)
    assert encode([circle.clear(), {"a": 1}]) == '[null,{"a":1}]'
    assert encode([circle]) == "[[]]"


@pytest.mark.usefixtures("engine")
def test_objects_are_made_by_the_hook() -> None:
    scanner = make_scanner(pairs=tuple, constant=str, floating=str, integer=str)
    assert scanner('{"a":1,"a":2.5}', 0)[0] == (("a", "1"), ("a", "2.5"))


def test_a_c_encoder_of_another_kind_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        encode_basestring = staticmethod(str)

        @staticmethod
        def make_encoder() -> None:
            """Takes nothing, so that ours cannot be made."""

    monkeypatch.setitem(sys.modules, "_json", Other)  # type: ignore[arg-type]
    assert make_encoder()({"a": "ä"}) == '{"a":"ä"}'


@pytest.mark.parametrize("text", FAULTY)
def test_a_fault_is_told_where_nobody_has_imported_the_library(text: str) -> None:
    """Its error is raised by C code that looks for it among the modules that are loaded already."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from queuectl.errors import InvalidData;"
        "from queuectl.job.strict_json import read_object;"
        "assert 'json' not in sys.modules\n"
        "try: read_object(sys.argv[2].encode())\n"
        "except InvalidData as error: print(error)"
    )
    root = json_engine.__file__.rpartition("/queuectl/")[0]
    told = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, root, text], check=True, capture_output=True, text=True
    )
    with pytest.raises(InvalidData) as here:
        read_object(text.encode())
    assert told.stdout == f"{here.value}\n"


def test_reading_and_writing_do_not_import_the_library() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from queuectl.job.strict_json import encode, read_object;"
        "encode({'a': [1, 2.5, None]}); read_object(b'{\"a\": [1, 2.5, null]}');"
        "sys.exit('json' in sys.modules or 're' in sys.modules)"
    )
    root = json_engine.__file__.rpartition("/queuectl/")[0]
    subprocess.run([sys.executable, "-I", "-S", "-c", program, root], check=True)
