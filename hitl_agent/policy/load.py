"""A policy, read from its file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hitl_agent.calls import digest
from hitl_agent.documents import load_document, read_text
from hitl_agent.policy.document import PolicyDocument

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy in force.

    Attributes:
        document: what it says.
        file: the file's name as the user gave it.
        text: the file as it was read.
        digest: `sha256:` and the hex SHA-256 of the RFC 8785 form of what the file says. Comments,
            layout and the order of keys do not change it.
    """

    document: PolicyDocument
    file: str
    text: str = field(repr=False)
    digest: str


def load_policy(path: str | Path) -> Policy:
    """Read the policy in the file at `path`.

    Raises:
        ConfigurationError: the file cannot be read.
        DocumentError: it is no policy; with the place of what is wrong.
    """
    return parse_policy(read_text(path), file=str(path))


def parse_policy(text: str, *, file: str = "policies.yaml") -> Policy:
    """Read the policy in `text`; `file` is its name in errors.

    Raises:
        DocumentError: it is no policy; with the place of what is wrong.
    """
    document = load_document(text, file=file, model=PolicyDocument)
    return Policy(document.value, file, text, digest(document.data))
