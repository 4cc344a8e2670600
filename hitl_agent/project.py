"""The user's project: graphs that `langgraph.json` names."""

from __future__ import annotations

import asyncio
import difflib
import importlib
import importlib.util
import inspect
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from hitl_agent.errors import ConfigurationError, HitlError

FILE = "langgraph.json"


@dataclass(frozen=True, slots=True)
class Project:
    """A directory with a `langgraph.json`.

    Attributes:
        file: the file.
        graphs: where each graph is, by name: `./path.py:name` or `package.module:name`.
        dependencies: directories that the graphs import from.
        env: environment variables, or the file that holds them.
    """

    file: Path
    graphs: Mapping[str, str]
    dependencies: tuple[str, ...]
    env: Mapping[str, str] | str

    def require(self, name: str) -> str:
        """Return where a graph is.

        Raises:
            ConfigurationError: the file names no such graph.
        """
        where = self.graphs.get(name)
        if where is None:
            close = difflib.get_close_matches(name, self.graphs, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"graphs: {', '.join(self.graphs)}"
            raise ConfigurationError(f"`{self.file}` names no graph `{name}`", hint=hint)
        return where

    def load(self, name: str) -> Any:
        """Return a graph: a builder, or one that is compiled.

        A factory is called, with an empty config if it takes one, and awaited if it is a
        coroutine.

        Raises:
            ConfigurationError: the name is unknown, or what it names cannot be imported or used.
        """
        where = self.require(name)
        self._prepare()
        module_name, _, attribute = where.rpartition(":")
        try:
            module = self._import(module_name)
            found = _made(self._attribute(name, module, attribute))
        except HitlError:
            raise
        except (Exception, SystemExit) as error:
            raise self._broken(name, where, error) from error
        from langgraph.graph import StateGraph  # noqa: PLC0415  what is loaded has loaded it
        from langgraph.pregel import Pregel  # noqa: PLC0415

        if not isinstance(found, StateGraph | Pregel):
            raise ConfigurationError(
                f"graph `{name}` (`{where}`) is a `{type(found).__name__}`, no graph",
                hint="export what `build_graph` returns, or another graph of LangGraph's",
            )
        return found

    def settings(self) -> Mapping[str, str]:
        """Return the environment variables that the project sets.

        Raises:
            ConfigurationError: one of them cannot be set.
        """
        if not isinstance(self.env, str):
            values: Mapping[str, str | None] = self.env
        else:
            from dotenv import dotenv_values  # noqa: PLC0415  most projects have none

            try:
                values = dotenv_values(self.file.parent / self.env)
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigurationError(
                    f"`{self.env}`, named by `{self.file}`, cannot be read: {error}"
                ) from error
        found = {key: value for key, value in values.items() if value is not None}
        for key, value in found.items():
            if not key or "=" in key or "\0" in key + value:
                raise ConfigurationError(f"`{self.file}`: `env` cannot set a variable `{key}`")
        return found

    def _prepare(self) -> None:
        """Make the modules importable and the environment known, as LangGraph's CLI does."""
        root = self.file.parent
        for dependency in self.dependencies:
            path = str((root / dependency).resolve())
            if Path(path).is_dir() and path not in sys.path:
                sys.path.insert(0, path)
        for key, value in self.settings().items():
            os.environ.setdefault(key, value)

    def _import(self, module_name: str) -> ModuleType:
        if not module_name.endswith(".py"):
            return importlib.import_module(module_name)
        path = (self.file.parent / module_name).resolve()
        if not path.is_file():
            raise ConfigurationError(f"there is no file `{path}`", hint=f"correct `{self.file}`")
        root = self.file.parent
        inside = path.relative_to(root) if path.is_relative_to(root) else path
        name = "_".join(("hitl_graph", *inside.with_suffix("").parts)).replace("/", "_")
        known = sys.modules.get(name)
        if known is not None and known.__file__ == str(path):
            return known
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ConfigurationError(f"`{path}` cannot be imported", hint=f"correct `{self.file}`")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    def _attribute(self, name: str, module: ModuleType, attribute: str) -> Any:
        try:
            return getattr(module, attribute)
        except AttributeError as error:
            close = difflib.get_close_matches(attribute, vars(module), n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"correct `{self.file}`"
            where = self.graphs[name].rpartition(":")[0]
            raise ConfigurationError(f"`{where}` has no `{attribute}`", hint=hint) from error

    def _broken(self, name: str, where: str, error: BaseException) -> ConfigurationError:
        frames = [
            one
            for one in traceback.extract_tb(error.__traceback__)
            if "importlib" not in one.filename
        ]
        last = frames[-1] if frames else None
        at = f" at {last.filename}:{last.lineno}" if last and last.filename != __file__ else ""
        return ConfigurationError(
            f"graph `{name}` (`{where}`) cannot be loaded: {type(error).__name__}: {error}{at}",
            hint=f"correct it, or its line in `{self.file}`",
        )


def _made(found: Any) -> Any:
    """Return what a factory makes, or what is no factory as it is."""
    if not callable(found) or hasattr(found, "compile") or hasattr(found, "builder"):
        return found
    wanted = [
        one
        for one in inspect.signature(found).parameters.values()
        if one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    made = found({}) if len(wanted) == 1 else found()
    return asyncio.run(_awaited(made)) if inspect.isawaitable(made) else made


async def _awaited(made: Awaitable[Any]) -> Any:
    return await made


def use_settings(start: Path | None = None) -> None:
    """Take over the project's own settings of this program, if there is a project.

    Only variables whose names start with `HITL_`: a command that merely looks has no business
    with the rest. What the environment says already, stands.

    Raises:
        ConfigurationError: the project's file cannot be read.
    """
    here = (start or Path.cwd()).resolve()
    if not any((folder / FILE).is_file() for folder in (here, *here.parents)):
        return
    for key, value in find_project(here).settings().items():
        if key.startswith("HITL_"):
            os.environ.setdefault(key, value)


def find_project(start: Path | None = None) -> Project:
    """Return the project of a directory: its `langgraph.json`, or the nearest parent's.

    Raises:
        ConfigurationError: there is none, or it cannot be read.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / FILE).is_file():
            return _read(folder / FILE)
    raise ConfigurationError(
        f"there is no `{FILE}` in `{here}` or a parent",
        hint='write one: {"dependencies": ["."], "graphs": {"NAME": "./FILE.py:graph"}}',
    )


def _read(file: Path) -> Project:
    try:
        data = json.loads(file.read_text("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            f"{file}:{error.lineno}:{error.colno}: {error.msg}", hint="correct the file"
        ) from error
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(
            f"`{file}` cannot be read: {error}", hint="correct the file"
        ) from error
    graphs = data.get("graphs") if isinstance(data, dict) else None
    if not isinstance(graphs, dict) or not graphs:
        raise ConfigurationError(
            f"`{file}` names no graphs", hint='add `"graphs": {"NAME": "./FILE.py:graph"}`'
        )
    return Project(
        file,
        {name: _place(file, name, where) for name, where in graphs.items()},
        _dependencies(file, data.get("dependencies", ["."])),
        _env(file, data.get("env", {})),
    )


def _place(file: Path, name: str, where: Any) -> str:
    path = where.get("path") if isinstance(where, dict) else where
    if isinstance(path, str):
        module, _, attribute = path.rpartition(":")
        dotted = all(part.isidentifier() for part in module.split("."))
        if attribute.isidentifier() and (module.endswith(".py") or dotted):
            return path
    raise ConfigurationError(
        f"`{file}`: graph `{name}` does not say where it is",
        hint="write it as `./FILE.py:NAME` or `package.module:NAME`",
    )


def _dependencies(file: Path, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ConfigurationError(
            f"`{file}`: `dependencies` is a list of paths and packages",
            hint='write `"dependencies": ["."]`',
        )
    return tuple(value)


def _env(file: Path, value: Any) -> Mapping[str, str] | str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and all(isinstance(one, str) for one in value.values()):
        return value
    raise ConfigurationError(
        f"`{file}`: `env` is a file name, or an object of texts", hint='write `"env": ".env"`'
    )
