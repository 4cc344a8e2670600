"""A directory that paths from a stranger cannot leave.

A path is opened component by component, each one relative to the descriptor of the directory
before it and with O_NOFOLLOW. A symbolic link is therefore never followed, wherever it points,
and swapping one in while a tool works gains nothing: there is no moment between a check and a
use. `..` is refused, so a directory that is moved away during the walk leads nowhere either.

Where the platform has no `openat` (Windows), the path is resolved and compared with the root
instead, which leaves that moment open: do not share such a workspace with an untrusted process.

What is not prevented anywhere: a hard link into the workspace that somebody made from outside.
"""

from __future__ import annotations

import errno
import os
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_core.tools import ToolException

from tools.arguments import refuse_control_characters

if TYPE_CHECKING:
    from collections.abc import Iterator

HAS_OPENAT = {os.open, os.stat, os.unlink, os.mkdir, os.link, os.rename} <= os.supports_dir_fd

# absent on Windows, where the checks of the fallback stand in for them
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | NO_FOLLOW

_NOT_FOLLOWED = "leads over a symbolic link or something that is no directory; links are not used"
_REASONS = {
    errno.ENOENT: "does not exist; `list_files` shows what does",
    errno.EEXIST: "exists already",
    errno.ELOOP: _NOT_FOLLOWED,
    errno.ENOTDIR: _NOT_FOLLOWED,
    errno.EISDIR: "is a directory",
    errno.ENOTEMPTY: "is a directory that is not empty",
    errno.ENAMETOOLONG: "is too long a name",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in an open directory. Nothing here follows a symbolic link of that name.

    Args:
        dir_fd: descriptor of the directory, open as long as the workspace's context; or None.
        name: the last component; the whole path where `dir_fd` is None.
    """

    dir_fd: int | None
    name: str

    def status(self) -> os.stat_result | None:
        """Return the status of the file, directory or link itself; None if there is none."""
        try:
            return os.stat(self.name, dir_fd=self.dir_fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def open(self, flags: int, mode: int = 0o666) -> int:
        """Open the file and return its descriptor, which the caller closes."""
        if self.dir_fd is None and Path(self.name).is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return os.open(self.name, flags | NO_FOLLOW, mode, dir_fd=self.dir_fd)

    def draft(self) -> Entry:
        """Return a name in the same directory that nothing else uses."""
        folder, _ = os.path.split(self.name)
        return Entry(self.dir_fd, os.path.join(folder, f".{uuid.uuid4().hex}.draft"))  # noqa: PTH118  an entry's name is no path

    def unlink(self) -> None:
        """Remove the file, or the link itself."""
        os.unlink(self.name, dir_fd=self.dir_fd)

    def rmdir(self) -> None:
        """Remove the directory if it is empty."""
        os.rmdir(self.name, dir_fd=self.dir_fd)

    def replace(self, target: Entry) -> None:
        """Rename the file to `target` in one step, in place of a file that is there."""
        os.replace(self.name, target.name, src_dir_fd=self.dir_fd, dst_dir_fd=target.dir_fd)

    def link(self, target: Entry) -> None:
        """Give the file a second name; unlike `rename(2)`, this fails if the name is in use."""
        follow = {} if os.link not in os.supports_follow_symlinks else {"follow_symlinks": False}
        os.link(self.name, target.name, src_dir_fd=self.dir_fd, dst_dir_fd=target.dir_fd, **follow)

    def move_directory(self, target: Entry) -> None:
        """Rename the directory to `target`, which must not be in use.

        POSIX lets `rename` replace an empty directory but nothing else, and has no rename that
        refuses to replace. So the name is taken first with `mkdir`, which does refuse; then our
        own empty directory is replaced. Whoever puts something there in between makes the rename
        fail, and nothing is lost.
        """
        os.mkdir(target.name, dir_fd=target.dir_fd)
        try:
            os.rename(self.name, target.name, src_dir_fd=self.dir_fd, dst_dir_fd=target.dir_fd)
        except OSError:
            with suppress(OSError):
                target.rmdir()
            raise


@dataclass(frozen=True, slots=True)
class Workspace:
    """The directory that relative paths are confined to.

    Args:
        root: an absolute path without symbolic links.
    """

    root: Path

    @contextmanager
    def entry(self, path: str, *, make_parents: bool = False) -> Iterator[Entry]:
        """Open the directory that `path` lies in and yield its last component.

        Args:
            path: relative, with `/` between components.
            make_parents: create the directories on the way that are missing.

        Raises:
            ToolException: the path is refused, or is the workspace itself.
        """
        parts = components(path)
        if not parts:
            raise ToolException(f"`{path}` is the workspace itself; name something in it")
        if HAS_OPENAT:
            with self._walk(parts[:-1], make_parents=make_parents) as parent:
                yield Entry(parent, parts[-1])
        else:
            folder = self._checked(path, parts[:-1])
            if make_parents:
                folder.mkdir(parents=True, exist_ok=True)
            yield Entry(None, str(folder / parts[-1]))

    @contextmanager
    def directory(self, path: str) -> Iterator[int | str]:
        """Open the directory `path`, which may be the workspace itself, for `os.scandir`.

        Raises:
            ToolException: the path is refused.
        """
        parts = components(path)
        if HAS_OPENAT:
            with self._walk(parts) as descriptor:
                yield descriptor
        else:
            yield str(self._checked(path, parts))

    @contextmanager
    def _walk(self, parts: tuple[str, ...], *, make_parents: bool = False) -> Iterator[int]:
        current = os.open(self.root, DIRECTORY)
        try:
            for part in parts:
                if make_parents:
                    # a link of that name counts as existing and is refused by the next line
                    with suppress(FileExistsError):
                        os.mkdir(part, dir_fd=current)
                below = os.open(part, DIRECTORY, dir_fd=current)
                os.close(current)
                current = below
            yield current
        finally:
            os.close(current)

    def _checked(self, path: str, parts: tuple[str, ...]) -> Path:
        for part in parts:
            if ":" in part or "\\" in part:  # a drive, a stream or another spelling of `..`
                raise ToolException(f"`{path}` has a `:` or a backslash; write it without")
        wanted = self.root.joinpath(*parts)
        if wanted.resolve() != wanted:
            raise ToolException(f"`{path}` {_NOT_FOLLOWED}")
        return wanted


def components(path: str) -> tuple[str, ...]:
    """Split a relative path; `.` and doubled slashes vanish.

    Raises:
        ToolException: it is empty or absolute, or holds `..` or a control character.
    """
    refuse_control_characters("path", path)
    if not path:
        raise ToolException("the path is empty; write `.` for the workspace itself")
    if path.startswith(("/", "~")) or Path(path).is_absolute():
        raise ToolException(f"`{path}` is absolute; write a path relative to the workspace")
    parts = tuple(part for part in path.split("/") if part not in {"", "."})
    if ".." in parts:
        raise ToolException(f"`{path}` holds `..`; write a path that stays in the workspace")
    return parts


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn an operating system error into one that says what is wrong with `path`."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0) or (error.strerror or "cannot be used").lower()
        raise ToolException(f"`{path}` {reason}") from error
    except UnicodeEncodeError as error:
        raise ToolException("the path has characters that no file name can hold") from error
