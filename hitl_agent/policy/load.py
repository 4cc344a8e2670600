"""A policy, read from its file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hitl_agent.calls import MAX_NAME, digest
from hitl_agent.documents import load_document, read_text
from hitl_agent.policy.check import check
from hitl_agent.policy.check_people import check_people
from hitl_agent.policy.check_tools import check_arguments
from hitl_agent.policy.document import PolicyDocument
from hitl_agent.policy.plan import Plan, plan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from hitl_agent.documents import Document
    from hitl_agent.policy.check import Remark

_PLANS = 10_000
"""Tools whose plans are kept; names come from models, which can think of more."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy in force.

    Attributes:
        document: what it says.
        file: the file's name as the user gave it.
        text: the file as it was read.
        digest: `sha256:` and the hex SHA-256 of the RFC 8785 form of what the file says. Comments,
            layout and the order of keys do not change it.
        remarks: what is allowed and probably not meant, in the order of the file.
    """

    document: PolicyDocument
    file: str
    text: str = field(repr=False)
    digest: str
    remarks: tuple[Remark, ...] = ()
    _source: Document[PolicyDocument] | None = field(default=None, repr=False, compare=False)
    _plans: dict[str, Plan] = field(default_factory=dict, repr=False, compare=False)

    def plan(self, tool: object) -> Plan:
        """Return what of the policy concerns a tool; what is no name concerns nothing in it."""
        name = tool if isinstance(tool, str) else ""
        found = self._plans.get(name)
        if found is None:
            found = plan(self.document, name)
            if len(name) <= MAX_NAME:  # names come from models, which can think of longer ones
                if len(self._plans) >= _PLANS:
                    self._plans.clear()
                self._plans[name] = found
        return found

    def check_tools(self, schemas: Mapping[str, Mapping[str, Any]]) -> tuple[Remark, ...]:
        """Hold the policy against the tools that it is for.

        Args:
            schemas: JSON schemas of the tools' arguments, by tool.

        Returns:
            What is probably not meant.

        Raises:
            DocumentError: an argument is named that its tool does not have.
        """
        if self._source is None:
            return ()
        return tuple(check_arguments(self._source, self.text, schemas))


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
    remarks = [*check(document, text), *check_people(document)]
    remarks.sort(key=lambda one: (one.line, one.column))
    return Policy(document.value, file, text, digest(document.data), tuple(remarks), document)
