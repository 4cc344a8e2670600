import itertools
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from langchain_core.tools import BaseTool, ToolException
from pydantic import ValidationError

from tools import files, workspace
from tools.files import file_tools

ESCAPES = [
    "../secret",
    "a/../../secret",
    "./../secret",
    "a/..",
    "..",
    "/etc/passwd",
    "//etc/passwd",
    "~/secret",
    "a\x00b",
    "a\nb",
    "a\x1bb",
    "",
    "x" * 300,
]


def names(directory):
    return sorted(entry.name for entry in directory.iterdir())


@pytest.fixture(params=["openat", "resolve"])
def fallback(request, monkeypatch):
    """Both ways of confining a path: that of POSIX, and that of platforms without openat."""
    if request.param == "resolve":
        monkeypatch.setattr(workspace, "HAS_OPENAT", False)
        monkeypatch.setattr(workspace, "NO_FOLLOW", 0)


@pytest.fixture
def root(tmp_path, fallback):
    (tmp_path / "secret").write_text("outside")
    inside = tmp_path / "inside"
    inside.mkdir()
    return inside


@pytest.fixture
def call(root):
    tools = {tool.name: tool for tool in file_tools(root)}
    return lambda name, **arguments: tools[name].invoke(arguments)


def test_the_tools_have_plain_names_and_describe_themselves(tmp_path):
    tools = file_tools(tmp_path)
    assert [tool.name for tool in tools] == [
        "list_files",
        "read_file",
        "write_file",
        "move_file",
        "delete_file",
    ]
    for tool in tools:
        assert isinstance(tool, BaseTool)
        assert tool.description
        assert all(
            "description" in field
            for field in tool.tool_call_schema.model_json_schema()["properties"].values()
        )


