"""A plan that a person wrote: the tool calls to propose, one after the other or together.

A value in a step's arguments can refer to the result of an earlier step: `${order.total}`,
`${order.lines[0].sku}`. Text that is one reference and nothing else becomes the value itself, with
its type. In other text the value is put in: text as it is, anything else as JSON. Before `{`, each
`$$` stands for a `$`: so `$${` is the text `${`, and `$$${order.total}` a `$` and the total.
What a result holds is never searched for references again.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag, TypeAdapter

from hitl_agent.documents import DocumentModel, load_document, read_text, show, suggest
from hitl_agent.errors import ConfigurationError, DocumentError, PlannerError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from hitl_agent.documents import Document, KeyPath

MAX_STEPS = 1000
MAX_TEXT = 1_000_000
"""Longest text, in characters, that references may be filled in to."""

_MAX_NAMES = 8

_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}")
_REFERENCE = re.compile(
    r"(?P<step>[A-Za-z_][A-Za-z0-9_-]*)(?P<path>(\.[A-Za-z_][A-Za-z0-9_-]*|\[[0-9]{1,6}\])*)"
)
_PART = re.compile(r"\.(?P<key>[^.\[\]]+)|\[(?P<index>[0-9]+)\]")
_AT = re.compile(r"(.*):([0-9]{1,9}):([0-9]{1,9})", re.DOTALL)
_OPENING = re.compile(r"(\$+)\{")


@dataclass(frozen=True, slots=True)
class Reference:
    """A place in the result of a step.

    Attributes:
        step: the step's id.
        path: keys and list indexes, from the result down.
    """

    step: str
    path: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        return self.step + "".join(parts)


@dataclass(frozen=True, slots=True)
class Step:
    """One call to propose.

    Attributes:
        id: unique in the runbook; references name it.
        tool: the tool's name.
        args: plain JSON, references not yet filled in.
        reason: why the call is made, for the reviewer.
        if_refused: whether the plan goes on when the call is refused.
        at: where the step stands, as `file:line:column`.
        places: where each text with a reference stands in the file, by its path in `args`.
    """

    id: str
    tool: str
    args: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    if_refused: Literal["stop", "continue"] = "stop"
    at: str = ""
    places: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Runbook:
    """A plan. It lives in graph state, so it goes to plain JSON and back.

    Attributes:
        task: what the plan is for.
        groups: the steps in order; those of one group are proposed in one turn.
    """

    task: str
    groups: tuple[tuple[Step, ...], ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps in order."""
        return tuple(step for group in self.groups for step in group)

    def to_json(self) -> dict[str, Any]:
        """Return the runbook as plain JSON data."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Runbook:
        """Return the runbook that `to_json` made.

        Raises:
            PlannerError: `data` is no runbook.
        """
        try:
            return _RUNBOOK.validate_json(json.dumps(data), strict=True)
        except (TypeError, ValueError, RecursionError) as error:
            raise PlannerError(
                f"the runbook kept with the thread cannot be read: {error}"
            ) from error


_RUNBOOK = TypeAdapter(Runbook)


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


def resolve_args(step: Step, results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the step's arguments with every reference filled in. Shares nothing with `results`.

    Args:
        step: the step whose call is to be proposed.
        results: what earlier steps returned, as JSON data, by step id.

    Raises:
        PlannerError: a reference leads nowhere; with the place of the reference.
    """

    def fill(value: Any, path: KeyPath) -> Any:
        if isinstance(value, dict):
            return {key: fill(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [fill(item, (*path, index)) for index, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        try:
            return _filled(value, results)
        except (ValueError, TypeError, RecursionError) as error:
            at = step.places.get(_pointer(path), step.at)
            raise PlannerError(f"{at}: step `{step.id}` {error}") from error

    return {key: fill(value, (key,)) for key, value in step.args.items()}


def parse_template(text: str) -> tuple[str | Reference, ...]:
    """Split `text` into plain text and references; see the module for the syntax.

    Raises:
        ValueError: a reference is not closed or not well formed.
    """
    parts: list[str | Reference] = []
    plain, start = "", 0
    while opening := _OPENING.search(text, start):
        dollars = len(opening[1])
        plain += text[start : opening.start()] + "$" * (dollars // 2)
        start = opening.end()
        if dollars % 2 == 0:
            plain += "{"
            continue
        inside, closed, _ = text[start:].partition("}")
        if not closed:
            raise ValueError("holds `${` without a `}`; for the text `${` write `$${`")
        parts += [plain] if plain else []
        parts.append(_reference(inside))
        plain, start = "", start + len(inside) + 1
    plain += text[start:]
    return (*parts, plain) if plain else tuple(parts)


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
                places[_pointer(below[len(path) + 1 :])] = self._at(below)
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


def _pointer(path: KeyPath) -> str:
    """Return a JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _reference(inside: str) -> Reference:
    found = _REFERENCE.fullmatch(inside)
    if not found:
        raise ValueError(
            f"holds {show('${' + inside + '}')}, which is no reference; write it like"
            " `${step.key[0]}`, or `$${` for the text `${`"
        )
    parts = _PART.finditer(found["path"])
    return Reference(found["step"], tuple(part["key"] or int(part["index"]) for part in parts))


def _filled(text: str, results: Mapping[str, Any]) -> Any:
    parts = parse_template(text)
    if len(parts) == 1 and isinstance(parts[0], Reference):
        return copy.deepcopy(_looked_up(parts[0], results))
    filled = ""
    for part in parts:
        filled += part if isinstance(part, str) else _as_text(part, _looked_up(part, results))
        if len(filled) > MAX_TEXT:
            raise ValueError(f"fills in to more than {MAX_TEXT:,} characters")
    return filled


def _as_text(reference: Reference, value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"refers to {show(str(reference))}, which is no JSON: {error}") from error


def _looked_up(reference: Reference, results: Mapping[str, Any]) -> Any:
    named = f"refers to {show(str(reference))}, but"
    if reference.step not in results:
        raise ValueError(f"{named} `{reference.step}` has no result: its call was not run")
    value = results[reference.step]
    for depth, part in enumerate(reference.path):
        here = show(str(Reference(reference.step, reference.path[:depth])))
        inside = isinstance(value, Mapping) and part in value
        if isinstance(value, list | tuple) and isinstance(part, int):
            inside = part < len(value)
        if not inside:
            raise ValueError(f"{named} {here} {_contents(value, part)}")
        value = value[part]
    return value


def _contents(value: Any, wanted: str | int) -> str:
    """Say what is there instead of what a reference wanted."""
    if isinstance(value, Mapping):
        keys = [str(key) for key in value]
        names = ", ".join(show(key).strip("`") for key in keys[:_MAX_NAMES])
        more = " …" if len(keys) > _MAX_NAMES else ""
        return f"has only: {names}{more}{suggest(str(wanted), keys)}" if keys else "is empty"
    if isinstance(value, list | tuple):
        return f"is a list of {len(value)}, counted from 0"
    kind = "text" if isinstance(value, str) else show(value)
    return f"is {kind}, with nothing inside"
