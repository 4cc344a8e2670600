"""What a document says, and where."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hitl_agent.documents import MAX_BYTES, load_document, read_text
from hitl_agent.errors import ConfigurationError, DocumentError
from tests.support.documents import Anything, load, value_of, yaml_like


def test_a_document_is_given_as_model_and_as_plain_data():
    document = load("# a comment\nversion: 2\nitems:\n  a: {effect: read}\n")
    assert document.value.items["a"].effect == "read"
    assert document.value.items["a"].names == ()
    assert document.data == {"version": 2, "items": {"a": {"effect": "read"}}}
    assert document.file == "f.yaml"


def test_positions_of_values_and_keys_are_one_based():
    document = load("title: t\nitems:\n  ab: {effect: read, names: [x, yy]}\n")
    assert document.position() == (1, 1)
    assert document.position("title") == (1, 8)
    assert document.position("items") == (3, 3)
    assert document.key_position("items") == (2, 1)
    assert document.position("items", "ab", "names", 1) == (3, 33)
    assert document.key_position("items", "ab", "names", 1) == (3, 33)
    assert document.key_position("items", "ab") == (3, 3)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("anything:", (1, 10)),
        ("anything:   # none\ntitle: a", (1, 10)),
        ("{anything:   }", (1, 11)),
        ("{anything: # none\n\n}", (1, 11)),
        ("{anything}", (1, 10)),
        ("title: a\n? anything\n# a: b\n:  \n", (4, 2)),
    ],
)
def test_a_value_left_empty_stands_after_its_colon(text, place):
    document = load(text)
    assert document.data["anything"] is None
    assert document.position("anything") == place


def test_columns_count_characters():
    document = load("anything: {é: 1, 😀: [2,\u3000, 'é😀']}")
    assert document.position("anything", "😀") == (1, 21)
    assert document.position("anything", "😀", 2) == (1, 27)


def test_the_position_of_what_is_not_there_is_that_of_what_should_hold_it():
    document = load("title: t\nitems:\n  ab: {effect: read}\n")
    assert document.position("items", "ab", "limit", 3) == (3, 7)
    assert document.position("nothing") == (1, 1)
    assert str(document.error("no", "items", "ab", at_key=True)) == "f.yaml:3:3: no"
    assert str(document.error("no", "items", "ab")) == "f.yaml:3:7: no"


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("", None),
        ("~", None),
        ("NULL", None),
        ("True", True),
        ("false", False),
        ("yes", "yes"),
        ("on", "on"),
        ("2024-01-31", "2024-01-31"),
        ("12:30:00", "12:30:00"),
        ("1_000", "1_000"),
        ("0", 0),
        ("-0", 0),
        ("+12", 12),
        ("0x1F", 31),
        ("0o17", 15),
        ("9007199254740991", 2**53 - 1),
        ("0.1", 0.1),
        ("50.00", 50.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("'007'", "007"),
        ('"1"', "1"),
        ("'<<'", "<<"),
        ("v1.2.3", "v1.2.3"),
        ("'a\tb'", "a\tb"),
        ("|\n  two\n  lines", "two\nlines"),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(scalar, value):
    read = value_of(scalar)
    assert read == value
    assert type(read) is type(value)


def test_a_byte_order_mark_and_windows_line_ends_are_read():
    assert load("\ufeffversion: 1\r\ntitle: t\r\n").data == {"version": 1, "title": "t"}


def test_a_yaml_1_2_directive_is_read():
    assert load("%YAML 1.2\n---\nversion: 1\n...\n").data == {"version": 1}


@settings(deadline=None)
@given(st.text() | yaml_like | st.binary().map(lambda data: data.decode("utf-8", "replace")))
@example("items: {forbidden: {effect: read}}")
def test_any_text_is_read_or_refused_with_a_place(text):
    try:
        document = load(text)
    except DocumentError as error:
        assert error.line >= 1  # noqa: PT017  it may also be read
        assert error.column >= 1  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert isinstance(document.data, dict)


json_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Zl", "Zp"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner),
    max_leaves=10,
)


@settings(max_examples=50, deadline=None)
@given(json_data, st.booleans(), st.sampled_from([None, 1, "\t"]))
@example({"😀": ["é\u3000😀", {}, [0.5]]}, False, "\t")
def test_json_that_holds_nothing_unseen_is_read_as_itself(data, as_ascii, indent):
    """JSON is YAML 1.2; every value's place is where its text begins."""
    text = json.dumps({"a": data}, ensure_ascii=as_ascii, indent=indent)
    try:
        document = load_document(text, file="f", model=Anything)
    except DocumentError as error:
        assert re.search("character U\\+|escape code", str(error))  # noqa: PT017
    else:
        assert document.data == {"a": data}
        assert document.position("a") == ((1, 7) if indent is None else (2, 7))


def test_a_file_is_read_as_utf_8(tmp_path: Path):
    path = tmp_path / "f.yaml"
    path.write_bytes("\ufeffé\n".encode())
    assert read_text(path) == "é\n"
    assert read_text(str(path)) == "é\n"


def test_a_missing_file_a_directory_and_a_device_are_refused(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"there is no file `.*nothing`"):
        read_text(tmp_path / "nothing")
    with pytest.raises(ConfigurationError, match="is not a file"):
        read_text(tmp_path)
    with pytest.raises(ConfigurationError, match="is not a file"):
        read_text("/dev/zero")
    with pytest.raises(ConfigurationError):
        read_text("a\x00b")
    with pytest.raises(ConfigurationError, match="cannot be read: file name too long"):
        read_text("a" * 5000)


def test_a_file_that_is_not_utf_8_is_refused_at_the_byte(tmp_path: Path):
    path = tmp_path / "f.yaml"
    path.write_bytes("é: 1\nab".encode() + b"\xff")
    with pytest.raises(DocumentError, match="byte 0xff is not UTF-8") as caught:
        read_text(path)
    assert (caught.value.line, caught.value.column) == (2, 3)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path):
    path = tmp_path / "f.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(DocumentError, match=r"larger than 1,000,000 bytes"):
        read_text(path)
