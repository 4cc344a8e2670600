"""The user's project: graphs that `langgraph.json` names."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from dotenv import dotenv_values

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

    def load(self, name: str) -> Any:
        """Return the builder of a graph.

        A factory is called; of a compiled graph the builder is taken, because the runtime compiles
        it with its own checkpointer.

        Raises:
            ConfigurationError: the name is unknown, or what it names cannot be imported or used.
        """
        where = self.graphs.get(name)
        if where is None:
            close = difflib.get_close_matches(name, self.graphs, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"graphs: {', '.join(self.graphs)}"
            raise ConfigurationError(f"`{self.file}` names no graph `{name}`", hint=hint)
        self._prepare()
        module_name, _, attribute = where.rpartition(":")
        try:
            module = self._import(module_name)
            found = getattr(module, attribute)
            if callable(found) and not hasattr(found, "compile") and not hasattr(found, "builder"):
                found = found()
        except HitlError:
            raise
        except Exception as error:
            raise self._broken(name, where, error) from error
        builder = getattr(found, "builder", found)
        if not hasattr(builder, "compile"):
            raise ConfigurationError(
                f"graph `{name}` (`{where}`) is a `{type(found).__name__}`, no graph",
                hint="export what `build_graph` returns, or another `StateGraph`",
            )
        return builder

    def _prepare(self) -> None:
        """Make the project's modules importable and its environment known, as LangGraph's CLI does."""
        root = self.file.parent
        for dependency in self.dependencies:
            path = str((root / dependency).resolve())
            if Path(path).is_dir() and path not in sys.path:
                sys.path.insert(0, path)
        values = dotenv_values(root / self.env) if isinstance(self.env, str) else self.env
        for key, value in values.items():
            os.environ.setdefault(key, value or "")

    def _import(self, module_name: str) -> ModuleType:
        if not module_name.endswith(".py"):
            return importlib.import_module(module_name)
        path = (self.file.parent / module_name).resolve()
        if not path.is_file():
            raise ConfigurationError(f"there is no file `{path}`", hint=f"correct `{self.file}`")
        root = self.file.parent
        inside = path.relative_to(root) if path.is_relative_to(root) else path
        name = "_".join(("hitl_graph", *inside.with_suffix("").parts)).replace("/", "_")
        if name in sys.modules:
            return sys.modules[name]
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

    def _broken(self, name: str, where: str, error: Exception) -> ConfigurationError:
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
        hint=f'write one: {{"dependencies": ["."], "graphs": {{"NAME": "./FILE.py:graph"}}}}',
    )


def _read(file: Path) -> Project:
    try:
        data = json.loads(file.read_text("utf-8"))
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{file}:{error.lineno}:{error.colno}: {error.msg}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"`{file}` cannot be read: {error}") from error
    graphs = data.get("graphs") if isinstance(data, dict) else None
    if not isinstance(graphs, dict) or not graphs:
        raise ConfigurationError(
            f"`{file}` names no graphs", hint='add `"graphs": {"NAME": "./FILE.py:graph"}`'
        )
    named: dict[str, str] = {}
    for name, where in graphs.items():
        path = where.get("path") if isinstance(where, dict) else where
        if not isinstance(path, str) or not all(path.rpartition(":")):
            raise ConfigurationError(
                f"`{file}`: graph `{name}` is not written as `./FILE.py:NAME` or `package.module:NAME`"
            )
        named[name] = path
    dependencies = data.get("dependencies", ["."])
    env = data.get("env", {})
    if not isinstance(dependencies, list) or not all(isinstance(one, str) for one in dependencies):
        raise ConfigurationError(f"`{file}`: `dependencies` is a list of paths and packages")
    if not isinstance(env, str) and not (
        isinstance(env, dict) and all(isinstance(value, str) for value in env.values())
    ):
        raise ConfigurationError(f"`{file}`: `env` is a file name, or an object of texts")
    return Project(file, named, tuple(dependencies), env)
