"""The user's project: `langgraph.json`, and the graphs it names."""

from __future__ import annotations

import json
import os
import sys

import pytest

from hitl_agent.errors import ConfigurationError
from hitl_agent.project import find_project, use_settings

GRAPH = """
from langgraph.graph import START, StateGraph
graph = StateGraph(dict)
graph.add_node("{node}", lambda state: state)
graph.add_edge(START, "{node}")
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a project and stand in it."""

    def written(folder="p", node="here", **keys):
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        (path / "flow.py").write_text(GRAPH.format(node=node))
        (path / "langgraph.json").write_text(
            json.dumps({"graphs": {"g": "./flow.py:graph"}} | keys)
        )
        monkeypatch.chdir(path)
        return path

    before, modules = list(sys.path), set(sys.modules)
    yield written
    sys.path[:] = before
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_the_nearest_file_counts(write, monkeypatch):
    outer = write()
    inner = outer / "inner"
    inner.mkdir()
    (inner / "langgraph.json").write_text('{"graphs": {"other": "./a.py:b"}}')
    monkeypatch.chdir(inner)
    assert list(find_project().graphs) == ["other"]
    assert list(find_project(outer).graphs) == ["g"]


def test_two_projects_with_files_of_the_same_name_keep_apart(write):
    first, second = write("a", "one"), write("b", "two")
    assert "one" in find_project(first).load("g").nodes
    assert "two" in find_project(second).load("g").nodes


def test_a_file_is_imported_once(write):
    write()
    assert find_project().load("g") is find_project().load("g")


def test_a_file_that_raised_is_imported_again(write):
    path = write()
    good = (path / "flow.py").read_text()
    (path / "flow.py").write_text("1 / 0")
    with pytest.raises(ConfigurationError, match=r"ZeroDivisionError.*flow\.py:1"):
        find_project().load("g")
    (path / "flow.py").write_text(good + "\n")
    assert find_project().load("g").nodes


def test_dependencies_can_be_imported_from(write):
    path = write(dependencies=["./lib"])
    (path / "lib").mkdir()
    (path / "lib" / "helper_of_this_test.py").write_text("node = 'helped'")
    (path / "flow.py").write_text("import helper_of_this_test as h\n" + GRAPH.format(node="x"))
    assert find_project().load("g").nodes


@pytest.mark.parametrize(
    "env", [{"HITL_X": "1", "OTHER_X": "2"}, "settings.env"], ids=["object", "file"]
)
def test_the_env_is_set_where_the_environment_says_nothing(write, monkeypatch, env):
    path = write(env=env)
    (path / "settings.env").write_text("HITL_X=1\nOTHER_X=2\nBARE\n")
    for name in ("HITL_X", "OTHER_X"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    use_settings()
    assert (os.environ.get("HITL_X"), os.environ.get("OTHER_X")) == ("1", None)
    monkeypatch.setenv("HITL_X", "mine")
    find_project().load("g")
    assert (os.environ.get("HITL_X"), os.environ.get("OTHER_X")) == ("mine", "2")


def test_without_a_project_there_are_no_settings(tmp_path):
    use_settings(tmp_path)


@pytest.mark.parametrize("env", [{"": "1"}, {"A=B": "1"}, {"A": "\0"}])
def test_an_env_that_cannot_be_set_is_named(write, env):
    write(env=env)
    with pytest.raises(ConfigurationError, match="cannot set"):
        use_settings()


def test_an_env_file_that_cannot_be_read_is_named(write):
    path = write(env="settings.env")
    (path / "settings.env").write_bytes(b"A=\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        use_settings()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("graph = None", "`NoneType`, no graph"),
        ("import re as graph", "`module`, no graph"),
        ("def graph(a, b): ...", "TypeError"),
        ("def graph(): return 3", "`int`, no graph"),
        ("def graph(): raise KeyError('x')", "KeyError"),
        ("import sys; sys.exit(4)", "SystemExit: 4"),
        ("other = 1", "has no `graph`"),
        ("from nowhere import graph", "ModuleNotFoundError"),
        ("def graph(:", "SyntaxError"),
        ("async def graph(): return 3", "`int`, no graph"),
    ],
)
def test_what_is_no_graph_is_named(write, code, says):
    (write() / "flow.py").write_text(code)
    with pytest.raises(ConfigurationError, match=says):
        find_project().load("g")


@pytest.mark.parametrize("where", ["a", "a:", ":b", "./a:b", "a b:c", "./a.py:b c", "", "..:x", 3])
def test_a_place_that_cannot_be_is_refused(write, where):
    write(graphs={"g": where})
    with pytest.raises(ConfigurationError, match="does not say where it is"):
        find_project()


def test_a_file_with_a_byte_order_mark_is_read(write):
    path = write()
    text = (path / "langgraph.json").read_text()
    (path / "langgraph.json").write_text("\ufeff" + text, "utf-8")
    assert find_project().graphs


def test_a_file_that_is_not_utf_8_is_named(write):
    (write() / "langgraph.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        find_project()
