"""File tools: list, read, write, move and delete inside one directory, and nowhere else."""

from __future__ import annotations

import codecs
import heapq
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.tools import BaseTool, ToolException
from pydantic import Field

from tools.arguments import Arguments, as_tool
from tools.workspace import Entry, Workspace, components, explained

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_BYTES = 1_000_000  # of one file, read or written
MAX_ENTRIES = 1_000  # of one listing

_PATH = "path relative to the workspace, `/` between components, no `..`"


class ListFiles(Arguments):
    """Arguments of `list_files`."""

    path: str = Field(".", max_length=1024, description=f"directory to list: {_PATH}")


class ReadFile(Arguments):
    """Arguments of `read_file`."""

    path: str = Field(max_length=1024, description=f"file to read: {_PATH}")


class WriteFile(Arguments):
    """Arguments of `write_file`."""

    path: str = Field(max_length=1024, description=f"file to write: {_PATH}")
    content: str = Field(description="the whole new content of the file, as text")
    overwrite: bool = Field(default=False, description="replace a file that exists")


class MoveFile(Arguments):
    """Arguments of `move_file`."""

    source: str = Field(max_length=1024, description=f"file or directory to move: {_PATH}")
    target: str = Field(max_length=1024, description=f"its new path, not yet in use: {_PATH}")


class DeleteFile(Arguments):
    """Arguments of `delete_file`."""

    path: str = Field(max_length=1024, description=f"file or empty directory to delete: {_PATH}")


def file_tools(root: Path | str) -> list[BaseTool]:
    """Return `list_files`, `read_file`, `write_file`, `move_file` and `delete_file`.

    Args:
        root: the workspace; created if it is missing. The tools reach nothing outside of it, and
            follow no symbolic link inside of it.

    Raises:
        OSError: the workspace cannot be created, or is no directory.
    """
    home = Path(root).resolve()
    home.mkdir(parents=True, exist_ok=True)
    files = Files(Workspace(home))
    return [
        as_tool(files.list_files, ListFiles),
        as_tool(files.read_file, ReadFile),
        as_tool(files.write_file, WriteFile),
        as_tool(files.move_file, MoveFile),
        as_tool(files.delete_file, DeleteFile),
    ]


@dataclass(frozen=True, slots=True)
class Files:
    """The tools' functions over one workspace; their docstrings are written for the model."""

    workspace: Workspace

    def list_files(self, path: str = ".") -> dict[str, Any]:
        """List a directory of the workspace: name, type and size in bytes of each entry.

        Entries are ordered by name, at most 1000 of them; `truncated` says whether there are more.
        """
        with (
            explained(path),
            self.workspace.directory(path) as directory,
            os.scandir(directory) as found,
        ):
            # keeps no more than that in memory, however large the directory
            first = heapq.nsmallest(MAX_ENTRIES + 1, _described(found), key=itemgetter("name"))
        return {
            "path": path,
            "entries": first[:MAX_ENTRIES],
            "truncated": len(first) > MAX_ENTRIES,
        }

    def read_file(self, path: str) -> dict[str, Any]:
        """Read a text file (UTF-8) of the workspace.

        At most the first 1,000,000 bytes are returned; `truncated` says whether there are more,
        `size` is the size of the whole file in bytes.
        """
        with explained(path), self.workspace.entry(path) as entry:
            # a FIFO without a writer would keep a blocking open waiting for ever
            descriptor = entry.open(os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise ToolException(f"`{path}` is no regular file; name one that is")
                data = file.read(MAX_BYTES + 1)
        truncated = len(data) > MAX_BYTES
        # a character that the limit cuts in two is left out, and is no error
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            content = decoder.decode(data[:MAX_BYTES], final=not truncated)
        except UnicodeDecodeError as error:
            raise ToolException(f"`{path}` is no UTF-8 text; it cannot be read here") from error
        if "\x00" in content:
            raise ToolException(f"`{path}` is no text; it cannot be read here")
        return {"path": path, "content": content, "size": status.st_size, "truncated": truncated}

    def write_file(self, path: str, content: str, overwrite: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002  the model passes it by name
        """Write a text file (UTF-8, at most 1,000,000 bytes) of the workspace, all or nothing.

        A file that exists is replaced only with `overwrite`. Missing directories are created.
        """
        data = content.encode()
        if len(data) > MAX_BYTES:
            raise ToolException(f"the content has {len(data)} bytes; write at most {MAX_BYTES}")
        with explained(path), self.workspace.entry(path, make_parents=True) as entry:
            status = entry.status()
            if status is not None and not stat.S_ISREG(status.st_mode):
                raise ToolException(f"`{path}` is no regular file; choose another name")
            if status is not None and not overwrite:
                raise ToolException(f"`{path}` exists; pass `overwrite` to replace it")
            draft = entry.draft()
            try:
                _write_new(draft, data, status)
                if overwrite:
                    draft.replace(entry)
                else:
                    draft.link(entry)
            finally:
                with suppress(FileNotFoundError):
                    draft.unlink()
        return {"path": path, "size": len(data), "replaced": status is not None}

    def move_file(self, source: str, target: str) -> dict[str, Any]:
        """Move or rename a file or directory inside the workspace; nothing is ever overwritten.

        Directories missing on the way to the target are created.
        """
        old_parts, new_parts = components(source), components(target)
        if new_parts[: len(old_parts)] == old_parts:
            raise ToolException(f"`{target}` is `{source}` itself or lies in it; name another path")
        with explained(source), self.workspace.entry(source) as old:
            mode = _mode(source, old)
            if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                raise ToolException(f"`{source}` is no file or directory; only those are moved")
            with explained(target), self.workspace.entry(target, make_parents=True) as new:
                if stat.S_ISDIR(mode):
                    old.move_directory(new)
                else:
                    # a crash between the two leaves both names, which loses nothing
                    old.link(new)
                    old.unlink()
        return {"source": source, "target": target}

    def delete_file(self, path: str) -> dict[str, Any]:
        """Delete one file, or one empty directory, of the workspace. There is no undo.

        A symbolic link is deleted itself, never what it points to.
        """
        with explained(path), self.workspace.entry(path) as entry:
            if stat.S_ISDIR(_mode(path, entry)):
                entry.rmdir()
            else:
                entry.unlink()
        return {"path": path, "deleted": True}


def _mode(path: str, entry: Entry) -> int:
    status = entry.status()
    if status is None:
        raise ToolException(f"`{path}` does not exist; `list_files` shows what does")
    return status.st_mode


def _write_new(draft: Entry, data: bytes, replaced: os.stat_result | None) -> None:
    descriptor = draft.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with os.fdopen(descriptor, "wb") as file:
        if replaced is not None and hasattr(os, "fchmod"):
            os.fchmod(descriptor, stat.S_IMODE(replaced.st_mode) & 0o777)
        file.write(data)
        file.flush()
        # the new name must not survive a power failure that the content does not
        os.fsync(descriptor)


def _described(found: Iterable[os.DirEntry[str]]) -> Iterator[dict[str, Any]]:
    for item in found:
        try:
            status = item.stat(follow_symlinks=False)
        except FileNotFoundError:  # deleted while we look
            continue
        kind = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
        yield {
            # a name that is no UTF-8 could not be stored as JSON
            "name": os.fsencode(item.name).decode("utf-8", "backslashreplace"),
            "type": kind.get(stat.S_IFMT(status.st_mode), "other"),
            "size": status.st_size,
        }
