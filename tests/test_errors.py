from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from hitl_agent import errors
from hitl_agent.errors import DocumentError, HitlError, InvalidCall

CLASSES = [
    one
    for _, one in inspect.getmembers(errors, inspect.isclass)
    if issubclass(one, HitlError) and one.__module__ == errors.__name__
]


def made(cls: type[HitlError]) -> HitlError:
    if cls is DocumentError:
        return DocumentError("`x` is unknown", file="a.yaml", line=3, column=7, hint="look")
    return cls("something with `name`", hint="do this next")


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_crosses_a_process_border_whole(cls, protocol):
    error = made(cls)
    error.add_note("seen on the way")
    for again in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):
        assert type(again) is cls
        assert str(again) == str(error) == again.message
        assert again.args == error.args
        assert again.hint == error.hint
        assert vars(again) == vars(error)


def test_a_field_that_was_added_later_survives_too():
    error = InvalidCall("no")
    error.call_id = "c1"
    assert pickle.loads(pickle.dumps(error)).call_id == "c1"


def test_a_document_error_begins_with_its_place():
    error = made(DocumentError)
    assert str(error) == "a.yaml:3:7: `x` is unknown"
    assert (error.file, error.line, error.column) == ("a.yaml", 3, 7)


def test_an_error_needs_no_hint():
    assert InvalidCall("no").hint is None


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes():
    def lines(cls: type[HitlError], before: str = "") -> list[str]:
        below = [one for one in CLASSES if cls in one.__bases__]
        below.sort(key=lambda one: inspect.getsourcelines(one)[1])
        found = []
        for one in below:
            last = one is below[-1]
            found.append(f"{before}{'└── ' if last else '├── '}{one.__name__}")
            found += lines(one, before + ("    " if last else "│   "))
        return found

    tree = inspect.getdoc(errors).partition("\n\n")[2].partition("\n\n")[0].split("\n")
    drawn = [re.match(r"[│├└─ ]*\w+", line)[0] for line in tree]
    assert drawn == ["HitlError", *lines(HitlError)]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_says_when_it_is_raised(cls):
    assert cls is HitlError or cls.__doc__.startswith("Raised when ")
