"""From a file to a plan, and from the plan to the tools that there are."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from hitl_agent.documents import (
    Document,
    DocumentModel,
    KeyPath,
    load_document,
    read_text,
    show,
    suggest,
)
from hitl_agent.errors import ConfigurationError, DocumentError
from hitl_agent.runbook.steps import Runbook, Step, pointer
from hitl_agent.runbook.templates import Reference, parse_template

MAX_STEPS = 1000

_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}")
_AT = re.compile(r"(.*):([0-9]{1,9}):([0-9]{1,9})", re.DOTALL)


class _StepDocument(DocumentModel):
    id: str
    tool: str = Field(min_length=1)
    args: dict[str, Any] = Field(default_factory=dict)
    reason: str = ""
    if_refused: Literal["stop", "continue"] = "stop"


class _TogetherDocument(DocumentModel):
    together: list[_StepDocument] = Field(min_length=1)


def _kind(entry: object) -> str:
    return "<together>" if isinstance(entry, dict) and "together" in entry else "<step>"


_Entry: TypeAlias = Annotated[
    Annotated[_StepDocument, Tag("<step>")] | Annotated[_TogetherDocument, Tag("<together>")],
    Discriminator(_kind),
]


class _RunbookDocument(DocumentModel):
    task: str = Field(min_length=1)
    steps: list[_Entry] = Field(min_length=1)


def load_runbook(path: str | Path) -> Runbook:
    """Read the runbook in the file at `path`.

    Raises:
        ConfigurationError: the file cannot be read.
        DocumentError: it is no runbook; with the place of what is wrong.
    """
    return parse_runbook(read_text(path), file=str(path))


def parse_runbook(text: str, *, file: str = "runbook.yaml") -> Runbook:
    """Read the runbook in `text`; `file` is its name in errors.

    Raises:
        DocumentError: it is no runbook; with the place of what is wrong.
    """
    document = load_document(text, file=file, model=_RunbookDocument)
    if not document.value.task.strip():
        raise document.error("`task` is empty", "task")
    reader = _Reader(document)
    groups: list[tuple[Step, ...]] = []
    for index, entry in enumerate(document.value.steps):
        if isinstance(entry, _TogetherDocument):
            path: KeyPath = ("steps", index, "together")
            groups.append(reader.group({(*path, n): step for n, step in enumerate(entry.together)}))
        else:
            groups.append(reader.group({("steps", index): entry}))
    return Runbook(document.value.task, tuple(groups))


def check_tools(runbook: Runbook, tool_names: Collection[str]) -> None:
    """Check that every step's tool is among `tool_names`.

    Raises:
        DocumentError: one is not; with the step's place and the closest name.
        ConfigurationError: the same, for a step without a place.
    """
    for step in runbook.steps:
        if step.tool not in tool_names:
            names = ", ".join(f"`{name}`" for name in sorted(tool_names)) or "none"
            hint = suggest(step.tool, tool_names) or f"; there are: {names}"
            message = f"step `{step.id}` calls {show(step.tool)}, and there is no such tool{hint}"
            place = _AT.fullmatch(step.at)
            if place is None:  # a runbook that was put together by a program
                raise ConfigurationError(message)
            raise DocumentError(message, file=place[1], line=int(place[2]), column=int(place[3]))


class _Reader:
    """Turns what a document says into steps, and checks what the model of it cannot."""

    def __init__(self, document: Document[_RunbookDocument]) -> None:
        self._document = document
        self._earlier: set[str] = set()  # the steps that may be referred to
        self._seen: set[str] = set()
        self._all = {step.id for entry in document.value.steps for step in _steps_of(entry)}

    def group(self, entries: Mapping[KeyPath, _StepDocument]) -> tuple[Step, ...]:
        """Read the steps of one turn; `entries` has them by their path in the document."""
        together = {step.id for step in entries.values()}
        steps = tuple(self._step(path, step, together) for path, step in entries.items())
        self._earlier |= together
        return steps

    def _step(self, path: KeyPath, step: _StepDocument, together: set[str]) -> Step:
        if not _ID.fullmatch(step.id):
            wanted = "up to 100 letters, digits, `_` and `-`, with a letter or `_` first"
            raise self._document.error(f"`id` is {show(step.id)}; write {wanted}", *path, "id")
        if step.id in self._seen:
            raise self._document.error(f"a step before this has the id `{step.id}`", *path, "id")
        if len(self._seen) == MAX_STEPS:
            raise self._document.error(f"a runbook has at most {MAX_STEPS} steps; split it", *path)
        self._seen.add(step.id)
        places = {}
        for below, text in self._texts(step.args, (*path, "args")):
            if self._check_references(step.id, text, below, together):
                places[pointer(below[len(path) + 1 :])] = self._at(below)
        return Step(
            step.id, step.tool, step.args, step.reason, step.if_refused, self._at(path), places
        )

    def _at(self, path: KeyPath) -> str:
        line, column = self._document.position(*path)
        return f"{self._document.file}:{line}:{column}"

    def _texts(self, value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
        """Yield every text in the arguments; a key is to be none that holds a reference."""
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from self._texts(item, (*path, index))
        elif isinstance(value, dict):
            for key, item in value.items():
                if "${" in key:
                    message = f"the key {show(key)} holds a reference; only values can"
                    raise self._document.error(message, *path, key, at_key=True)
                yield from self._texts(item, (*path, key))

    def _check_references(self, step: str, text: str, path: KeyPath, together: set[str]) -> bool:
        """Return whether `text` needs filling in."""
        try:
            parts = parse_template(text)
        except ValueError as error:
            raise self._document.error(f"step `{step}` {error}", *path) from None
        for part in parts:
            if isinstance(part, Reference) and part.step not in self._earlier:
                if part.step == step:
                    why = "but a step cannot refer to itself"
                elif part.step in together:
                    why = f"but `{part.step}` is proposed in the same turn; move it before"
                elif part.step in self._all:
                    why = f"but `{part.step}` comes later; move it before"
                else:
                    hint = suggest(part.step, sorted(self._earlier))
                    why = f"but no step before it is called `{part.step}`{hint}"
                message = f"step `{step}` refers to {show(str(part))}, {why}"
                raise self._document.error(message, *path)
        return parts != (text,) and bool(text)


def _steps_of(entry: _Entry) -> list[_StepDocument]:
    return entry.together if isinstance(entry, _TogetherDocument) else [entry]
