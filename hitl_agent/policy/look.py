"""One call as a policy sees it: its amount, currency, category, and what conditions can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hitl_agent.documents import show
from hitl_agent.policy.amounts import comparable, read_amount, read_currency
from hitl_agent.policy.conditions import EvaluationError, plain
from hitl_agent.policy.facts import facts_of
from hitl_agent.policy.plan import fold

if TYPE_CHECKING:
    from hitl_agent.policy.known import Facts
    from hitl_agent.policy.plan import Plan, Reading

MISSING = "is missing"
"""The problem of an argument that is not there."""

_MAX_COUNT = 2**63


class Look:
    """What is known of one call.

    Args:
        plan: what of the policy concerns the tool.
        tool: the tool's name.
        args: the arguments, of any shape.
        facts: what else is known.
        workspace: the directory that `path` arguments are held against.

    Attributes:
        args: the arguments; empty if they are no JSON.
        confidence: in [0, 1]; None if it is not known or nothing asks for it.
        amount: in the call's currency; None if it is not known or no escalation policy holds.
        currency: an ISO 4217 code; the same.
        categories: of the call, folded; the same.
        problems: why a value is not known, by its name in conditions.
    """

    __slots__ = (
        "amount",
        "args",
        "categories",
        "confidence",
        "currency",
        "facts",
        "plan",
        "problems",
        "tool",
        "workspace",
    )

    def __init__(
        self, plan: Plan, tool: object, args: object, facts: Facts, workspace: str
    ) -> None:
        self.plan = plan
        self.tool = tool
        self.facts = facts
        self.workspace = workspace
        self.problems: dict[str, str] = {}
        self.args: dict[str, Any] = {}
        self.amount: Decimal | None = None
        self.currency: str | None = None
        self.categories: frozenset[str] | None = None
        self.confidence: float | None = None
        if type(args) is dict:
            try:
                plain(args)
                self.args = args
            except EvaluationError as error:
                self.problems["args"] = str(error)
        else:
            self.problems["args"] = "they are no JSON object"
        if plan.escalations:
            self.confidence = self._confidence()
            self.amount = self._read("amount", plan.amount, read_amount)
            self.currency = self._read("currency", plan.currency, read_currency)
            self.categories = self._categories()
        elif "confidence" in plan.names:
            self.confidence = self._confidence()

    def _confidence(self) -> float | None:
        value: Any = self.facts.confidence
        if value is None:
            return None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value <= 1:
            self.problems["confidence"] = f"is {show(value)}, not a number from 0 to 1"
            return None
        return float(value)

    def _categories(self) -> frozenset[str] | None:
        read: frozenset[str] | None = self._read("category", self.plan.category, _folded)
        told: Any = self.facts.category
        if told is None:
            return read
        if not isinstance(told, str):
            self.problems["category"] = f"is {show(told)}, no text"
            return None
        if read is None and self.problems["category"] != MISSING:
            return None
        return (read or frozenset()) | {fold(told)}

    def _read(self, what: str, reading: Reading | None, check: Callable[[Any], Any]) -> Any:
        """Return a value of the call, or None and note why it is not known."""
        if reading is None:
            self.problems[what] = "is told in different ways by several patterns"
            return None
        try:
            return check(reading(self.args))
        except KeyError:
            self.problems[what] = MISSING
        except EvaluationError as error:
            self.problems[what] = f"cannot be worked out: {error}"
        except ValueError as error:
            self.problems[what] = str(error)
        return None

    def values(self) -> dict[str, Any]:
        """Return what conditions see; what is not known is left out, and then has no answer."""
        plan = self.plan
        found: dict[str, Any] = {}
        for name in plan.names:
            give = _GIVEN.get(name)
            if give is not None and (value := give(self)) is not None:
                found[name] = value
        if plan.spans:
            self._past(found)
        if plan.kinds:
            self._worked_out(found)
        return found

    def comparable_amount(self) -> float | None:
        """Return the amount as conditions compare it."""
        found: float | None = self._read("amount", self.plan.amount, comparable)
        return found

    def code(self) -> str | None:
        """Return the currency as conditions see it."""
        found: str | None = self._read("currency", self.plan.currency, read_currency)
        return found

    def category(self) -> str | None:
        """Return the category as conditions see it."""
        read = self.text_of("category", self.plan.category)
        told: Any = self.facts.category
        if told is None or (read is None and self.problems["category"] != MISSING):
            return read
        if not isinstance(told, str) or (read is not None and fold(read) != fold(told)):
            self.problems["category"] = f"is told in two ways, {show(told)} and {show(read)}"
            return None
        return _fit(told)

    def text_of(self, what: str, reading: Reading | None) -> str | None:
        """Return a value of the call that is text."""
        found: str | None = self._read(what, reading, _text)
        return found

    def now(self) -> datetime | None:
        """Return the time, unless it has no zone."""
        now: Any = self.facts.now
        return now if isinstance(now, datetime) and now.utcoffset() is not None else None

    def sources(self) -> list[str] | None:
        """Return the tools that brought untrusted text."""
        told: Any = self.facts.untrusted
        if not isinstance(told, list | tuple):
            return None
        return None if any(_fit(one) is None for one in told) else list(told)

    def _past(self, found: dict[str, Any]) -> None:
        for name in self.plan.spans:
            past = self.facts.history.get(name)
            if past is None:
                continue
            if type(past.count) is int and 0 <= past.count < _MAX_COUNT:
                found[f"history.{name}.count"] = past.count
            try:
                found[f"history.{name}.sum"] = float(read_amount(past.sum))
            except ValueError:
                self.problems[f"history.{name}.sum"] = "cannot be told"

    def _worked_out(self, found: dict[str, Any]) -> None:
        plan = self.plan
        for argument, kind in plan.kinds.items():
            head = f"{kind}.{argument}."
            wanted = [name for name in plan.names if name.startswith(head)]
            if not wanted:
                continue
            if argument not in self.args:
                self.problems[head] = f"argument `{argument}` is missing"
                continue
            try:
                facts = facts_of(kind, self.args[argument], workspace=self.workspace)
                found |= {name: facts[name.removeprefix(head)] for name in wanted}
            except Exception as error:  # noqa: BLE001  a parser that gives up; the call is gated
                why = str(error) if isinstance(error, ValueError) else type(error).__name__
                self.problems[head] = f"`{argument}` cannot be read as {kind}: {why}"

    def why(self, names: frozenset[str], values: Mapping[str, Any]) -> str | None:
        """Say which of the values that a condition looks at is not known."""
        for name in sorted(names - values.keys()):
            head = ".".join(name.split(".")[:2]) + "."
            if head in self.problems:
                return self.problems[head]
            return f"`{name}` {self.problems.get(name, 'is not known')}"
        return None


def _fit(text: Any) -> str | None:
    """Return text that CEL can be given, or None."""
    if type(text) is not str:
        return None
    try:
        plain(text)
    except EvaluationError:
        return None
    return text


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"is {show(value)}, no text")  # noqa: TRY004  one kind of refusal
    return value


def _folded(value: Any) -> frozenset[str]:
    return frozenset(fold(_text(one)) for one in (value if isinstance(value, list) else [value]))


_GIVEN: Mapping[str, Callable[[Look], Any]] = {
    "args": lambda look: look.args,
    "tool": lambda look: _fit(look.tool),
    "effect": lambda look: str(look.plan.effect),
    "open_world": lambda look: look.plan.open_world,
    "action_type": lambda look: (
        look.plan.action_types[0] if len(look.plan.action_types) == 1 else None
    ),
    "confidence": lambda look: look.confidence,
    "amount": Look.comparable_amount,
    "currency": Look.code,
    "category": Look.category,
    "counterparty": lambda look: look.text_of("counterparty", look.plan.counterparty),
    "actor": lambda look: _fit(look.facts.actor),
    "thread": lambda look: _fit(look.facts.thread),
    "now": Look.now,
    "context.untrusted": lambda look: None if (one := look.sources()) is None else bool(one),
    "context.sources": Look.sources,
}
"""What conditions see of a call, by name; the facts of its arguments and its past come on top."""
