"""A document of every kind of key there is, and ways to load one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import strategies as st
from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from hitl_agent.documents import Complaint, Document, DocumentModel, load_document, show
from hitl_agent.errors import DocumentError

both_parsers = pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML without libyaml")


def _lower(text: str) -> str:
    if not text.islower():
        raise ValueError(f"{show(text)} must be lower case")
    return text


class Item(DocumentModel):
    effect: Literal["read", "write"]
    limit: float | None = Field(default=None, ge=0)
    names: tuple[str, ...] = Field(default=(), strict=False)
    on: bool = False


class Leaf(DocumentModel):
    leaf: str


class Branch(DocumentModel):
    branch: list[Leaf] = Field(min_length=1)


def _kind(entry: object) -> str:
    return "<branch>" if isinstance(entry, dict) and "branch" in entry else "<leaf>"


class Model(DocumentModel):
    version: int = 1
    title: str = Field(default="x", min_length=1, max_length=20)
    items: dict[Annotated[str, AfterValidator(_lower)], Item] = Field(default_factory=dict)
    tree: list[
        Annotated[
            Annotated[Leaf, Tag("<leaf>")] | Annotated[Branch, Tag("<branch>")],
            Discriminator(_kind),
        ]
    ] = Field(default_factory=list)
    anything: Any = None

    @model_validator(mode="after")
    def _check(self) -> Model:
        if "forbidden" in self.items:
            raise Complaint("`forbidden` is taken", "items", "forbidden", at_key=True)
        if self.version == 13:
            raise Complaint("`version` brings bad luck", "version")
        return self


class Anything(DocumentModel):
    a: Any = None


def load(text: str) -> Document[Model]:
    return load_document(text, file="f.yaml", model=Model)


def value_of(scalar: str) -> Any:
    return load_document(f"a: {scalar}", file="f", model=Anything).data["a"]


def refusal(text: str) -> str:
    with pytest.raises(DocumentError) as caught:
        load(text)
    assert str(caught.value) == (
        f"f.yaml:{caught.value.line}:{caught.value.column}: " + str(caught.value).split(": ", 1)[1]
    )
    return str(caught.value).removeprefix("f.yaml:")


yaml_like = st.text(
    st.sampled_from(list("abcd01.-+_ex:,#'\"[]{}&*!|>%@`?~<= \n\t\\$\r")) | st.characters(),
    max_size=60,
)
