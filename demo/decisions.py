"""The answers of a person who is not there: a file of decisions, one for each tool."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from hitl_agent.documents import DocumentModel, load_document, read_text


class Answer(DocumentModel):
    """What is answered whenever the tool waits.

    Attributes:
        decision: run it or not.
        reason: why; kept on the record.
    """

    decision: Literal["approve", "reject"]
    reason: str = ""


class Decisions(DocumentModel):
    """A file of decisions.

    Attributes:
        reviewer: who decides.
        decisions: the answer for each tool, by its name.
    """

    reviewer: str = Field(min_length=1)
    decisions: dict[str, Answer]


def load_decisions(path: Path) -> Decisions:
    """Read a file of decisions.

    Raises:
        ConfigurationError: the file cannot be read.
        DocumentError: it is no such file; with the place of what is wrong.
    """
    return load_document(read_text(path), file=str(path), model=Decisions).value