def test_the_workspace_is_created_when_it_is_missing(tmp_path):
    file_tools(str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").is_dir()


def test_what_was_written_is_read(call, root):
    written = call("write_file", path="notes/today.txt", content="grüße\r\n")
    assert written == {"path": "notes/today.txt", "size": 9, "replaced": False}
    assert (root / "notes" / "today.txt").read_bytes() == "grüße\r\n".encode()
    assert call("read_file", path="./notes//today.txt") == {
        "path": "./notes//today.txt",
        "content": "grüße\r\n",
        "size": 9,
        "truncated": False,
    }


def test_an_existing_file_is_only_replaced_on_request(call, root):
    (root / "a").write_text("old")
    with pytest.raises(ToolException, match="pass `overwrite`"):
        call("write_file", path="a", content="new")
    assert (root / "a").read_text() == "old"
    assert call("write_file", path="a", content="new", overwrite=True)["replaced"] is True
    assert (root / "a").read_text() == "new"


def test_replacing_a_file_keeps_its_mode_and_leaves_no_draft(call, root):
    (root / "a").write_text("old")
    (root / "a").chmod(0o640)
    call("write_file", path="a", content="new", overwrite=True)
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o640
    assert names(root) == ["a"]


def test_a_name_taken_in_the_last_moment_is_not_overwritten(call, root, monkeypatch):
    monkeypatch.setattr(workspace.Entry, "status", lambda _: None)
    (root / "a").write_text("theirs")
    with pytest.raises(ToolException, match="exists already"):
        call("write_file", path="a", content="mine")
    assert (root / "a").read_text() == "theirs"
    assert names(root) == ["a"]


def test_a_write_that_fails_leaves_the_old_content(call, root, monkeypatch):
    (root / "a").write_text("old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(ToolException, match="no space left"):
        call("write_file", path="a", content="new", overwrite=True)
    assert (root / "a").read_text() == "old"
    assert names(root) == ["a"]


def test_content_beyond_the_limit_is_refused(call, root):
    with pytest.raises(ToolException, match="at most 1000000"):
        call("write_file", path="a", content="ü" * 500_001)
    assert names(root) == []


def test_a_long_file_is_cut_between_characters_and_says_so(call, root):
    (root / "a").write_text("x" + "ü" * 600_000, "utf-8")
    read = call("read_file", path="a")
    assert read["truncated"] is True
    assert read["size"] == 1_200_001
    assert len(read["content"]) == 500_000


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a\x00b", "ü".encode()[:1]])
def test_what_is_no_text_is_refused(call, root, data):
    (root / "a").write_bytes(data)
    with pytest.raises(ToolException, match=r"no (UTF-8 )?text"):
        call("read_file", path="a")


def test_a_fifo_is_refused_instead_of_waited_for(call, root):
    os.mkfifo(root / "pipe")
    with pytest.raises(ToolException, match="no regular file"):
        call("read_file", path="pipe")
    with pytest.raises(ToolException, match="no regular file"):
        call("write_file", path="pipe", content="x", overwrite=True)
    with pytest.raises(ToolException, match="only those are moved"):
        call("move_file", source="pipe", target="other")


def test_a_directory_is_listed_in_order_with_types_and_sizes(call, root):
    (root / "b").write_text("12")
    (root / "a").mkdir()
    (root / "c").symlink_to("/etc/passwd")
    listed = call("list_files")
    assert [(entry["name"], entry["type"]) for entry in listed["entries"]] == [
        ("a", "directory"),
        ("b", "file"),
        ("c", "link"),
    ]
    assert listed["entries"][1]["size"] == 2
    assert listed["truncated"] is False


def test_a_large_directory_is_listed_up_to_the_limit(call, root, monkeypatch):
    monkeypatch.setattr(files, "MAX_ENTRIES", 3)
    for name in "edcba":
        (root / name).touch()
    listed = call("list_files", path=".")
    assert [entry["name"] for entry in listed["entries"]] == ["a", "b", "c"]
    assert listed["truncated"] is True


def test_a_name_that_is_no_utf8_is_listed_readably(call, root):
    (root / os.fsdecode(b"\xff")).touch()
    assert call("list_files")["entries"][0]["name"] == "\\xff"


def test_a_file_is_moved(call, root):
    (root / "a").write_text("x")
    call("move_file", source="a", target="new/place/b")
    assert (root / "new/place/b").read_text() == "x"
    assert not (root / "a").exists()


def test_a_directory_is_moved_with_its_content(call, root):
    (root / "a").mkdir()
    (root / "a" / "f").write_text("x")
    call("move_file", source="a", target="b")
    assert (root / "b" / "f").read_text() == "x"
    assert not (root / "a").exists()


@pytest.mark.parametrize("kind", ["file", "directory"])
@pytest.mark.parametrize("taken", ["file", "empty directory", "link"])
def test_a_move_never_overwrites(call, root, kind, taken):
    (root / "a").mkdir() if kind == "directory" else (root / "a").write_text("x")
    if taken == "file":
        (root / "b").write_text("theirs")
    elif taken == "link":
        (root / "b").symlink_to("nowhere")
    else:
        (root / "b").mkdir()
    before = os.lstat(root / "b").st_ino
    with pytest.raises(ToolException, match="exists already"):
        call("move_file", source="a", target="b")
    assert os.lstat(root / "b").st_ino == before
    assert (root / "a").exists()


def test_a_directory_is_not_moved_into_itself(call, root):
    (root / "a").mkdir()
    for target in ("a", "a/b", "./a/b/c"):
        with pytest.raises(ToolException, match="lies in it"):
            call("move_file", source="a", target=target)
    assert names(root / "a") == []


def test_a_directory_move_that_fails_gives_the_name_back(call, root, monkeypatch):
    (root / "a").mkdir()

    def refuse(*_, **__):
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(workspace.os, "rename", refuse)
    with pytest.raises(ToolException, match="permission denied"):
        call("move_file", source="a", target="b")
    assert names(root) == ["a"]


def test_a_file_or_an_empty_directory_is_deleted(call, root):
    (root / "a").write_text("x")
    (root / "d").mkdir()
    assert call("delete_file", path="a") == {"path": "a", "deleted": True}
    assert call("delete_file", path="d") == {"path": "d", "deleted": True}
    assert names(root) == []


def test_a_directory_with_something_in_it_is_kept(call, root):
    (root / "d").mkdir()
    (root / "d" / "f").touch()
    with pytest.raises(ToolException, match="not empty"):
        call("delete_file", path="d")
    assert (root / "d" / "f").exists()


@pytest.mark.parametrize("path", [".", "./", "./."])
def test_the_workspace_itself_is_not_deleted_moved_or_written(call, root, path):
    for name, arguments in (
        ("delete_file", {"path": path}),
        ("write_file", {"path": path, "content": "", "overwrite": True}),
        ("read_file", {"path": path}),
        ("move_file", {"source": path, "target": "x"}),
    ):
        with pytest.raises(ToolException):
            call(name, **arguments)
    assert root.is_dir()


def test_what_does_not_exist_is_said_to_be_missing(call):
    for name, arguments in (
        ("read_file", {"path": "no"}),
        ("list_files", {"path": "no"}),
        ("delete_file", {"path": "no"}),
        ("move_file", {"source": "no", "target": "x"}),
    ):
        with pytest.raises(ToolException, match="`no` does not exist; `list_files` shows"):
            call(name, **arguments)


@pytest.mark.parametrize("path", ESCAPES)
def test_no_spelling_of_a_path_leaves_the_workspace(call, root, path):
    (root / "a").mkdir()
    (root / "f").write_text("x")
    for name, arguments in (
        ("list_files", {"path": path}),
        ("read_file", {"path": path}),
        ("write_file", {"path": path, "content": "x", "overwrite": True}),
        ("delete_file", {"path": path}),
        ("move_file", {"source": path, "target": "t"}),
        ("move_file", {"source": "f", "target": path}),
    ):
        with pytest.raises(ToolException):
            call(name, **arguments)
    assert (root.parent / "secret").read_text() == "outside"
    assert (names(root.parent)) == ["inside", "secret"]


@pytest.mark.parametrize("to", ["..", "/etc", "d", "nowhere"])
def test_a_symbolic_link_on_the_way_is_not_followed(call, root, to):
    (root / "d").mkdir()
    (root / "d" / "f").write_text("x")
    (root / "link").symlink_to(to)
    for name, arguments in (
        ("list_files", {"path": "link"}),
        ("read_file", {"path": "link/secret"}),
        ("write_file", {"path": "link/new", "content": "x"}),
        ("delete_file", {"path": "link/f"}),
        ("move_file", {"source": "link/f", "target": "t"}),
        ("move_file", {"source": "d/f", "target": "link/t"}),
    ):
        with pytest.raises(ToolException):
            call(name, **arguments)
    assert (names(root.parent)) == ["inside", "secret"]


def test_a_symbolic_link_at_the_end_is_not_followed(call, root):
    (root / "link").symlink_to("../secret")
    for name, arguments in (
        ("read_file", {"path": "link"}),
        ("write_file", {"path": "link", "content": "x", "overwrite": True}),
        ("move_file", {"source": "link", "target": "t"}),
    ):
        with pytest.raises(ToolException):
            call(name, **arguments)
    assert (root.parent / "secret").read_text() == "outside"
    call("delete_file", path="link")
    assert names(root) == []
    assert (root.parent / "secret").read_text() == "outside"


@pytest.mark.parametrize("path", ["C:secret", "a:stream", "..\\secret", "a\\..\\..\\secret"])
def test_without_openat_drives_streams_and_backslashes_are_refused(root, monkeypatch, path):
    monkeypatch.setattr(workspace, "HAS_OPENAT", False)
    read = file_tools(root)[1]
    with pytest.raises(ToolException):
        read.invoke({"path": f"{path}/x"})


def test_a_root_that_becomes_a_symbolic_link_is_not_used(tmp_path):
    read = file_tools(tmp_path / "inside")[1]
    (tmp_path / "inside").rmdir()
    (tmp_path / "inside").symlink_to("/etc")
    with pytest.raises(ToolException):
        read.invoke({"path": "passwd"})


def test_swapping_a_directory_for_a_link_during_the_work_gains_nothing(tmp_path):
    """One thread swaps a directory and a link out of the workspace; the tools never get out."""
    root, outside = tmp_path / "inside", tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("outside")
    tools = {tool.name: tool for tool in file_tools(root)}
    (root / "real").mkdir()
    (root / "real" / "f").write_text("inside")
    (root / "link").symlink_to(outside)
    inodes = {name: (root / name).lstat().st_ino for name in ("real", "link")}
    done = threading.Event()

    def swap():
        for turn in itertools.count():
            for name, inode in inodes.items():
                with suppress(OSError):  # a write may have made a `d` of its own in the gap
                    (root / name).rename(root / "d")
                with suppress(OSError):
                    ours = (root / "d").lstat().st_ino == inode
                    (root / "d").rename(root / (name if ours else f"made{turn}{name}"))
            if done.is_set():
                return

    thread = threading.Thread(target=swap)
    thread.start()
    read, refused = set(), 0
    try:
        for turn in range(1000):
            try:
                read.add(tools["read_file"].invoke({"path": "d/f"})["content"])
                tools["write_file"].invoke({"path": f"d/new{turn % 5}", "content": "x"})
                tools["move_file"].invoke({"source": "d/f", "target": "d/g"})
                tools["move_file"].invoke({"source": "d/g", "target": "d/f"})
                tools["delete_file"].invoke({"path": f"d/new{turn % 5}"})
            except ToolException:
                refused += 1
    finally:
        done.set()
        thread.join()
    assert refused
    assert read == {"inside"}
    assert names(outside) == ["f"]
    assert (outside / "f").read_text() == "outside"


def test_a_file_swapped_for_a_link_between_look_and_use_is_not_followed(root, monkeypatch):
    """The status says `regular file`; a moment later a link is there."""
    tools = {tool.name: tool for tool in file_tools(root)}
    (root / "f").write_text("inside")
    regular = (root / "f").stat()
    (root / "f").unlink()
    (root / "f").symlink_to("../secret")
    monkeypatch.setattr(
        workspace.Entry, "status", lambda entry: regular if entry.name.endswith("f") else None
    )
    tools["move_file"].invoke({"source": "f", "target": "g"})
    assert (root / "g").is_symlink()
    (root / "f").symlink_to("../secret")
    tools["write_file"].invoke({"path": "f", "content": "x", "overwrite": True})
    assert not (root / "f").is_symlink()
    tools["delete_file"].invoke({"path": "f"})
    assert (root.parent / "secret").read_text() == "outside"


@pytest.mark.parametrize(
    "arguments",
    [
        {"path": 5},
        {"path": None},
        {"path": ["a"]},
        {"path": "a", "root": "/"},
        {},
        {"path": "\ud800"},
    ],
)
def test_arguments_that_do_not_fit_the_schema_are_refused(call, arguments):
    with pytest.raises(ValidationError):
        call("read_file", **arguments)


def test_overwrite_must_be_a_boolean(call):
    with pytest.raises(ValidationError):
        call("write_file", path="a", content="", overwrite="yes")


def test_no_descriptor_is_left_open(call, root):
    (root / "d").mkdir()
    (root / "d" / "f").write_text("x")
    (root / "link").symlink_to("/etc")
    before = len(names(Path("/proc/self/fd")))
    for _ in range(20):
        call("list_files", path="d")
        call("read_file", path="d/f")
        for path in ("link/passwd", "d/no", "no/no", "d/f/g"):
            with pytest.raises(ToolException):
                call("read_file", path=path)
    assert len(names(Path("/proc/self/fd"))) == before
