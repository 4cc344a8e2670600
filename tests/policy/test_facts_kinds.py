from __future__ import annotations

import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_agent.policy.facts import KINDS, facts_of

PYTHON = {"bool": bool, "string": str, "int": int, "list<string>": list}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
# what the readers look for, in any order: nearer to what they take than random text is
PARTS = {
    "sql": "select|*|from|t|where|1|=|'|\"|`|;|(|)|[|]|--|/*|*/|/*!|delete|update|set|a|,|with|x"
    "|as|insert into|values|drop table|$$|\\|union|explain|show|case|end|null|or|not|:|@|#"
    "|\n|\x00|\ud800",
    "url": "http|https|ftp|file|:|/|//|://|@|a|b.c|127|.|0x7f|0177|1|[|]|::1|%|%2e|%41|..|?|#|\\| "
    "|\n|ß|ü|xn--|localhost|:80|。",
    "path": "/|..|.|a|b.txt|.git|~|\\|:|C:|$HOME|%2e| |\x00|\u202e|\uff0f|\u2024|ws|e\u0301",
    "email": "a|@|b.com|,|;|<|>|\"|(|)|:| |\r\n|\x00|Bob|=?utf-8?q?|ü|xn--|.|[|]|%|!|'|localhost",
}
HOSTILE = {
    kind: st.lists(st.sampled_from(text.split("|")), max_size=14).map(joined)
    for kind, text in PARTS.items()
    for joined in ((" " if kind == "sql" else "").join,)
}


def check_reason(error: ValueError) -> None:
    reason = str(error)
    assert type(error) is ValueError
    assert reason
    assert not reason[0].isupper()
    assert not reason.endswith(".")
    assert reason.isprintable()
    assert len(reason) < 300


def check(kind: str, value: object) -> None:
    """Everything or a ValueError with a reason, and nothing else."""
    try:
        facts = facts_of(kind, value, workspace="/srv/ws")
    except ValueError as error:
        check_reason(error)
        return
    assert facts.keys() == KINDS[kind].keys()
    for name, value_ in facts.items():
        assert type(value_) is PYTHON[KINDS[kind][name]], name
        if isinstance(value_, list):
            assert all(type(one) is str for one in value_), name


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_value_has_every_fact_of_its_kind_or_is_refused(kind, data):
    check(kind, data.draw(JSON))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_hostile_text_has_every_fact_of_its_kind_or_is_refused(kind, data):
    check(kind, data.draw(HOSTILE[kind]))


@given(st.lists(HOSTILE["email"] | JSON, max_size=4))
@settings(deadline=None)
def test_a_hostile_list_of_addresses_has_every_fact_or_is_refused(value):
    check("email", value)


class Text(str):
    """Not the text that JSON gives: its methods may do anything."""

    __slots__ = ()

    def __len__(self) -> int:
        raise KeyboardInterrupt


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "value",
    [None, True, 0, 1.5, {}, {"a": 1}, b"a", object(), Text("a"), [[]], [None], ("a@b.c",)],
    ids=lambda one: type(one).__name__,
)
def test_what_is_no_text_has_no_facts(kind, value):
    with pytest.raises(ValueError, match=r"^(it|an address) is"):
        facts_of(kind, value)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="there are those of sql, url, path, email"):
        facts_of("xml", "<a/>")


@pytest.mark.parametrize("kind", ["__init__", "os", "../sql", ""])
def test_only_the_modules_of_kinds_are_loaded(kind):
    with pytest.raises(ValueError, match="no facts of this kind"):
        facts_of(kind, "a")


def test_the_types_are_those_of_cel_and_cannot_be_changed():
    assert {one for fields in KINDS.values() for one in fields.values()} <= PYTHON.keys()
    with pytest.raises(TypeError):
        KINDS["sql"]["reads_only"] = "string"  # type: ignore[index]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (RecursionError(), "^it is nested too deeply$"),
        (KeyError("a"), "^it cannot be read as path$"),
        (MemoryError(), "^it cannot be read as path$"),
        (UnicodeDecodeError("utf-8", b"a", 0, 1, "Bad."), "^it cannot be read as path$"),
    ],
)
def test_whatever_fails_within_is_a_value_error(failure, reason, monkeypatch):
    def fail(*args):
        raise failure

    monkeypatch.setattr("hitl_agent.policy.facts.path.facts", fail)
    with pytest.raises(ValueError, match=reason) as caught:
        facts_of("path", "a")
    assert type(caught.value) is ValueError


def test_sqlglot_is_loaded_by_the_first_sql_and_not_before():
    code = (
        "import sys; from hitl_agent.policy.facts import KINDS, facts_of;"
        "assert not {'sqlglot', 'ipaddress'} & sys.modules.keys();"
        "facts_of('url', 'http://a.b/'); facts_of('email', 'a@b.c'); facts_of('path', 'a');"
        "assert 'sqlglot' not in sys.modules;"
        "facts_of('sql', 'select 1'); assert 'sqlglot' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


BIG = {
    "url": [
        "http://a/" + "a/../" * 1500,
        "http://" + "a." * 3900 + "b/",
        "http://a/" + "%25" * 2600,
        "http://" + "ü" * 7000,
        "http://xn--" + "9" * 7900,
        "http://" + "a:" * 3900 + "@b/",
        "http://" + "1." * 3900 + "1/",
        "http://" + "9" * 7900 + "/",
        "a" * 10**6,
    ],
    "path": [
        "../" * 1300,
        "a/" * 2000,
        "./" * 2000 + "a",
        "%a" * 2000,
        "a" * 10**6,
        "é" * 4000,
    ],
    "email": [
        ",".join(["a@b.c"] * 900),
        "a@" + "b." * 9000,
        "<" * 300,
        '"' * 300,
        "a." * 150 + "@b.c",
        "a" * 10**6,
        ",".join(["ü@" + "ü" * 60] * 900),
        ["a@" + "é" * 60 + ".de"] * 1000,
        ["a"] * 10**6,
    ],
}


@pytest.mark.parametrize(
    ("kind", "value"),
    [(kind, value) for kind, values in BIG.items() for value in values],
    ids=lambda one: str(one)[:20],
)
def test_a_big_value_takes_little_time(kind, value):
    start = time.process_time()
    check(kind, value)
    assert time.process_time() - start < 0.5
