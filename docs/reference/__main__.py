"""Write the API reference from the docstrings: `make docs`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import griffe

import hitl_agent

HERE = Path(__file__).parent

HEAD = """# API reference

Written from the docstrings by `make docs`; a test holds it to them. What is not here is not meant \
to be relied upon.
"""

_WIDTH = 96

MODULES = (
    "hitl_agent.runtime",
    "hitl_agent.recovery",
    "hitl_agent.policy",
    "hitl_agent.review",
    "hitl_agent.execution.contract",
    "hitl_agent.graph.confidence",
    "hitl_agent.graph.second_opinion",
    "hitl_agent.graph.ladder",
    "hitl_agent.graph.mcp",
    "hitl_agent.notebook",
    "hitl_agent.risk",
    "hitl_agent.errors",
)
"""Beside what `hitl_agent` itself exports."""


def reference() -> str:
    """Return the page."""
    package = griffe.load("hitl_agent", docstring_parser="google", resolve_aliases=True)
    homes: Mapping[str, str] = hitl_agent._HOMES  # noqa: SLF001
    own = {name: _resolved(package, f"{homes[name]}.{name}") for name in hitl_agent.__all__}
    said: set[str] = set()
    parts = [HEAD, *_chapter("hitl_agent", None, own, said)]
    for name in MODULES:
        module = package[name.removeprefix("hitl_agent.")]
        exported = module.exports
        names = sorted(
            member
            for member, found in module.members.items()
            if (
                member in exported
                if exported
                else not member.startswith("_") and not found.is_alias
            )
        )
        found = {one: _resolved(module, one) for one in names}
        parts += _chapter(name, module, found, said)
    return "\n".join(parts).rstrip() + "\n"


def _resolved(parent: griffe.Object | griffe.Alias, path: str) -> griffe.Object:
    found = parent[path]
    while isinstance(found, griffe.Alias):
        found = found.final_target
    return found


def _chapter(
    title: str,
    module: griffe.Object | griffe.Alias | None,
    members: Mapping[str, griffe.Object],
    said: set[str],
) -> Iterator[str]:
    new = {name: one for name, one in members.items() if one.path not in said and _is_api(one)}
    said.update(one.path for one in new.values())
    if not new:
        return
    yield f"\n## `{title}`\n"
    if module is not None and module.docstring:
        text = module.docstring.value.replace("```python", "```text")
        yield (f"```text\n{text}\n```\n" if "├" in text else text + "\n")
    for name, one in new.items():
        yield from _member(name, one)


def _is_api(one: griffe.Object) -> bool:
    return isinstance(one, griffe.Class | griffe.Function) or bool(one.docstring)


def _member(name: str, one: griffe.Object, *, level: int = 3) -> Iterator[str]:
    yield f"{'#' * level} `{name}`\n"
    if isinstance(one, griffe.Function):
        yield _signature(name, one)
    elif isinstance(one, griffe.Class):
        bases = ", ".join(str(base) for base in one.bases)
        init = one.members.get("__init__")
        if isinstance(init, griffe.Function):
            yield _signature(f"class {name}", init)
        elif bases:
            yield f"```text\nclass {name}({bases})\n```\n"
    elif isinstance(one, griffe.Attribute) and one.value is not None:
        yield f"```text\n{name} = {one.value}\n```\n"
    yield from _docstring(one)
    if isinstance(one, griffe.Class):
        for member, inner in one.members.items():
            public = isinstance(inner, griffe.Function) or "property" in inner.labels
            own = public and not isinstance(inner, griffe.Alias)
            if own and not member.startswith("_") and inner.docstring:
                yield from _member(f"{name}.{member}", inner, level=4)


def _signature(name: str, function: griffe.Function) -> str:
    parameters = [_parameter(one) for one in _marked(function.parameters)]
    parameters = [one for one in parameters if one not in ("self", "cls")]
    returns = f" -> {function.returns}" if function.returns and "class " not in name else ""
    line = f"{name}({', '.join(parameters)}){returns}"
    if len(line) > _WIDTH:
        inner = "".join(f"    {one},\n" for one in parameters)
        line = f"{name}(\n{inner}){returns}"
    return f"```text\n{line}\n```\n"


def _marked(parameters: griffe.Parameters) -> Iterator[griffe.Parameter | str]:
    """Yield the parameters with `*` before the first that is given by name only."""
    starred = False
    for one in parameters:
        if one.kind is griffe.ParameterKind.keyword_only and not starred:
            yield "*"
            starred = True
        starred = starred or one.kind is griffe.ParameterKind.var_positional
        yield one


def _parameter(one: griffe.Parameter | str) -> str:
    if isinstance(one, str):
        return one
    stars = {
        griffe.ParameterKind.var_positional: "*",
        griffe.ParameterKind.var_keyword: "**",
    }
    text = stars.get(one.kind or griffe.ParameterKind.positional_or_keyword, "") + one.name
    if one.annotation is not None:
        text += f": {one.annotation}"
    variadic = one.kind in stars
    if one.default is not None and not variadic:
        text += f" = {one.default}" if one.annotation is not None else f"={one.default}"
    return text


def _docstring(one: griffe.Object) -> Iterator[str]:
    if one.docstring is None:
        return
    for section in one.docstring.parse("google", warnings=False):
        match section:
            case griffe.DocstringSectionText():
                # an example stands alone in the pages, where tests run it
                yield section.value.replace("```python", "```text") + "\n"
            case griffe.DocstringSectionParameters() | griffe.DocstringSectionAttributes():
                kind = type(section) is griffe.DocstringSectionParameters
                yield _listed(
                    "Arguments" if kind else "Attributes",
                    [(f"`{item.name}`", item.description) for item in section.value],
                )
            case griffe.DocstringSectionReturns() | griffe.DocstringSectionYields():
                text = " ".join(item.description for item in section.value)
                yield f"**Returns** {_line(text)}\n"
            case griffe.DocstringSectionRaises():
                items = [(f"`{item.annotation}`", item.description) for item in section.value]
                yield _listed("Raises", items)


def _listed(title: str, items: Sequence[tuple[str, str]]) -> str:
    lines = "".join(f"- {name}: {_line(text)}\n" for name, text in items)
    return f"**{title}**\n\n{lines}"


def _line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    page = HERE / "README.md"
    page.write_text(reference(), "utf-8")
    sys.stdout.write(f"wrote {page.name}\n")
