from __future__ import annotations

import posixpath
import subprocess
from pathlib import PurePosixPath

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hitl_agent.policy.facts import facts_of


def path(value: str, workspace: str = ".") -> dict:
    return facts_of("path", value, workspace=workspace)


def test_every_fact_of_a_path():
    assert path("reports/2024/Sales.Q1.CSV") == {
        "inside": True,
        "extension": "csv",
        "name": "Sales.Q1.CSV",
        "hidden": False,
        "absolute": False,
    }
    assert path("/etc/.ssh/id_rsa") == {
        "inside": False,
        "extension": "",
        "name": "id_rsa",
        "hidden": True,
        "absolute": True,
    }


@pytest.mark.parametrize(
    ("value", "workspace"),
    [
        (".", "."),
        ("a", "."),
        ("a/../b", "."),
        ("./a//b", "."),
        ("a/..", "."),
        ("a", "desk"),
        ("a", "../desk"),
        ("../desk/a", "desk"),
        ("a", "/srv/ws"),
        ("../ws/a", "/srv/ws"),
        ("/srv/ws", "/srv/ws"),
        ("/srv/ws/", "/srv/ws"),
        ("/srv/ws/a", "/srv/ws/"),
        ("/srv/./x/../ws/a", "/srv/ws"),
        ("/srv/ws/a", "/srv/y/../ws"),
        ("/../srv/ws/a", "/srv/ws"),
        ("/a", "/"),
        ("a/~b", "."),
        ("...a", "."),
        ("a b.txt", "."),
        ("100%.txt", "."),
        ("größe.txt", "."),
        ("a", "C:\\ws"),
    ],
)
def test_what_leads_into_the_workspace_is_inside(value, workspace):
    assert path(value, workspace)["inside"] is True


@pytest.mark.parametrize(
    ("value", "workspace"),
    [
        ("..", "."),
        ("../a", "."),
        ("a/../../b", "."),
        ("a/b/../../../etc/passwd", "."),
        ("./../a", "."),
        ("..//a", "."),
        ("../../desk/a", "desk"),
        ("..", "desk"),
        ("../a", ".."),
        ("../a", "/srv/ws"),
        ("../ws2/a", "/srv/ws"),
        ("/srv/ws2", "/srv/ws"),
        ("/srv/w", "/srv/ws"),
        ("/srv/ws/../a", "/srv/ws"),
        ("/SRV/ws/a", "/srv/ws"),
        ("/etc/passwd", "/srv/ws"),
        ("/", "/srv/ws"),
        ("//srv/ws/a", "/srv/ws"),
        ("///srv/ws/a", "/srv/ws"),
        ("/etc/passwd", "."),
        ("/desk/a", "desk"),
        ("~", "."),
        ("~/a", "."),
        ("~root/a", "."),
        ("~/a", "/"),
        ("../x", "C:\\ws"),
    ],
)
def test_what_leads_elsewhere_is_not_inside(value, workspace):
    assert path(value, workspace)["inside"] is False


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a\x00.txt",
        "a\nb",
        "a\tb",
        "a\x7fb",
        "\u202egpj.exe",
        "a\u200b",
        ".\u200b.",
        "a\ud800",
        "a\u2028b",
        "a\u00a0b",
        "..\\a",
        "a\\..\\..\\b",
        "\\\\host\\share",
        "C:\\a",
        "C:a",
        "c:/a",
        "/c:/a",
        "a.txt::$DATA",
        "a.txt:stream",
        "file:///etc/passwd",
        "http://a.b/c",
        "host:/etc/passwd",
        "$HOME/a",
        "${HOME}/a",
        "a/$(id)",
        "%USERPROFILE%/a",
        "%2e%2e/a",
        "a%2fb",
        "．．/a",  # noqa: RUF001
        "‥/a",
        "․․/a",  # noqa: RUF001
        "a／b",  # noqa: RUF001
        "a∶b／c",  # noqa: RUF001
        "～/a",  # noqa: RUF001
        " /etc/passwd",
        "/etc/passwd ",
        "a /b",
        ".. /a",
        "...",
        "a/.../b",
        "a.",
        "a.exe.",
        "a./b",
        "a" * 4097,
    ],
)
def test_what_systems_read_differently_has_no_facts(value):
    with pytest.raises(ValueError, match=r"^(it|some)"):
        path(value)


@pytest.mark.parametrize(
    ("value", "name", "extension"),
    [
        ("a.txt", "a.txt", "txt"),
        ("a.TAR.GZ", "a.TAR.GZ", "gz"),
        ("a", "a", ""),
        (".bashrc", ".bashrc", ""),
        (".a.txt", ".a.txt", "txt"),
        ("..a", "..a", ""),
        ("d.txt/", "d.txt", "txt"),
        ("d/x/..", "d", ""),
        (".", "", ""),
        ("..", "", ""),
        ("a/../..", "", ""),
        ("/", "", ""),
        ("/..", "", ""),
        ("../a.py", "a.py", "py"),
    ],
)
def test_the_name_is_that_of_what_the_path_leads_to(value, name, extension):
    found = path(value)
    assert (found["name"], found["extension"]) == (name, extension)


@pytest.mark.parametrize(
    ("value", "hidden"),
    [
        (".env", True),
        ("a/.git/config", True),
        (".git/../a", True),
        ("../.ssh", True),
        ("./a", False),
        ("../a", False),
        ("a.b/c", False),
    ],
)
def test_a_path_with_a_dot_in_front_of_a_part_is_hidden(value, hidden):
    assert path(value)["hidden"] is hidden


PATHS = st.lists(
    st.sampled_from(["a", "ws", "srv", "..", ".", "", "b.c", ".d"]), min_size=1, max_size=9
).map("/".join)


@given(PATHS, st.sampled_from(["/srv/ws", "/srv/ws/", "/", "/srv/../a", "/ws/./srv"]))
@settings(deadline=None)
@example("../..", "/")
def test_inside_agrees_with_the_standard_library(value, workspace):
    try:
        found = path(value, workspace)
    except ValueError:
        assert value == ""
        return
    base = posixpath.normpath(workspace)
    real = posixpath.normpath(posixpath.join(workspace, value))
    if not value.startswith("//"):
        assert found["inside"] == PurePosixPath(real).is_relative_to(base)
    assert found["absolute"] == value.startswith("/")


@given(PATHS, st.sampled_from([".", "", "a", "..", "ws/b.c"]))
@settings(deadline=None)
def test_a_relative_path_is_judged_the_same_wherever_the_workspace_lies(value, workspace):
    try:
        found = path(value, workspace)
    except ValueError:
        assert value == ""
        return
    if found["absolute"]:
        assert not found["inside"]
    elif found["inside"]:  # no name of the directories above can be told
        assert path(value, f"/one/two/{workspace}")["inside"]


def test_no_file_is_looked_at(tmp_path):
    (tmp_path / "link").symlink_to("/etc")
    assert path("link/passwd", str(tmp_path))["inside"] is True


def test_a_shell_finds_the_same_directory(tmp_path):
    """`cd -L` follows `..` by spelling, as is done here."""
    for each in ("a/b/c", "a/d"):
        (tmp_path / each).mkdir(parents=True, exist_ok=True)
    for value in ("a/b/../d", "a/../a/b/./c/..", "../" + tmp_path.name + "/a", "a/b/../../.."):
        shell = ["sh", "-c", 'cd -L "$1" && pwd -L', "sh", value]
        out = subprocess.run(shell, cwd=tmp_path, check=True, capture_output=True, text=True)
        led = PurePosixPath(out.stdout.strip())
        assert path(value, str(tmp_path))["inside"] == led.is_relative_to(tmp_path)
